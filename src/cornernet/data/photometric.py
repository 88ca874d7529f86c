"""Colours of a training batch, on its device: the recipe's photometric distortion, then normalising.

The distortion is MMDetection 3.3.0's: brightness, contrast, then in HSV saturation and hue, contrast again, channels
swapped, all in float32 on the 0..255 scale and nowhere clipped but saturation at 1. It is on OpenCV's terms, which the
published results were trained with: V is the largest channel, S (largest - smallest) / |V|, H in degrees. A negative V,
which darkening may leave, turns a pixel's channels around V, as OpenCV does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cornernet.data.batches import Batch
from cornernet.structures.transfer import constants

_BAND = 64
"""Rows changed at once on a CPU."""

_Change = Callable[[Any, Any, Any, Any], None]


class Normalisation(Protocol):
    """How the network takes its pictures; `cornernet.weights.record.Preprocessing` is one."""

    @property
    def channel_order(self) -> str:
        """Order of the network's colour channels, "rgb" or "bgr"."""

    @property
    def mean(self) -> tuple[float, float, float]:
        """Per channel, in `channel_order`, on the 0..255 scale."""

    @property
    def std(self) -> tuple[float, float, float]:
        """Per channel, likewise."""

    @property
    def border(self) -> str:
        """What surrounds a picture: "mean" (0 once normalised) or "black"."""


def colour_and_normalise(batch: Batch, preprocessing: Normalisation) -> Tensor:
    """The network's input, with each picture's colours changed as drawn for it.

    On a CPU each picture goes through OpenCV, without the steps and pixels that need nothing; on any other device all
    go through the same few operations at once, and nothing waits for the device. Both agree to 1e-3 of 255.

    Args:
        batch: Pictures and the colour changes drawn for each.
        preprocessing: Channel order, mean, std and border; the padding is exactly the border's colour.

    Returns:
        (N, 3, H, W) float32, channels-last in memory, on the batch's device, whatever autocast is on.
    """
    if batch.images.device.type == "cpu":
        return _picture_by_picture(batch, preprocessing)
    return _all_at_once(batch, preprocessing)


def _border(preprocessing: Normalisation) -> list[float]:
    """The padding's colour once normalised."""
    if preprocessing.border == "mean":
        return [0.0, 0.0, 0.0]
    return [-mean / std for mean, std in zip(preprocessing.mean, preprocessing.std, strict=True)]


# Any device: the whole batch in each operation.


def _all_at_once(batch: Batch, preprocessing: Normalisation) -> Tensor:
    count, height, width, _ = batch.images.shape
    device = batch.images.device
    parameters = batch.colour[:, :, None, None]
    brightness, contrast_first, saturation, hue, contrast_last = (parameters[:, i] for i in range(5))
    pixels = batch.images.permute(0, 3, 1, 2).float()
    pixels = distort((pixels + brightness[:, None]) * contrast_first[:, None], saturation, hue)
    order = batch.colour[:, 5:].long()
    if preprocessing.channel_order == "bgr":
        order = order.flip(1)
    pixels = pixels[torch.arange(count, device=device)[:, None], order] * contrast_last[:, None]

    mean, std, border = (
        constants(values, device).view(3, 1, 1)
        for values in (preprocessing.mean, preprocessing.std, _border(preprocessing))
    )
    x0, y0, x1, y1 = batch.visible.T[:, :, None]
    columns, rows = torch.arange(width, device=device), torch.arange(height, device=device)
    visible = ((rows >= y0) & (rows < y1))[:, None, :, None] & ((columns >= x0) & (columns < x1))[:, None, None, :]
    normalised = torch.where(visible, (pixels - mean) / std, border)
    return normalised.contiguous(memory_format=torch.channels_last)


