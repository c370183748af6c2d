"""The kinds of segmenters, one file each: boxes to masks behind `operators.segment.segmenter`."""
