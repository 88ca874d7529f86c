"""Corner pooling and soft-NMS: a plain function each, with one file per backend behind it."""
