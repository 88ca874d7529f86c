"""What the corner maps should have said: the targets of one batch. Axes as in `cornernet.structures.maps`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class CornerTargets:
    """Heatmaps of both corners, and for each of the batch's M boxes where its corners lie.

    Floating tensors are float32, or float64 where the boxes were.

    Attributes:
        tl_heat: (N, C, H, W) in 0..1: 1 in cells with a top-left corner of class c, falling off around them.
        br_heat: (N, C, H, W) in 0..1, for bottom-right corners.
        image_index: (M,) int64 in 0..N-1, the picture of the batch that a box belongs to.
        tl_cell: (M,) int64 in 0..H*W-1, y * W + x of the cell that a box's top-left corner lies in.
        br_cell: (M,) int64, the same for bottom-right corners.
        tl_off: (M, 2) in 0..1, where in that cell the corner lies, x then y, in cells.
        br_off: (M, 2) in 0..1.
        tl_last: (M,) bool, true for one box per cell, whatever the classes: the last of its picture's boxes with their
            top-left corner there. An offset map, which has room for one corner per cell, holds this one.
        br_last: (M,) bool, the same for bottom-right corners.
    """

    tl_heat: Tensor
    br_heat: Tensor
    image_index: Tensor
    tl_cell: Tensor
    br_cell: Tensor
    tl_off: Tensor
    br_off: Tensor
    tl_last: Tensor
    br_last: Tensor

    def counts(self) -> Tensor:
        """What the losses are divided by, before it is raised to 1: (4,), of the heatmaps' dtype.

        The cells that are 1 in `tl_heat` and in `br_heat`, then the distinct cells with a top-left and with a
        bottom-right corner. Averaged over the processes of a distributed run and given to `corner_loss`, they make the
        average gradient that of the whole batch.
        """
        counts = [(self.tl_heat == 1).sum(), (self.br_heat == 1).sum(), self.tl_last.sum(), self.br_last.sum()]
        return torch.stack(counts).to(self.tl_heat.dtype)
