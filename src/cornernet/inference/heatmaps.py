"""The two corner heatmaps drawn over their picture."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cornernet.errors import ConfigError
from cornernet.inference.detector import PlacedMaps
from cornernet.inference.geometry import Placement

_DIMMED = 0.6  # what is left of the picture's light where there is no heat


def draw_heatmaps(picture: NDArray[np.uint8], placed: PlacedMaps) -> NDArray[np.uint8]:
    """The heat of top-left corners, and beside it that of bottom-right ones, over the picture.

    The heat of a cell is the highest probability of any class; its square root is shown, so that weak corners are seen.

    Args:
        picture: (height, width, 3) uint8 RGB.
        placed: The network's maps of it, from `Detector.corner_maps`.

    Returns:
        (height, 2 * width, 3) uint8 RGB: top-left on the left, bottom-right on the right.

    Raises:
        ConfigError: When the picture is not the maps' own.
    """
    if picture.shape != (*placed.placement.picture, 3):
        raise ConfigError(f"expected the maps' own picture, {(*placed.placement.picture, 3)}, got {picture.shape}")
    maps = (placed.maps.tl_heat, placed.maps.br_heat)
    return np.concatenate([_overlay(picture, heat_on_picture(m, placed.placement)) for m in maps], axis=1)


def heat_on_picture(logits: Tensor, placement: Placement) -> NDArray[np.float32]:
    """The highest probability of any class at each pixel of the picture, (height, width) float32, without the border.

    Args:
        logits: (1, C, H, W) heat of one kind of corner, H x W cells covering the canvas.
        placement: Where the picture lies on the canvas.
    """
    cells = torch.sigmoid(logits[0].float()).amax(dim=0).numpy()
    canvas = cv2.resize(cells, placement.canvas[::-1], interpolation=cv2.INTER_LINEAR)
    rows, columns = placement.visible
    inner = canvas[placement.top : placement.top + rows, placement.left : placement.left + columns]
    if placement.flipped:
        inner = inner[:, ::-1]
    # The last row and column the canvas may not show repeat their neighbours.
    shown = np.pad(inner, ((0, placement.resized[0] - rows), (0, placement.resized[1] - columns)), mode="edge")
    height, width = placement.picture
    if placement.resized != (height, width):
        shown = cv2.resize(shown, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(shown, dtype=np.float32)


def _overlay(picture: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    strength = np.sqrt(heat)[:, :, None]
    levels = np.rint(255 * strength).astype(np.uint8)
    colors = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    mixed: NDArray[np.uint8] = np.rint(picture * (_DIMMED * (1 - strength)) + colors * strength).astype(np.uint8)
    return mixed
