"""Pictures as arrays: decoding, resizing, blur, boxes and masks."""
