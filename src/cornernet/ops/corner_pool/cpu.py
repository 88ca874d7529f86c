"""Corner pooling for the CPU: whole lines across the pooled axis are handed to vectorised kernels, one after another.

Chosen over doubling and `torch.cummax` by measurement (`python -m benchmarks.corner_pool`). A line across the pooled
axis is long and, unless that axis is the fastest in memory, made of contiguous runs, so each step works at the speed of
memory.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cornernet.ops.corner_pool.direction import axis_of, starts_at_end


def forward(x: Tensor, direction: str) -> Tensor:
    """Pool (N, C, H, W) into a new tensor of the same memory format."""
    axis, from_end = axis_of(direction), starts_at_end(direction)
    out = torch.empty_like(x)
    if x.numel() == 0:
        return out
    if x.stride(axis) == 1:
        turned = _axis_outside(x, axis)
        _pool(turned, turned, -2, from_end)
        return out.copy_(_axis_back(turned, axis))
    _pool(x, out, axis, from_end)
    return out


def backward(grad: Tensor, x: Tensor, out: Tensor, direction: str) -> Tensor:
    """Carry gradients from line to line against the direction of pooling, until the record they belong to."""
    axis, from_end = axis_of(direction), starts_at_end(direction)
    if x.numel() == 0:
        return torch.empty_like(x)
    grad = grad.to(torch.float64 if x.dtype == torch.float64 else torch.float32)
    if x.stride(axis) == 1:
        grad, inputs, outputs = (_axis_outside(t, axis) for t in (grad, x, out))
        return torch.empty_like(x).copy_(_axis_back(_carry(grad, inputs, outputs, -2, not from_end), axis))
    return _carry(grad, x, out, axis, not from_end).to(x.dtype)


def _pool(x: Tensor, out: Tensor, axis: int, from_end: bool) -> None:
    """Write the running maximum of `x` along an axis to `out`, which may be `x` itself."""
    lines, pooled = _walk(x, axis, from_end), _walk(out, axis, from_end)
    pooled[0].copy_(lines[0])
    for i in range(1, len(pooled)):
        torch.maximum(lines[i], pooled[i - 1], out=pooled[i])


def _carry(grad: Tensor, x: Tensor, out: Tensor, axis: int, from_end: bool) -> Tensor:
    """Return the gradient that stays at each cell, of the dtype of `grad`.

    With `passed = x < out` as zeros and ones, `total[i] = grad[i] + passed[i - 1] * total[i - 1]` in the order of the
    walk, and what stays is `total` where `passed` is 0. A gradient that is not finite makes the rest of its line NaN.
    """
    total = torch.empty_like(x, dtype=grad.dtype)
    grads, inputs, outputs, totals = (_walk(t, axis, from_end) for t in (grad, x, out, total))
    passed = torch.empty_like(totals[0])  # one line, so that it and the totals stay in the cache
    totals[0].copy_(grads[0])
    torch.lt(inputs[0], outputs[0], out=passed)
    for i in range(1, len(totals)):
        torch.addcmul(grads[i], totals[i - 1], passed, out=totals[i])
        totals[i - 1].addcmul_(totals[i - 1], passed, value=-1)
        torch.lt(inputs[i], outputs[i], out=passed)
    totals[-1].addcmul_(totals[-1], passed, value=-1)
    return total


def _walk(x: Tensor, axis: int, from_end: bool) -> tuple[Tensor, ...]:
    """Return views of the lines across an axis, in the order of a walk from its first or its last."""
    lines = x.unbind(axis)
    return lines[::-1] if from_end else lines


def _axis_outside(x: Tensor, axis: int) -> Tensor:
    """Copy a map so that the given spatial axis comes before the other, in shape and in memory."""
    return (x if axis == -2 else x.transpose(-1, -2)).clone(memory_format=torch.contiguous_format)


def _axis_back(x: Tensor, axis: int) -> Tensor:
    """View what `_axis_outside` gave with its axes in their own places."""
    return x if axis == -2 else x.transpose(-1, -2)
