"""3x3 convolution by Winograd's minimal filtering F(4x4, 3x3): 36 products where the direct form needs 144.

Each tile of 4 x 4 outputs is computed from the 6 x 6 inputs around it: `Y = A^T [(G w G^T) * (B^T d B)] A` (Lavin &
Gray, "Fast algorithms for convolutional neural networks", 2016, section 4.1). A tile's transforms are linear, so each
is one matrix product, by 36 x 36 or 16 x 36 numbers; and what all tiles multiply at one of the 36 places is one matrix
product over the channels. So all that is done here is matrix products and copies, which PyTorch does at the processor's
best, on any CPU.

Rounding errors are kept near those of PyTorch's direct form on channels-last tensors: the interpolation points 0, ±5/8,
±3/2 and infinity have half the errors of the usual 0, ±1, ±2 (Barabasz et al., "Error analysis and improving the
accuracy of Winograd convolution for deep neural networks", 2020), products are added up in shorter chains, and the
points are dyadic, so that float32 holds the matrices of both transforms exactly.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from cornernet.ops.threads import on_threads

_POINTS = (0.0, 0.625, -0.625, 1.5, -1.5)  # and infinity
_OUT = 4  # a tile's outputs along an axis
_IN = _OUT + 2  # and its inputs
_CHAIN = 128  # products added up one after the other; sums of such sums round less, and take longer
_BLOCK = 24576  # numbers at one of a tile's places that are under way at once: what fits into a core's cache


def transform_weight(weight: Tensor) -> Tensor:
    """Take the weights of a 3x3 convolution to the 36 places where they are multiplied.

    Args:
        weight: (out_channels, in_channels, 3, 3), floating point.

    Returns:
        (36, in_channels, out_channels), of the dtype and device of `weight`; four times its size.
    """
    *_, filters = _matrices()
    features, channels = weight.shape[:2]
    taps = weight.double().permute(2, 3, 1, 0).reshape(9, -1)
    transformed = weight.new_empty(_IN * _IN, channels * features)
    for place, combination in zip(transformed, torch.from_numpy(np.kron(filters, filters)).to(taps), strict=True):
        place.copy_(combination @ taps)  # one by one, so that no float64 array of them all is in memory
    return transformed.view(_IN * _IN, channels, features)


def conv3x3(x: Tensor, transformed: Tensor, bias: Tensor, plus: Tensor | None, *, activation: bool) -> Tensor:
    """Convolve by 3x3 with a border of one zero, add a bias and, where given, another map, then ReLU if asked for.

    Not differentiable.

    Args:
        x: (N, in_channels, H, W) float32 on the CPU, channels-last for speed.
        transformed: What `transform_weight` gave.
        bias: (out_channels,) float32.
        plus: (N, out_channels, H, W) float32, added before the ReLU.
        activation: Whether negative results become 0.

    Returns:
        (N, out_channels, H, W) float32, channels-last. A value that is not finite spreads up to four cells,
        not one.
    """
    count, channels, height, width = x.shape
    features = transformed.shape[2]
    down, across = -(-height // _OUT), -(-width // _OUT)  # tiles
    pixels = x.permute(0, 2, 3, 1)
    added = None if plus is None else _tiles(plus.permute(0, 2, 3, 1), down, across)
    out = x.new_empty(count * down, _OUT, across, _OUT, features)
    line = across * max(channels, features)
    # Waking threads takes longer than a little work, which PyTorch shares among its own, operation by operation.
    threads = torch.get_num_threads() if len(out) * line >= 4 * _BLOCK else 1
    step = max(1, min(-(-len(out) // threads), _BLOCK // line))  # rows of tiles
    starts = iter(range(0, len(out), step))

    def compute() -> None:
        """Compute the blocks that no other thread has taken."""
        inward, outward = _transforms()
        rows = x.new_zeros(step, _IN, _OUT * across + 2, channels)
        # One piece of memory for all blocks: fresh memory costs more than what is computed in it.
        places, taken = (x.new_empty(_IN * _IN * step * across * channels) for _ in range(2))
        products = x.new_empty(_IN * _IN * step * across * features)
        results = x.new_empty(_OUT * _OUT * step * across * features)
        for start in starts:
            block = out[start : start + step]
            here = rows[: len(block)]
            for row, lines in enumerate(here, start):
                _take(lines[:, 1 : width + 1], pixels[row // down], _OUT * (row % down) - 1)
            size = len(block) * across
            inputs = _part(places, _IN, _IN, len(block), across, channels)
            inputs.copy_(here.unfold(2, _IN, _OUT).permute(1, 4, 0, 2, 3))
            v = torch.mm(inward, inputs.view(_IN * _IN, -1), out=_part(taken, _IN * _IN, size * channels))
            v, m = v.view(-1, size, channels), _part(products, _IN * _IN, size, features)
            torch.bmm(v[:, :, :_CHAIN], transformed[:, :_CHAIN], out=m)
            for c in range(_CHAIN, channels, _CHAIN):
                m.baddbmm_(v[:, :, c : c + _CHAIN], transformed[:, c : c + _CHAIN])
            y = torch.mm(outward, m.view(_IN * _IN, -1), out=_part(results, _OUT * _OUT, size * features))
            torch.add(y.view(_OUT, _OUT, len(block), across, features).permute(2, 0, 3, 1, 4), bias, out=block)
            if added is not None:
                block += added[start : start + step]
            if activation:
                block.relu_()

    on_threads(compute, threads)
    whole = out.view(count, _OUT * down, _OUT * across, features)
    return whole[:, :height, :width].permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def _part(memory: Tensor, *shape: int) -> Tensor:
    return memory[: math.prod(shape)].view(shape)


def _take(lines: Tensor, picture: Tensor, top: int) -> None:
    """Copy a picture's lines from `top` on, zeros where there are none."""
    inside = picture[max(top, 0) : top + _IN]
    first = max(-top, 0)
    last = first + len(inside)
    if len(inside) < _IN:
        lines[:first] = 0
        lines[last:] = 0
    lines[first:last] = inside


