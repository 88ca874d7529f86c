"""Where a picture lies on the network's canvas, and the way back from canvas to picture."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cornernet.errors import ConfigError
from cornernet.structures.transfer import constants


@dataclass(frozen=True, kw_only=True)
class View:
    """One way of looking at a picture at test time.

    Attributes:
        scale: Factor the picture is resized by first, on top of the weights' own scale.
        flipped: Whether it is mirrored left to right.

    Raises:
        ConfigError: When the scale is not positive.
    """

    scale: float = 1.0
    flipped: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.scale <= 16:
            raise ConfigError(f"expected a test scale above 0 and up to 16, got {self.scale}")


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where a picture lies on its canvas. All sizes are (height, width) in pixels.

    Attributes:
        picture: Size of the original picture.
        resized: Its size after the scale of the weights and of the view.
        canvas: Size of the network's input.
        visible: Rows and columns of the resized picture that the canvas shows: all of them, but for the last row or
            column of a side that `| 127` leaves as it is, which the reference loses, too.
        top: Canvas row of the picture's first row.
        left: Canvas column of the picture's first column.
        flipped: Whether the picture is mirrored on the canvas.
    """

    picture: tuple[int, int]
    resized: tuple[int, int]
    canvas: tuple[int, int]
    visible: tuple[int, int]
    top: int
    left: int
    flipped: bool


def canvas_side(side: int, rule: str) -> int:
    """The canvas side for a picture side: `side | 127` ("or127"), or the next multiple of 128 ("multiple128")."""
    return side | 127 if rule == "or127" else -(-side // 128) * 128


def place(picture: tuple[int, int], rule: str, view: View = View(), *, scale: float = 1.0) -> Placement:
    """Centres a picture of (height, width) pixels on its canvas, rounding as the reference does.

    The picture is resized by the weights' own `scale` times the view's.

    Source: MMDetection's `RandomCenterCropPad` in test mode (`test_pad_mode=["logical_or", 127]`), which follows
    Princeton's `crop_image`.
    """
    resized = tuple(max(1, int(side * scale * view.scale)) for side in picture)
    canvas = tuple(canvas_side(side, rule) for side in resized)
    visible = tuple(min(side, side // 2 + c // 2) for side, c in zip(resized, canvas, strict=True))
    return Placement(
        picture=picture,
        resized=(resized[0], resized[1]),
        canvas=(canvas[0], canvas[1]),
        visible=(visible[0], visible[1]),
        top=canvas[0] // 2 - resized[0] // 2,
        left=canvas[1] // 2 - resized[1] // 2,
        flipped=view.flipped,
    )


def origins(placements: list[Placement], device: torch.device) -> Tensor:
    """(N, 2) float32: x and y of each picture's top-left corner on its canvas."""
    return constants([[p.left, p.top] for p in placements], device)


def to_picture(boxes: Tensor, placements: list[Placement]) -> Tensor:
    """Boxes (N, K, 4) xyxy in pixels of the resized, perhaps mirrored pictures -> pixels of the original pictures.

    A mirrored box is `width - x` (MMDetection's rule; Princeton's is one pixel less).
    """
    ratio = [[p.picture[1] / p.resized[1], p.picture[0] / p.resized[0]] * 2 for p in placements]
    boxes = boxes * constants(ratio, boxes.device)[:, None]
    if not placements or not placements[0].flipped:
        return boxes
    width = constants([p.picture[1] for p in placements], boxes.device)[:, None]
    x0, y0, x1, y1 = boxes.unbind(-1)
    return torch.stack([width - x1, y0, width - x0, y1], dim=-1)
