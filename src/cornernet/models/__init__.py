"""The network: a picture tensor in, `CornerMaps` out."""
