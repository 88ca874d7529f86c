"""What the machine has for kernels of our own."""

from __future__ import annotations

import functools
import importlib.util


@functools.cache
def has_triton() -> bool:
    """Whether Triton is installed; PyTorch's CUDA and ROCm builds for Linux bring it."""
    return importlib.util.find_spec("triton") is not None
