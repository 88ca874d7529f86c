"""From boxes to what the corner maps should say of them (the paper's section 3.2), for a whole batch at once.

Nothing here waits for the device: every size is known from the arguments' shapes, none from their values.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cornernet.corners.gaussian import gaussian_radius
from cornernet.errors import ConfigError
from cornernet.structures.targets import CornerTargets

_ROWS = 16
"""Rows of the gaussians' windows drawn at once. It bounds memory: 16 pictures of 300 boxes need 50 MB, not 190."""


def corner_targets(
    boxes: Tensor,
    labels: Tensor,
    image_index: Tensor,
    *,
    batch_size: int,
    num_classes: int,
    map_size: tuple[int, int],
    input_size: tuple[int, int],
    min_overlap: float = 0.3,
) -> CornerTargets:
    """The targets of a batch, on the boxes' device.

    A box's corners lie in the cells `floor(min(coordinate * cells / pixels, cells - 1))`. Around each, a gaussian of
    the box's class falls off from 1 within a square of the box's radius (see `gaussian_radius`, here of sides rounded
    up to whole cells, and itself rounded down), its sigma a sixth of the square's side; where gaussians of a class
    meet, the higher one stands.

    Args:
        boxes: (M, 4) xyxy in pixels of the network's input, floating; clamped to the input. float64 gives float64
            targets, every other dtype float32. Boxes without area are drawn as points.
        labels: (M,) int64 in 0..num_classes-1.
        image_index: (M,) int64 in 0..batch_size-1, the picture each box belongs to, in any order. Of two boxes with
            a corner in one cell of a picture, the later row's offset stands.
        batch_size: N. Pictures that no box belongs to have empty heatmaps.
        num_classes: C.
        map_size: (H, W) in cells.
        input_size: (height, width) in pixels of the network's input.
        min_overlap: Overlap with its box that a pair of corners anywhere within the radius keeps.

    Raises:
        ConfigError: When the shapes do not fit together. Values are not looked at, which would wait for the device:
            coordinates must be finite, labels and indices in range.
    """
    if boxes.shape != (len(labels), 4) or labels.shape != image_index.shape or labels.dim() != 1:
        raise ConfigError(
            "expected boxes (M, 4), labels (M,) and image_index (M,), got "
            f"{tuple(boxes.shape)}, {tuple(labels.shape)} and {tuple(image_index.shape)}"
        )
    height, width = map_size
    if boxes.dtype != torch.float64:
        boxes = boxes.float()
    # In cells: (2, M), top-left corners first.
    xs = boxes[:, 0::2].T.clamp(0, input_size[1]) * (width / input_size[1])
    ys = boxes[:, 1::2].T.clamp(0, input_size[0]) * (height / input_size[0])
    columns, rows = xs.clamp(max=width - 1).long(), ys.clamp(max=height - 1).long()
    cells = rows * width + columns
    offsets = torch.stack([xs - columns, ys - rows], -1)
    last = _last_of_cell(image_index * (height * width) + cells)

    plane = image_index * num_classes + labels
    radius, largest = _radius(ys, xs, min_overlap), _largest_radius(map_size, min_overlap)
    heat = []
    for centre_rows, centre_columns in zip(rows, columns, strict=True):
        # A tensor for each corner: C libraries keep what up to 32 MiB takes, and ask anew for more, which is slow.
        planes = torch.zeros(batch_size * num_classes, height, width, dtype=boxes.dtype, device=boxes.device)
        _draw_gaussians(planes, plane, centre_rows, centre_columns, radius, largest)
        heat.append(planes.view(batch_size, num_classes, height, width))
    return CornerTargets(heat[0], heat[1], image_index, *cells, *offsets, *last)


def _radius(ys: Tensor, xs: Tensor, min_overlap: float) -> Tensor:
    """(M,) whole radii of boxes whose corners lie at these cells (2, M)."""
    # The root of a whole number that rounds down to the one below costs a ring of cells: float64 where there is any.
    dtype = torch.float32 if ys.device.type == "mps" else torch.float64
    height, width = ((side[1] - side[0]).ceil().clamp(min=0).to(dtype) for side in (ys, xs))
    return gaussian_radius(height, width, min_overlap).floor().clamp(min=0).to(ys.dtype)


def _largest_radius(map_size: tuple[int, int], min_overlap: float) -> int:
    """What no radius exceeds: the root for both corners moving inwards, of a box as large as the map."""
    height, width = (side + 1 for side in map_size)  # in float32, the input's width may scale to a little more cells
    total = height + width
    return math.ceil((total - math.sqrt(total * total - 4 * (1 - min_overlap) * height * width)) / 4)


def _last_of_cell(cell: Tensor) -> Tensor:
    """(2, M) true where no later column of the row holds the same cell."""
    ordered, order = cell.sort(dim=1, stable=True)
    ends_run = ordered.diff(dim=1, append=ordered.new_full((2, 1), -1)) != 0
    return torch.empty_like(ends_run).scatter(1, order, ends_run)


def _draw_gaussians(
    planes: Tensor, plane: Tensor, rows: Tensor, columns: Tensor, radius: Tensor, largest_radius: int
) -> None:
    """Raises `planes` (P, H, W), in place, to gaussians in these (M,) planes, around these centres, of these radii.

    Each gaussian is the product of a column and a row, and is drawn as a window of the same size for all, 0 beyond its
    own radius: a maximum with 0 changes nothing. The reference sets values below the dtype's epsilon to 0; within a
    square of 6 sigma there are none, the smallest is exp(-9).
    """
    _, height, width = planes.shape
    steps = torch.arange(-largest_radius, largest_radius + 1, device=planes.device)
    exponent = -18 * (steps * steps) / (2 * radius[:, None] + 1).square()  # d^2 / (2 sigma^2), sigma = (2 r + 1) / 6
    falloff = torch.where(steps.abs() <= radius[:, None], exponent.exp(), 0.0)
    y, x = rows[:, None] + steps, columns[:, None] + steps
    vertical = torch.where((y >= 0) & (y < height), falloff, 0.0)
    horizontal = torch.where((x >= 0) & (x < width), falloff, 0.0)
    line = (plane[:, None] * height + y.clamp(0, height - 1)) * width
    x = x.clamp(0, width - 1)
    flat = planes.view(-1)
    for top in range(0, len(steps), _ROWS):
        block = slice(top, top + _ROWS)
        index = line[:, block, None] + x[:, None]
        values = vertical[:, block, None] * horizontal[:, None]
        flat.scatter_reduce_(0, index.flatten(), values.flatten(), "amax")
