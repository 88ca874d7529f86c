"""What training makes of a picture and its boxes: the recipe's random crop, scale and flip, and the colours to draw.

The steps and their distributions are those of MMDetection 3.3.0's CornerNet recipes. Every random choice comes from the
generator that is passed in, and every choice that is made is drawn here: pixels and boxes only follow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cornernet.errors import ConfigError

COLOUR_PARAMETERS = ("brightness", "contrast_first", "saturation", "hue", "contrast_last", "red", "green", "blue")
"""What each number of a sample's colour vector is; `cornernet.data.photometric` says what it does."""

_ROUNDS, _CENTRES = 20, 50
"""Ratios drawn before the crop is laid around a box instead, and centres drawn for each, as in the recipe."""


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """How training pictures are varied. The defaults are the published recipes'.

    Attributes:
        size: (height, width) in pixels of what comes out.
        ratios: The crop is `size` times one of these, drawn evenly, rounded down; it is then resized to `size`.
        border: The crop's centre keeps this distance in pixels to the picture's edges, halved until there is room.
        flip: Probability that the picture is mirrored left to right.
        flip_vertical: Probability that it is mirrored top to bottom: for pictures without an up, such as those taken
            from above or through a microscope.
        colour: Probability of each of brightness, contrast, saturation and hue; 0 leaves colours alone.
        brightness: Added to each channel: -brightness..brightness, on the 0..255 scale.
        contrast: Range of the factor of each channel; drawn evenly, it comes before saturation and hue or after.
        saturation: Range of the saturation's factor.
        hue: Turns the hue by -hue..hue degrees.
        swap: Probability that the colour channels are put in an order drawn from all six.

    Raises:
        ConfigError: On a value that nothing can be drawn from.
    """

    size: tuple[int, int] = (511, 511)
    ratios: tuple[float, ...] = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3)
    border: int = 128
    flip: float = 0.5
    flip_vertical: float = 0.0
    colour: float = 0.5
    brightness: float = 32.0
    contrast: tuple[float, float] = (0.5, 1.5)
    saturation: tuple[float, float] = (0.5, 1.5)
    hue: float = 18.0
    swap: float = 0.5

    def __post_init__(self) -> None:
        for name in ("size", "ratios", "contrast", "saturation"):  # a list, as YAML gives it, is as good
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.size) != 2 or any(not isinstance(side, int) or side < 1 for side in self.size):
            raise ConfigError(f"expected size as two whole numbers from 1 up, height and width, got {self.size}")
        if not self.ratios or any(not 0 < ratio <= 16 or int(min(self.size) * ratio) < 2 for ratio in self.ratios):
            raise ConfigError(f"expected ratios from crops of 2 pixels up to 16 times the size, got {self.ratios}")
        if not isinstance(self.border, int) or self.border < 0:
            raise ConfigError(f"expected border as a whole number of pixels from 0 up, got {self.border!r}")
        for name, largest in (
            ("flip", 1),
            ("flip_vertical", 1),
            ("colour", 1),
            ("swap", 1),
            ("brightness", 255),
            ("hue", 180),
        ):
            if not 0 <= getattr(self, name) <= largest:
                raise ConfigError(f"expected {name} in 0..{largest}, got {getattr(self, name)!r}")
        for name in ("contrast", "saturation"):
            span = getattr(self, name)
            if len(span) != 2 or not 0 <= span[0] <= span[1] <= 16:
                raise ConfigError(f"expected {name} as two factors, low and high, in 0..16, got {span}")

    def at_scale(self, scale: float) -> AugmentConfig:
        """The same samples out of pictures that are yet to be resized by `scale`."""
        ratios = tuple(ratio / scale for ratio in self.ratios)
        return replace(self, ratios=ratios, border=round(self.border / scale))


@dataclass(frozen=True, kw_only=True)
class Crop:
    """The part of a picture that a sample shows: a rectangle that may reach beyond it, perhaps mirrored.

    Attributes:
        left: Its first column, in pixels of the picture; negative where padding comes first.
        top: Its first row.
        width: Its columns.
        height: Its rows.
        flipped: Whether it is shown mirrored left to right.
        flipped_vertically: Whether it is shown mirrored top to bottom.
    """

    left: int
    top: int
    width: int
    height: int
    flipped: bool
    flipped_vertically: bool = False


