"""One file a kind of encoder, behind `operators.encode.encoder`."""
