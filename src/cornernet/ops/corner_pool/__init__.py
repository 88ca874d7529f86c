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
from cornernet.ops.corner_pool.operators import pool

__all__ = ["Direction", "corner_pool"]


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
    if direction not in get_args(Direction):
        raise ConfigError(f"expected direction to be one of {', '.join(get_args(Direction))}, got {direction!r}")
    if x.ndim != 4:
        raise ConfigError(f"expected x of four axes (N, C, H, W), got shape {tuple(x.shape)}: add or merge axes")
    if torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export():
        return portable.forward(x, direction)
    pooled: Tensor = pool(x, direction)
    return pooled