def draw_crop(
    rng: np.random.Generator, size: tuple[int, int], boxes: NDArray[np.float32], config: AugmentConfig
) -> Crop:
    """Draws whether to flip, then a ratio and a centre until a box's centre lies in the crop.

    A ratio has 50 centres to try, then another is drawn, as in the recipe. The recipe goes on for ever; where 20
    ratios found nothing (a small object in a huge picture, or in a corner that `border` keeps every crop from), the
    crop is laid around a box drawn from all. A picture without boxes takes the first crop.

    Args:
        rng: Gives every choice.
        size: (height, width) of the picture in pixels.
        boxes: (n, 4) xyxy in pixels of the picture, inside it.
        config: What to draw from.
    """
    flips = bool(rng.random() < config.flip), bool(rng.random() < config.flip_vertical)
    height, width = size
    border_y, border_x = inner_border(config.border, height), inner_border(config.border, width)
    middles = _middles(boxes)
    for _ in range(_ROUNDS):
        sides = _draw_sides(rng, config)
        lefts = rng.integers(border_x, width - border_x, _CENTRES) - sides[0] // 2
        tops = rng.integers(border_y, height - border_y, _CENTRES) - sides[1] // 2
        if not len(boxes):
            return _crop((lefts[0], tops[0]), sides, flips)
        found = _inside(middles, (lefts[:, None], tops[:, None]), sides).any(1)
        if found.any():
            first = found.argmax()
            return _crop((lefts[first], tops[first]), sides, flips)
    sides = _draw_sides(rng, config)
    middle = middles[rng.integers(len(middles))]
    # Whole numbers with corner < middle < corner + side, of which there is one at least for sides from 2 up.
    left, top = rng.integers(np.floor(middle).astype(int) - sides + 1, np.ceil(middle).astype(int))
    return _crop((left, top), sides, flips)


def inner_border(border: int, side: int) -> int:
    """`border` halved, rounding down, until something of `side` pixels is left between two of it."""
    while 2 * border >= side:
        border //= 2
    return border


def _draw_sides(rng: np.random.Generator, config: AugmentConfig) -> tuple[int, int]:
    """The width and height of a crop."""
    ratio = config.ratios[rng.integers(len(config.ratios))]
    height, width = config.size
    return int(width * ratio), int(height * ratio)


def _middles(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, 2) the boxes' centres, x and y."""
    return ((boxes[:, :2] + boxes[:, 2:]) / 2).astype(np.float32, copy=False)


def _inside(middles: NDArray[np.float32], corner: tuple[Any, Any], sides: tuple[int, int]) -> NDArray[np.bool_]:
    """Which of (n, 2) points lie in a rectangle, not on its edge; with corners (k, 1) in each of k, (k, n)."""
    (left, top), (width, height), (x, y) = corner, sides, middles.T
    inside: NDArray[np.bool_] = (left < x) & (x < left + width) & (top < y) & (y < top + height)
    return inside


def _crop(corner: tuple[Any, Any], sides: tuple[int, int], flips: tuple[bool, bool]) -> Crop:
    (left, top), (width, height), (flipped, flipped_vertically) = corner, sides, flips
    return Crop(
        left=int(left),
        top=int(top),
        width=width,
        height=height,
        flipped=flipped,
        flipped_vertically=flipped_vertically,
    )


