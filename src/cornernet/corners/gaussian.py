"""How far a corner may move before its box no longer overlaps the true one enough."""

from __future__ import annotations

import torch
from torch import Tensor


def gaussian_radius(height: Tensor, width: Tensor, min_overlap: float = 0.3) -> Tensor:
    """The radius within which both corners of a box may move so that it still overlaps the true box by `min_overlap`.

    The smallest of three cases: both corners move outwards, both inwards, or both the same way. Each is the root of a
    quadratic a r^2 + b r + c, divided by 2a properly; the paper's first release was not, and drew larger gaussians.

    Args:
        height: Box heights in cells, any shape, floating (float64 to agree with the reference to the last cell).
        width: Box widths in cells, the same shape.
        min_overlap: Least intersection over union, between 0 and 1.

    Returns:
        Radii in cells, not rounded, the same shape and dtype; targets use `max(0, floor(radius))`.

    Source: the paper, section 3.2 ("at least t IoU"), with MMDetection's t = 0.3.
    """
    total = height + width

    def root(a: float, b: Tensor, c: Tensor, sign: int) -> Tensor:
        return (-b + sign * torch.sqrt(b * b - 4 * a * c)) / (2 * a)

    # Products in the reference's order: a radius that is a whole number must not round down to the one below.
    shifted = root(1, -total, width * height * (1 - min_overlap) / (1 + min_overlap), -1)
    inwards = root(4, -2 * total, (1 - min_overlap) * width * height, -1)
    outwards = root(4 * min_overlap, 2 * min_overlap * total, (min_overlap - 1) * width * height, 1)
    return torch.minimum(torch.minimum(shifted, inwards), outwards)
