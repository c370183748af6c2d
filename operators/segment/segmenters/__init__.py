"""One file a kind of segmenter, behind `operators.segment.segmenter`."""
