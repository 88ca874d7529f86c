"""A dataset drawn on the spot: circles, squares and triangles, enough to train, test and show everything with.

Every picture is a function of (seed, split, number) alone. Shapes are drawn by whole-number arithmetic, so that pixels
and boxes are the same on every machine; the files are as long as the PNG encoder writes the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cornernet.data.write_coco import Annotated, new_dataset, write_annotations
from cornernet.errors import ConfigError
from cornernet.structures.classes import Classes

SHAPES = Classes.numbered(("circle", "square", "triangle"))
"""The classes that are drawn."""

MIN_SIZE = 32
"""The smallest pictures that are drawn, in pixels a side."""

_SPLITS = ("train", "val", "test")
_VISIBLE = 60  # per cent of an object's pixels that others leave uncovered
_TRIES = 20  # places tried for an object before it is left out
_COLORS = 12  # colours drawn for an object; the one farthest from those around is taken


@dataclass(frozen=True, kw_only=True)
class ShapesConfig:
    """What is drawn.

    Attributes:
        train: Pictures of the split train.
        val: Pictures of the split val; the split is left out with 0.
        test: Pictures of the split test; the split is left out with 0.
        size: Pixels of a picture's side.
        max_objects: Most objects in a picture.
        empty: Share of pictures without objects.
        seed: Another one gives other pictures.

    Raises:
        ConfigError: On a value outside what can be drawn.
    """

    train: int = 400
    val: int = 60
    test: int = 60
    size: int = 128
    max_objects: int = 5
    empty: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        lows = {"train": 1, "val": 0, "test": 0, "size": MIN_SIZE, "max_objects": 1, "seed": 0}
        for name, low in lows.items():
            if getattr(self, name) < low:
                raise ConfigError(f"expected {name} to be {low} or more, got {getattr(self, name)}")
        if not 0 <= self.empty <= 1:
            raise ConfigError(f"expected empty to be a share between 0 and 1, got {self.empty:g}")

    def counts(self) -> dict[str, int]:
        """Pictures of each split there is."""
        return {split: count for split in _SPLITS if (count := getattr(self, split))}


@dataclass(frozen=True, eq=False)
class Scene:
    """One drawn picture.

    Attributes:
        pixels: (size, size, 3) uint8 RGB.
        owner: (size, size) int64, the object each pixel shows, 0..n-1, or -1 for the background.
        labels: (n,) int64 in 0..2, of `SHAPES`.
    """

    pixels: NDArray[np.uint8]
    owner: NDArray[np.int64]
    labels: NDArray[np.int64]

    def boxes(self) -> NDArray[np.int64]:
        """(n, 4) x, y, width, height in pixels: the tightest box around what is visible of each object."""
        found = np.zeros((len(self.labels), 4), np.int64)
        for number in range(len(self.labels)):
            visible = self.owner == number
            columns, rows = np.flatnonzero(visible.any(axis=0)), np.flatnonzero(visible.any(axis=1))
            found[number] = columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1
        return found

    def areas(self) -> NDArray[np.int64]:
        """(n,) visible pixels of each object."""
        return np.bincount(self.owner.ravel() + 1, minlength=len(self.labels) + 1)[1:]


def make_shapes(
    folder: str | Path, config: ShapesConfig | None = None, *, step: Callable[[], None] = lambda: None
) -> Path:
    """Draws the dataset into a new folder, in COCO layout, whole or not at all.

    Args:
        folder: Where to; it must be new or empty.
        config: What to draw; all the defaults if None.
        step: Called after each picture.

    Returns:
        The folder.

    Raises:
        DatasetError: When the folder holds something.
        OSError: When it cannot be written.
    """
    config = config or ShapesConfig()
    with new_dataset(Path(folder)) as root:
        for split, count in config.counts().items():
            (root / split).mkdir()
            pictures = []
            for number in range(1, count + 1):
                scene = draw_scene(config, split, number)
                name = f"{split}_{number:05}.png"
                (root / split / name).write_bytes(_png(scene.pixels))
                pictures.append(Annotated(name, config.size, config.size, scene.boxes(), scene.labels, scene.areas()))
                step()
            write_annotations(root, split, pictures, SHAPES)
    return Path(folder)


def draw_scene(config: ShapesConfig, split: str, number: int) -> Scene:
    """One picture: a smooth background, shapes that may cover each other in part, and noise over all.

    Args:
        config: What is drawn.
        split: One of train, val, test.
        number: Which picture of the split, from 1.
    """
    rng = np.random.Generator(np.random.PCG64([config.seed, _SPLITS.index(split), number]))
    size = config.size
    corners = rng.integers(50, 206, (2, 2, 3))
    canvas = _gradient(corners, size)
    owner = np.full((size, size), -1, np.int64)
    labels: list[int] = []
    colors = list(corners.reshape(4, 3))
    full: list[int] = []
    for _ in range(0 if rng.random() < config.empty else rng.integers(1, config.max_objects + 1)):
        label = int(rng.integers(len(SHAPES)))
        placed = _place(rng, label, owner, full)
        if placed is None:
            continue
        owner = placed
        full.append(int((owner == len(full)).sum()))
        labels.append(label)
        colors.append(_distinct_color(rng, colors))
        canvas[owner == len(full) - 1] = colors[-1]
    amplitude = rng.integers(4, 17)
    noise = rng.integers(-amplitude, amplitude + 1, canvas.shape)
    return Scene(np.clip(canvas + noise, 0, 255).astype(np.uint8), owner, np.array(labels, np.int64))


def _place(rng: np.random.Generator, label: int, owner: NDArray[np.int64], full: list[int]) -> NDArray[np.int64] | None:
    """`owner` with one object more on top, or None where it would cover too much of the others.

    Args:
        rng: Draws size, direction and place.
        label: The new object's.
        owner: The object each pixel shows.
        full: Pixels of each object when nothing covered it.
    """
    size = len(owner)
    for _ in range(_TRIES):
        side = int(rng.integers(size * 3 // 16, size * 7 // 16 + 1))
        mask = _mask(label, side, int(rng.integers(4)))
        x, y = rng.integers(0, size - side + 1, 2)
        tried = owner.copy()
        tried[y : y + side, x : x + side][mask] = len(full)
        visible = np.bincount(tried.ravel() + 1, minlength=len(full) + 1)[1 : len(full) + 1]
        if (100 * visible >= _VISIBLE * np.array(full, np.int64)).all():
            return tried
    return None


def _mask(label: int, side: int, turns: int) -> NDArray[np.bool_]:
    """(side, side) the pixels of a shape, which touches all four edges; triangles point in one of four directions."""
    middle = 2 * np.arange(side) + 1 - side  # twice the distance from the centre
    if label == 0:
        return (middle**2 + middle[:, None] ** 2) <= side * side
    if label == 1:
        return np.ones((side, side), np.bool_)
    triangle: NDArray[np.bool_] = np.rot90(np.abs(middle) <= np.arange(1, side + 1)[:, None], turns)
    return triangle


def _gradient(corners: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """(size, size, 3) colours between those of the corners (2, 2, 3)."""
    across, down = np.arange(size)[:, None], np.arange(size)[:, None, None]
    last = size - 1
    top, bottom = (left * (last - across) + right * across for left, right in corners)
    colors: NDArray[np.int64] = (top * (last - down) + bottom * down) // (last * last)
    return colors


def _distinct_color(rng: np.random.Generator, others: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """(3,) RGB 0..255 unlike the others: of several drawn, the one whose nearest other is farthest."""
    drawn = rng.integers(0, 256, (_COLORS, 3))
    distance = np.abs(drawn[:, None] - np.stack(others)).max(axis=2).min(axis=1)
    best: NDArray[np.int64] = drawn[int(distance.argmax())]
    return best


def _png(pixels: NDArray[np.uint8]) -> bytes:
    good, data = cv2.imencode(".png", pixels[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 6])
    assert good, "OpenCV encodes 8-bit RGB of any size we draw"
    return data.tobytes()
