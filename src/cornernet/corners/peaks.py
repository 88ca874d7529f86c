"""The best local maxima of a heatmap, without waiting for the device and without a pass that can be saved."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Peaks:
    """The K best cells of each picture, best first.

    Attributes:
        logits: (N, K) in the heatmap's dtype; -inf where a picture has fewer than K local maxima (which cell is then
            named means nothing).
        labels: (N, K) int64 class.
        ys: (N, K) int64 row of the cell.
        xs: (N, K) int64 column of the cell.
    """

    logits: Tensor
    labels: Tensor
    ys: Tensor
    xs: Tensor


def top_peaks(heat: Tensor, k: int, window: int = 3) -> Peaks:
    """The `k` highest cells that no other cell of their class in the `window` x `window` around them exceeds.

    Of equal neighbours all are peaks. Which of equal peaks come first, or come at all where the k-th and the next are
    equal, is `torch.topk`'s choice and may differ between devices and memory layouts. A NaN, and any cell within
    reach of one, is no peak.

    Args:
        heat: (N, C, H, W) logits, in any memory layout and floating dtype. The logistic function rises with its
            argument, so maxima of logits are maxima of probabilities; only where float32 rounds two unequal
            logits to one probability do the two differ, and the logits tell more.
        k: How many; at most C*H*W are given.
        window: Side of the neighbourhood in cells, odd.

    Returns:
        K = min(k, C*H*W) cells of each picture.
    """
    if heat.device.type == "cpu" and len(heat) > 1 and not torch.compiler.is_compiling():
        # One picture's temporaries are small enough for the allocator to hand them out again: half the time.
        parts = [top_peaks(heat[n : n + 1], k, window) for n in range(len(heat))]
        return Peaks(*(torch.cat([getattr(p, name) for p in parts]) for name in ("logits", "labels", "ys", "xs")))
    highest = _sliding_max(_sliding_max(heat, 3, window), 2, window)
    peaks = torch.where(heat == highest, heat, -torch.inf)
    height, width = heat.shape[2:]
    if heat.stride(1) == 1:  # channels last: a line of memory is a cell's classes
        logits, cell, labels = _top_of_lines(peaks.permute(0, 2, 3, 1).flatten(1, 2), k)
        ys = cell // width
        return Peaks(logits, labels, ys, cell - ys * width)
    logits, line, xs = _top_of_lines(peaks.flatten(1, 2), k)
    labels = line // height
    return Peaks(logits, labels, line - labels * height, xs)


def _sliding_max(x: Tensor, dim: int, window: int) -> Tensor:
    """The maximum over `window` neighbours along one dimension, in `x`'s layout.

    Twice this is bit-equal to `max_pool2d` and, on a CPU, ten times as fast.
    """
    highest, size = x.clone(), x.shape[dim]
    for shift in range(1, min(window // 2, size - 1) + 1):
        highest.narrow(dim, shift, size - shift).clamp_(min=x.narrow(dim, 0, size - shift))
        highest.narrow(dim, 0, size - shift).clamp_(min=x.narrow(dim, shift, size - shift))
    return highest


def _top_of_lines(x: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Values, lines and columns of the `k` largest elements of each (R, L) matrix in `x` (N, R, L).

    Exact in two small steps: the k largest elements lie in the k lines with the largest maxima.
    """
    _, lines, length = x.shape
    best = x.amax(-1).topk(min(k, lines)).indices
    candidates = x.gather(1, best[..., None].expand(-1, -1, length)).flatten(1)
    values, place = candidates.topk(min(k, lines * length))
    line = place // length
    return values, best.gather(1, line), place - line * length
