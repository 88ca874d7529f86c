"""Bringing tensors to a device without making the host wait for the work that the device still has."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on a device.

    From page-locked memory CUDA takes it in its turn; from any other the host would wait for all work queued before.
    """
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def constants(values: Sequence[float] | Sequence[Sequence[float]], device: torch.device) -> Tensor:
    """Numbers as a float32 tensor on a device."""
    return to_device(torch.tensor(values, dtype=torch.float32), device)
