"""Corner pooling as an obvious loop, forward and backward: what every backend is tested against."""

from __future__ import annotations

import torch
from torch import Tensor

from cornernet.ops.corner_pool.direction import axis_of, starts_at_end


def forward(x: Tensor, direction: str) -> Tensor:
    """Pool (N, C, H, W) one output position at a time."""
    out = torch.empty_like(x)
    lines, pooled = _lines(x, direction), _lines(out, direction)
    for i in range(len(lines)):
        pooled[i].copy_(lines[0])
        for j in range(1, i + 1):
            pooled[i].copy_(torch.maximum(pooled[i], lines[j]))
    return out


def backward(grad: Tensor, x: Tensor, out: Tensor, direction: str) -> Tensor:
    """Give the gradient of each output to the nearest input that equals it; of a NaN output, to its own cell."""
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    total = torch.zeros_like(x, dtype=wide)
    lines, pooled, grads, totals = (_lines(t, direction) for t in (x, out, grad.to(wide), total))
    for i in range(len(lines)):
        pending = torch.ones_like(pooled[i], dtype=torch.bool)
        for j in range(i, -1, -1):  # from the cell itself to the border where the maximum started
            takes = pending & ((lines[j] == pooled[i]) | pooled[i].isnan())
            totals[j].add_(torch.where(takes, grads[i], 0))
            pending &= ~takes
    return total.to(x.dtype)


def _lines(x: Tensor, direction: str) -> tuple[Tensor, ...]:
    """Return views of the lines across the pooled axis, in the order in which the running maximum meets them."""
    lines = x.unbind(axis_of(direction))
    return lines[::-1] if starts_at_end(direction) else lines