def _tiles(pixels: Tensor, down: int, across: int) -> Tensor:
    """View (N, H, W, C) as rows of tiles (N * down, 4, across, 4, C), filled up with zeros."""
    count, height, width, channels = pixels.shape
    if (height, width) != (_OUT * down, _OUT * across):  # to fill up by nothing is a copy
        pixels = pad(pixels, (0, 0, 0, _OUT * across - width, 0, _OUT * down - height))
    return pixels.reshape(count * down, _OUT, across, _OUT, channels)


@cache
def _transforms() -> tuple[Tensor, Tensor]:
    """Return the matrices that take a tile's 36 inputs to its 36 places, and the products there to its 16 outputs."""
    inward, outward, _ = _matrices()
    with torch.inference_mode(False):
        return tuple(torch.from_numpy(np.kron(m, m)).float() for m in (inward, outward))  # type: ignore[return-value]


def _matrices() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Build B^T, A^T and G of one axis, by Toom and Cook's interpolation at the points."""
    points = np.array(_POINTS)
    others = [np.delete(points, i) for i in range(len(points))]
    inward = np.zeros((_IN, _IN))
    inward[:-1, :-1] = [np.poly(rest)[::-1] for rest in others]
    inward[-1] = np.poly(points)[::-1]
    outward = np.zeros((_OUT, _IN))
    outward[:, :-1] = points ** np.arange(_OUT)[:, None]
    outward[-1, -1] = 1
    filters = np.zeros((_IN, 3))
    scales = [np.prod(point - rest) for point, rest in zip(points, others, strict=True)]
    filters[:-1] = points[:, None] ** np.arange(3) / np.array(scales)[:, None]
    filters[-1, -1] = 1
    return inward, outward, filters
