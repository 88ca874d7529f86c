"""How cuDNN is to compute for a while; without effect where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_precision(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Keeps convolutions in float32 from being computed in TF32 by CUDA, which PyTorch allows on its own.

    TF32 has 10 bits of mantissa, as float16 has: boxes would not be the reference's.
    """
    if device.type != "cuda" or dtype != torch.float32:
        yield
        return
    with _set("allow_tf32", False):
        yield


@contextmanager
def fastest_convolutions() -> Iterator[None]:
    """Lets cuDNN try its algorithms, once for each shape."""
    with _set("benchmark", True):
        yield


@contextmanager
def _set(name: str, value: bool) -> Iterator[None]:
    before = getattr(torch.backends.cudnn, name)
    setattr(torch.backends.cudnn, name, value)
    try:
        yield
    finally:
        setattr(torch.backends.cudnn, name, before)
