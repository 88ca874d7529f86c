"""Boxes with class names drawn onto a picture."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from cornernet.errors import ConfigError

if TYPE_CHECKING:
    from cornernet.structures.detections import Detections

_GOLDEN_RATIO = 0.618033988749895  # steps around the colour wheel by it give neighbouring labels distant hues
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def class_color(label: int) -> tuple[int, int, int]:
    """A label's colour, RGB 0..255: always the same, and far from its neighbours'."""
    r, g, b = colorsys.hsv_to_rgb((label * _GOLDEN_RATIO) % 1.0, 0.85, 0.95)
    return int(255 * r), int(255 * g), int(255 * b)


def draw_boxes(image: NDArray[np.uint8], detections: Detections) -> NDArray[np.uint8]:
    """A copy of the picture with boxes drawn on it, the best on top; line and letter size follow the picture's.

    Args:
        image: (height, width, 3) uint8 RGB, the picture the detections belong to.
        detections: Boxes in pixels of that picture.

    Raises:
        ConfigError: When the picture is not uint8 RGB or not of the detections' size.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.shape[:2] != detections.image_size:
        raise ConfigError(
            f"expected the boxes' own picture, uint8 RGB {(*detections.image_size, 3)}, got {image.dtype} {image.shape}"
        )
    canvas: NDArray[np.uint8] = np.ascontiguousarray(image).copy()
    line = max(1, round(min(canvas.shape[:2]) / 300))
    scale = max(0.4, min(canvas.shape[:2]) / 1000)
    rows = zip(detections.boxes, detections.scores, detections.labels, detections.names, strict=True)
    for box, score, label, name in reversed(list(rows)):
        color = class_color(int(label))
        # Far outside coordinates overflow OpenCV's fixed point: keep them near the picture.
        x0, y0, x1, y1 = np.clip(np.rint(box), -(2**14), 2**14).astype(int).tolist()
        cv2.rectangle(canvas, (x0, y0), (x1, y1), color, line)
        _draw_text(canvas, f"{name} {score:.2f}", (x0, y0), color, scale, line)
    return canvas


def _draw_text(
    canvas: NDArray[np.uint8], text: str, corner: tuple[int, int], color: tuple[int, int, int], scale: float, line: int
) -> None:
    """Text on a filled strip just above the box's top-left corner, or just below it where there is no room."""
    (width, height), baseline = cv2.getTextSize(text, _FONT, scale, max(1, line // 2))
    x = max(0, min(corner[0], canvas.shape[1] - width))
    bottom = corner[1] if corner[1] >= height + baseline else corner[1] + height + baseline
    cv2.rectangle(canvas, (x, bottom - height - baseline), (x + width, bottom), color, -1)
    ink = (0, 0, 0) if 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] > 140 else (255, 255, 255)
    cv2.putText(canvas, text, (x, bottom - baseline // 2 - 1), _FONT, scale, ink, max(1, line // 2), cv2.LINE_AA)
