"""The kinds of encoders, one file each: a model of pictures and texts behind `operators.encode.encoder`."""