def distort(pixels: Tensor, saturation: Tensor, hue: Tensor) -> Tensor:
    """Pictures with saturation and hue changed.

    Args:
        pixels: (N, 3, H, W) float32 RGB on the 0..255 scale.
        saturation: (N, 1, 1) factor; S is clipped at 1 where it is above 1.
        hue: (N, 1, 1) degrees added.

    Returns:
        (N, 3, H, W) float32.
    """
    red, green, blue = pixels.unbind(1)
    value, smallest = pixels.amax(1), pixels.amin(1)
    spread = value - smallest
    tiny = torch.finfo(torch.float32).eps
    s = spread / (value.abs() + tiny) * saturation
    s = torch.where(saturation > 1, s.clamp(max=1), s)
    # The hue in sixths of the circle: where between which two pure colours the pixel lies.
    towards = torch.where(
        value == red,
        green - blue,
        torch.where(value == green, blue - red, red - green),
    )
    start = torch.where(value == red, 0.0, torch.where(value == green, 2.0, 4.0))
    h = start + towards / (spread + tiny) + hue / 60
    # Each channel leaves V by S times a trapezium of the hue, a third of the circle apart.
    channels = []
    for shift in (5, 3, 1):
        place = (h + shift).remainder(6)
        channels.append(value - value * s * torch.minimum(place, 4 - place).clamp(0, 1))
    return torch.stack(channels, 1)


# The CPU: OpenCV, on the visible part of each picture, in bands that stay in the core's cache from step to step.


def _picture_by_picture(batch: Batch, preprocessing: Normalisation) -> Tensor:
    count, height, width, _ = batch.images.shape
    result = torch.empty(count, height, width, 3)
    border = np.tile(np.array(_border(preprocessing), np.float32), (width, 1))  # a whole row: copied faster than pixels
    bands = np.empty((2, _BAND, width, 3), np.float32)
    for image, cells, colour, (x0, y0, x1, y1) in zip(
        batch.images.numpy(), result.numpy(), batch.colour.numpy(), batch.visible.tolist(), strict=True
    ):
        for padding in (cells[:y0], cells[y1:], cells[y0:y1, :x0], cells[y0:y1, x1:]):
            padding[:] = border[: padding.shape[1]]
        change = _changes(colour, preprocessing)
        for top in range(y0, y1 if x0 < x1 else y0, _BAND):
            band = slice(top, min(top + _BAND, y1)), slice(x0, x1)
            rows, columns = image[band].shape[:2]
            change(image[band], cells[band], *bands[:, :rows, :columns])
    return result.permute(0, 3, 1, 2)


def _changes(colour: NDArray[np.float32], preprocessing: Normalisation) -> _Change:
    """What one picture goes through: a function of uint8 RGB (h, w, 3) and of where to write the network's input.

    Its last two arguments are (h, w, 3) float32, too, for what is between.
    """
    brightness, contrast_first, saturation, hue, contrast_last = colour[:5].tolist()
    through_hsv = saturation != 1 or hue != 0 or brightness < 0
    # OpenCV takes hues beyond the circle, but no negative ones.
    in_hsv = np.array([[1, 0, 0, hue % 360], [0, saturation, 0, 0], [0, 0, 1, 0]], np.float32)
    # The rest is one affine map of the channels: saturation and hue stay what they are when contrast comes after them.
    order = colour[5:].astype(int)[:: -1 if preprocessing.channel_order == "bgr" else 1]
    mean, std = np.array(preprocessing.mean), np.array(preprocessing.std)
    contrast = contrast_first * contrast_last
    offset = -mean if through_hsv else brightness * contrast - mean
    last = np.column_stack([contrast * np.eye(3)[order] / std[:, None], offset / std]).astype(np.float32)

    def change(image: Any, result: Any, first: Any, second: Any) -> None:
        first[:] = image
        if through_hsv:
            first += brightness
            cv2.cvtColor(first, cv2.COLOR_RGB2HSV, dst=second)
            cv2.transform(second, in_hsv, dst=first)
            if saturation > 1:
                np.minimum(first[..., 1], 1, out=first[..., 1])
            cv2.cvtColor(first, cv2.COLOR_HSV2RGB, dst=second)
            first = second
        cv2.transform(first, last, dst=result)

    return change