def crop_boxes(
    boxes: NDArray[np.float32], crop: Crop, size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Boxes as they lie in the sample.

    Args:
        boxes: (n, 4) xyxy in pixels of the picture.
        crop: The part that is shown.
        size: (height, width) of the sample in pixels.

    Returns:
        The boxes whose centre lies in the crop, clipped to it, (m, 4) xyxy in pixels of the sample, and which of the
        n they are.
    """
    corner, sides = (crop.left, crop.top), (crop.width, crop.height)
    kept = _inside(_middles(boxes), corner, sides)
    points = (boxes[kept].reshape(-1, 2, 2) - np.array(corner)).clip(0, sides) * (np.array(size[::-1]) / sides)
    if crop.flipped:
        points[..., 0] = size[1] - points[:, ::-1, 0]
    if crop.flipped_vertically:
        points[..., 1] = size[0] - points[:, ::-1, 1]
    moved = points.astype(np.float32)
    has_area = (moved[:, 1] > moved[:, 0]).all(1)  # not where float32 is too coarse for a sliver
    kept[kept] = has_area
    return moved[has_area].reshape(-1, 4), kept


def crop_picture(
    picture: NDArray[np.uint8], crop: Crop, size: tuple[int, int], border_colour: tuple[int, int, int]
) -> NDArray[np.uint8]:
    """The sample's pixels: the crop padded, then resized bilinearly, then mirrored, each where need be.

    A crop's rectangle of boxes (`crop_boxes`) and of pixels move alike: pixel i covers i..i+1.

    Args:
        picture: (height, width, 3) uint8.
        crop: The part to show; it overlaps the picture.
        size: (height, width) of the sample.
        border_colour: What lies beyond the picture, in the picture's channel order.

    Returns:
        (*size, 3) uint8, C-contiguous; it shares no memory with the picture unless it is the whole of it.
    """
    left, top, right, bottom = _overlap(crop, picture.shape[:2])
    pixels = picture[crop.top + top : crop.top + bottom, crop.left + left : crop.left + right]
    if (left, top, right, bottom) != (0, 0, crop.width, crop.height):
        # A flat border first and one resize of the whole: quicker than a warp, whose pixels it equals.
        margins = (top, crop.height - bottom, left, crop.width - right)
        pixels = cv2.copyMakeBorder(pixels, *margins, cv2.BORDER_CONSTANT, value=border_colour)  # type: ignore[assignment]
    if (crop.height, crop.width) != size:
        pixels = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
    if crop.flipped or crop.flipped_vertically:
        code = -1 if crop.flipped and crop.flipped_vertically else int(crop.flipped)  # -1 flips both ways, 0 rows
        pixels = cv2.flip(pixels, code)  # type: ignore[assignment]
    return np.ascontiguousarray(pixels)


def visible_part(crop: Crop, picture_size: tuple[int, int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Where a sample shows its picture: x0, y0, x1, y1 in its pixels, counting those whose middle does.

    The picture ends inside a pixel as a rule. A tiny one scaled down may leave nothing: then x0 = x1 or y0 = y1.
    """
    left, top, right, bottom = _overlap(crop, picture_size)
    (x0, x1), (y0, y1) = (
        (math.ceil(low * scale - 0.5), math.ceil(high * scale - 0.5))
        for low, high, scale in ((left, right, size[1] / crop.width), (top, bottom, size[0] / crop.height))
    )
    if crop.flipped:
        x0, x1 = size[1] - x1, size[1] - x0
    if crop.flipped_vertically:
        y0, y1 = size[0] - y1, size[0] - y0
    return x0, y0, x1, y1


def _overlap(crop: Crop, picture_size: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The picture's left, top, right and bottom in pixels of the crop."""
    height, width = picture_size
    return (
        max(0, -crop.left),
        max(0, -crop.top),
        min(crop.width, width - crop.left),
        min(crop.height, height - crop.top),
    )


def draw_colour(rng: np.random.Generator, config: AugmentConfig) -> NDArray[np.float32]:
    """(8,) float32, in the order of `COLOUR_PARAMETERS`; what is not drawn is 0 where added, 1 where multiplied."""
    brightness, contrast, saturation, hue = rng.random(4) < config.colour
    swap, contrast_first = rng.random() < config.swap, rng.random() < 0.5
    factor = rng.uniform(*config.contrast) if contrast else 1.0
    return np.array(
        [
            rng.uniform(-config.brightness, config.brightness) if brightness else 0.0,
            factor if contrast_first else 1.0,
            rng.uniform(*config.saturation) if saturation else 1.0,
            rng.uniform(-config.hue, config.hue) if hue else 0.0,
            1.0 if contrast_first else factor,
            *(rng.permutation(3) if swap else (0, 1, 2)),
        ],
        np.float32,
    )
