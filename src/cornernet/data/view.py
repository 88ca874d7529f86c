"""Training batches to look at: the pictures as the network gets them, with their boxes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cornernet.data.batches import Batch
from cornernet.data.photometric import Normalisation, colour_and_normalise
from cornernet.structures.draw import class_color

_GAP = 4  # pixels between pictures
_FONT, _SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.45


def draw_batch(batch: Batch, preprocessing: Normalisation, names: Sequence[str]) -> NDArray[np.uint8]:
    """A sheet of the batch's pictures, colours changed as in training, with boxes and class names.

    What the changed colours leave outside 0..255 is clipped here, and only here. Pictures narrower than 256 pixels are
    enlarged by a whole factor, so that names have room.

    Args:
        batch: On a CPU.
        preprocessing: How the network takes its pictures; undone after it was applied.
        names: Class name of each label.

    Returns:
        (height, width, 3) uint8 RGB, the pictures row by row on white.
    """
    images = colour_and_normalise(batch, preprocessing).permute(0, 2, 3, 1).numpy()
    mean, std = (np.asarray(values, np.float32) for values in (preprocessing.mean, preprocessing.std))
    pixels = np.clip(np.rint(images * std + mean), 0, 255)
    if preprocessing.channel_order == "bgr":
        pixels = pixels[..., ::-1]
    factor = max(1, -(-256 // pixels.shape[2]))
    tiles = pixels.astype(np.uint8).repeat(factor, axis=1).repeat(factor, axis=2)
    count, height, width, _ = tiles.shape
    columns = math.ceil(math.sqrt(count))
    rows = -(-count // columns)
    sheet = np.full((rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3), 255, np.uint8)
    for number, tile in enumerate(tiles):
        own = batch.image_index == number
        _draw(tile, batch.boxes[own].numpy() * factor, batch.labels[own].tolist(), names)
        y, x = (number // columns) * (height + _GAP), (number % columns) * (width + _GAP)
        sheet[y : y + height, x : x + width] = tile
    return sheet


def _draw(picture: NDArray[np.uint8], boxes: NDArray[np.float32], labels: Sequence[int], names: Sequence[str]) -> None:
    """Draws onto the picture itself."""
    for box, label in zip(boxes, labels, strict=True):
        x0, y0, x1, y1 = np.rint(box).astype(int).tolist()
        color = class_color(label)
        cv2.rectangle(picture, (x0, y0), (max(x0, x1 - 1), max(y0, y1 - 1)), color, 1)
        (width, height), baseline = cv2.getTextSize(names[label], _FONT, _SCALE, 1)
        x = max(0, min(x0, picture.shape[1] - width))
        y = y0 if y0 >= height + baseline else min(picture.shape[0], y0 + height + baseline)
        cv2.rectangle(picture, (x, y - height - baseline), (x + width, y), color, -1)
        cv2.putText(picture, names[label], (x, y - baseline), _FONT, _SCALE, (0, 0, 0), 1, cv2.LINE_AA)
