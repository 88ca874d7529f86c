"""Corner pooling in plain PyTorch, by doubling steps: for any device, and for graphs that are exported."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cornernet.ops.corner_pool.direction import axis_of, starts_at_end

LONGEST_DYNAMIC = 4096
"""How many cells pooling reaches across in a graph exported with an axis of unknown size (16384 pixels at stride 4)."""


def forward(x: Tensor, direction: str) -> Tensor:
    """Pool (N, C, H, W): after k steps every cell holds the maximum of 2^k cells.

    A step whose shift leaves the map stops at its border, a cell that belongs to the maximum anyway. So steps beyond
    the size change nothing, and an exported graph, whose steps are fixed while sizes are not, takes enough of them
    for the longest axis.
    """
    axis, from_end = axis_of(direction), starts_at_end(direction)
    size: Any = x.shape[axis]  # an int, or a torch.SymInt while a graph is exported
    cells = torch.arange(size, device=x.device)
    reach = size if isinstance(size, int) else LONGEST_DYNAMIC  # a loop over a symbolic size would make it a constant
    if isinstance(size, torch.SymInt):
        # The exported program refuses what it would pool only in part.
        torch._check(size <= reach)  # type: ignore[no-untyped-call]
    shift = 1
    while shift < reach:
        others = (cells + shift).clamp(max=size - 1) if from_end else (cells - shift).clamp(min=0)
        x = torch.maximum(x, x.index_select(axis, others))
        shift *= 2
    return x


def backward(grad: Tensor, x: Tensor, out: Tensor, direction: str) -> Tensor:
    """Add the gradient of each output to the nearest record, found by pooling the records' own positions."""
    axis, from_end = axis_of(direction), starts_at_end(direction)
    size = x.shape[axis]
    steps = torch.arange(size, device=x.device).view(-1, *[1] * (-1 - axis))  # from the border the maximum starts at
    steps = steps.flip(0) if from_end else steps
    nearest = forward(torch.where(x < out, 0, steps), direction)  # step 0 is always a record
    sources = size - 1 - nearest if from_end else nearest
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    return torch.zeros_like(x, dtype=wide).scatter_add_(axis, sources, grad.to(wide)).to(x.dtype)
