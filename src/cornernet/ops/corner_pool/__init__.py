"""Corner pooling: each cell takes the maximum of its row or column from itself to the border (paper, section 3.4).

A corner often lies outside the object it belongs to, so there is nothing to see at its own cell. Pooling a map from
the right to the left and another from the bottom to the top brings the object's topmost and leftmost features there.

One file holds each backend, `operators.py` says which device takes which, and `reference.py` is the obvious loop that
all of them are tested against. They share two rules:

- Ties: the gradient of an output goes, whole, to the nearest input that equals it. Walking from the border that a
  direction starts at, that is the last record so far; `torch.cummax` does the same.
- NaN: a NaN wins the maximum, as in `torch.maximum`, and a NaN output leaves its gradient at its own cell.
"""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor

from cornernet.errors import ConfigError
from cornernet.ops.corner_pool import portable
from cornernet.ops.corner_pool.direction import Direction
from cornernet.ops.corner_pool.operators import SUMMED_AT_ONCE, pool, pool_sum

__all__ = ["Direction", "corner_pool", "corner_pool_sum"]


def corner_pool(x: Tensor, direction: Direction) -> Tensor:
    """Take the running maximum of a map along one spatial axis, towards the corner's border.

    | direction | `out[..., i, j]` |
    |---|---|
    | `"top"` | `max(x[..., i:, j])` |
    | `"left"` | `max(x[..., i, j:])` |
    | `"bottom"` | `max(x[..., :i + 1, j])` |
    | `"right"` | `max(x[..., i, :j + 1])` |

    Source: CornerNet (Law & Deng, 2018), section 3.4. Differentiable once; see the module for ties and NaN.
    While a graph is exported, plain tensor operations take the operator's place; an axis of dynamic size may then
    have up to 4096 cells.

    Args:
        x: (N, C, H, W), floating point, of any strides and sizes, on any device.
        direction: Where the pooled features are brought to.

    Returns:
        (N, C, H, W), of the dtype and memory format of `x`.

    Raises:
        ConfigError: If the direction is none of the four or `x` has not four axes.
    """
    _check(x, direction)
    if _exporting():
        return portable.forward(x, direction)
    pooled: Tensor = pool(x, direction)
    return pooled


def corner_pool_sum(first: Tensor, second: Tensor, directions: tuple[Direction, Direction]) -> Tensor:
    """Pool two maps, each in a direction of its own, and add them: a corner's evidence from both edges that meet in it.

    Equals `corner_pool(first, directions[0]) + corner_pool(second, directions[1])` to the last bit, gradients as well.
    On a GPU with Triton it moves five maps through memory instead of seven, and training stores no map but the inputs;
    elsewhere it is that very expression.

    Args:
        first: (N, C, H, W), floating point, of any strides and sizes, on any device.
        second: (N, C, H, W), of the shape, dtype and device of `first`, of any strides.
        directions: Where the features of each are brought to.

    Returns:
        (N, C, H, W), of the dtype and memory format of `first`.

    Raises:
        ConfigError: If a direction is none of the four, `first` has not four axes, or `second` differs from `first` in
            shape, dtype or device.
    """
    for x, direction in zip((first, second), directions, strict=True):
        _check(x, direction)
    if (first.shape, first.dtype, first.device) != (second.shape, second.dtype, second.device):
        raise ConfigError(
            f"expected two maps of one shape, dtype and device, got {_named(first)} and {_named(second)}: convert one"
        )
    if first.device.type in SUMMED_AT_ONCE and not _exporting():
        pooled: Tensor = pool_sum(first, second, *directions)
        return pooled
    return corner_pool(first, directions[0]) + corner_pool(second, directions[1])


def _check(x: Tensor, direction: Direction) -> None:
    if direction not in get_args(Direction):
        raise ConfigError(f"expected direction to be one of {', '.join(get_args(Direction))}, got {direction!r}")
    if x.ndim != 4:
        raise ConfigError(f"expected x of four axes (N, C, H, W), got shape {tuple(x.shape)}: add or merge axes")


def _exporting() -> bool:
    return torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export()


def _named(x: Tensor) -> str:
    return f"{tuple(x.shape)} {x.dtype} on {x.device}"
