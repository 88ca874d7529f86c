"""From uint8 pictures to the network's normalised canvas, as the weights' `Preprocessing` says."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cornernet.inference.geometry import Placement
from cornernet.structures.transfer import constants, to_device
from cornernet.weights.record import Preprocessing


def to_canvas(
    pictures: list[NDArray[np.uint8]],
    placements: list[Placement],
    preprocessing: Preprocessing,
    *,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Pictures on one batch of canvases of one size.

    Pictures travel to the device as uint8 and are normalised there in float32, before any lower precision.

    Args:
        pictures: N pictures, (height, width, 3) uint8 RGB, original size.
        placements: Where each lies; all with the same canvas.
        preprocessing: Channel order, mean, std and border.
        device: Where the canvas is made.
        dtype: Type of the result.

    Returns:
        (N, 3, H, W) canvases, channels-last in memory.
    """
    mean, std = constants(preprocessing.mean, device), constants(preprocessing.std, device)
    # A border of the mean colour is 0 once normalised; a black one is black before normalising.
    border = torch.zeros(3, device=device) if preprocessing.border == "mean" else -mean / std
    height, width = placements[0].canvas
    canvas = torch.empty(len(pictures), height, width, 3, dtype=dtype, device=device)
    canvas[:] = border
    for cells, picture, place in zip(canvas, pictures, placements, strict=True):
        pixels = to_device(torch.from_numpy(_resized(picture, place.resized)), device)
        if place.flipped:
            pixels = pixels.flip(1)
        if preprocessing.channel_order == "bgr":
            pixels = pixels.flip(2)
        rows, columns = place.visible
        normalised = pixels[:rows, :columns].to(torch.float32).sub_(mean).div_(std)
        cells[place.top : place.top + rows, place.left : place.left + columns] = normalised
    return canvas.permute(0, 3, 1, 2)


def _resized(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    if picture.shape[:2] == size:
        return np.require(picture, requirements=["C", "W"])  # writable, or PyTorch warns; copied only if it is not
    return np.asarray(cv2.resize(picture, size[::-1], interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
