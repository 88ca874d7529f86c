"""A split in numbers: classes, box sizes, boxes per picture, picture sizes, and objects that share a corner's cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cornernet.data.coco import CocoDataset
from cornernet.errors import ConfigError

SMALL_AREA, LARGE_AREA = 32.0**2, 96.0**2
"""COCO's bounds of small, medium and large objects, in square pixels of the picture."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How values are spread.

    Attributes:
        least: The smallest.
        p5: 5 % are below it.
        p25: A quarter is below it.
        median: Half are below it.
        p75: A quarter is above it.
        p95: 5 % are above it.
        most: The largest.
        mean: The arithmetic mean.
    """

    least: float
    p5: float
    p25: float
    median: float
    p75: float
    p95: float
    most: float
    mean: float


@dataclass(frozen=True, kw_only=True)
class ClassCount:
    """How often a class was annotated.

    Attributes:
        id: Its category id.
        name: Its name.
        boxes: How many there are.
        pictures: On how many pictures.
    """

    id: int
    name: str
    boxes: int
    pictures: int


@dataclass(frozen=True, kw_only=True)
class Collisions:
    """Objects whose corner lies in the same cell of a heatmap as another object's of the same picture.

    A cell has one offset and one embedding, so of such objects CornerNet can place and pair only one; where the class
    is the same as well, their peaks are one.

    Attributes:
        crop: Longer side, in pixels, that each picture is scaled to.
        cells: Cells along it.
        top_left: Objects that share the top-left corner's cell with another.
        top_left_same_class: With another of the same class.
        bottom_right: Objects that share the bottom-right corner's cell with another.
        bottom_right_same_class: With another of the same class.
        both_same_class: Objects that share both cells with one and the same other of their class.
    """

    crop: int
    cells: int
    top_left: int
    top_left_same_class: int
    bottom_right: int
    bottom_right_same_class: int
    both_same_class: int


@dataclass(frozen=True, kw_only=True)
class DatasetStats:
    """One split in numbers. Boxes of crowds are counted in `crowd` alone; the others are taken clipped to the picture.

    Attributes:
        split: The split's name.
        pictures: How many there are.
        empty: Pictures without boxes.
        boxes: How many there are.
        crowd: Boxes of crowds.
        small: Boxes whose annotated area is below 32 x 32 pixels.
        medium: Those between.
        large: Boxes whose annotated area is 96 x 96 pixels or more.
        side: Square root of a box's width x height, in pixels; None without boxes, as the next three.
        width: Boxes' widths in pixels.
        height: Boxes' heights in pixels.
        aspect: Width / height of boxes.
        per_picture: Boxes per picture.
        picture_width: In pixels.
        picture_height: In pixels.
        classes: In label order.
        collisions: See there.
    """

    split: str
    pictures: int
    empty: int
    boxes: int
    crowd: int
    small: int
    medium: int
    large: int
    side: Spread | None
    width: Spread | None
    height: Spread | None
    aspect: Spread | None
    per_picture: Spread | None
    picture_width: Spread | None
    picture_height: Spread | None
    classes: tuple[ClassCount, ...]
    collisions: Collisions


@dataclass(frozen=True, eq=False)
class BoxTable:
    """The boxes of a split, one row each, without those of crowds.

    Attributes:
        image: (n,) int64, index into the dataset's images.
        boxes: (n, 4) float64, xyxy in pixels of the picture, clipped to it.
        labels: (n,) int64.
        areas: (n,) float64, as annotated.
        sizes: (images, 2) int64, height and width of each picture in pixels.
        crowd: How many boxes of crowds were left out.
    """

    image: NDArray[np.int64]
    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    areas: NDArray[np.float64]
    sizes: NDArray[np.int64]
    crowd: int

    @classmethod
    def of(cls, dataset: CocoDataset) -> BoxTable:
        """The dataset's boxes."""
        images = dataset.images
        crowd = np.concatenate([np.zeros(0, np.bool_), *(image.crowd for image in images)])
        counts = [len(image) for image in images]
        return cls(
            image=np.repeat(np.arange(len(images)), counts)[~crowd],
            boxes=np.concatenate([np.zeros((0, 4)), *(image.boxes for image in images)])[~crowd],
            labels=np.concatenate([np.zeros(0, np.int64), *(image.labels for image in images)])[~crowd],
            areas=np.concatenate([np.zeros(0), *(image.areas for image in images)])[~crowd],
            sizes=np.array([(image.height, image.width) for image in images], np.int64).reshape(-1, 2),
            crowd=int(crowd.sum()),
        )

    @property
    def sides(self) -> NDArray[np.float64]:
        """(n, 2) width and height of each box in pixels."""
        return self.boxes[:, 2:] - self.boxes[:, :2]

    @property
    def per_picture(self) -> NDArray[np.int64]:
        """(images,) boxes of each picture."""
        return np.bincount(self.image, minlength=len(self.sizes))


def describe(dataset: CocoDataset, *, crop: int = 511, stride: int = 4) -> DatasetStats:
    """A split in numbers.

    Args:
        dataset: The split.
        crop: For the collisions: the longer side each picture is scaled to, in pixels; that of the training crops.
        stride: Pixels per cell.

    Raises:
        ConfigError: When crop or stride is below 1.
    """
    table = BoxTable.of(dataset)
    sides, counts = table.sides, table.per_picture
    small, large = table.areas < SMALL_AREA, table.areas >= LARGE_AREA
    return DatasetStats(
        split=dataset.split,
        pictures=len(dataset),
        empty=int((counts == 0).sum()),
        boxes=len(table.boxes),
        crowd=table.crowd,
        small=int(small.sum()),
        medium=int((~small & ~large).sum()),
        large=int(large.sum()),
        side=spread(np.sqrt(sides.prod(axis=1))),
        width=spread(sides[:, 0]),
        height=spread(sides[:, 1]),
        aspect=spread(sides[:, 0] / sides[:, 1]),
        per_picture=spread(counts),
        picture_width=spread(table.sizes[:, 1]),
        picture_height=spread(table.sizes[:, 0]),
        classes=_count_classes(dataset, table),
        collisions=count_collisions(table, crop=crop, stride=stride),
    )


def spread(values: NDArray[np.generic]) -> Spread | None:
    """How values are spread; None when there are none."""
    if not len(values):
        return None
    # Values that occur: no half boxes.
    steps = np.percentile(values.astype(np.float64), [0, 5, 25, 50, 75, 95, 100], method="inverted_cdf").tolist()
    least, p5, p25, median, p75, p95, most = steps
    mean = float(values.astype(np.float64).mean())
    return Spread(least=least, p5=p5, p25=p25, median=median, p75=p75, p95=p95, most=most, mean=mean)


def count_collisions(table: BoxTable, *, crop: int = 511, stride: int = 4) -> Collisions:
    """Counts objects whose corners share a cell when each picture's longer side is scaled to `crop` pixels.

    A corner's cell is that of `cornernet.corners.targets` on a map of crop / stride cells, rounded up.

    Raises:
        ConfigError: When crop or stride is below 1.
    """
    if crop < 1 or stride < 1:
        raise ConfigError(f"expected crop and stride of 1 or more, got {crop} and {stride}")
    cells = -(-crop // stride)
    longest = table.sizes.max(axis=1, initial=1)[table.image]
    # Columns: picture, top-left x and y, bottom-right x and y, class.
    scaled = table.boxes * (crop / longest)[:, None]
    corners = np.minimum(scaled * (cells / crop), cells - 1).astype(np.int64)
    keys = np.column_stack([table.image, corners, table.labels])
    return Collisions(
        crop=crop,
        cells=cells,
        top_left=_sharing(keys[:, [0, 1, 2]]),
        top_left_same_class=_sharing(keys[:, [0, 1, 2, 5]]),
        bottom_right=_sharing(keys[:, [0, 3, 4]]),
        bottom_right_same_class=_sharing(keys[:, [0, 3, 4, 5]]),
        both_same_class=_sharing(keys),
    )


def _sharing(keys: NDArray[np.int64]) -> int:
    """How many rows equal another one."""
    _, counts = np.unique(keys, axis=0, return_counts=True)
    return int(counts[counts > 1].sum())


def _count_classes(dataset: CocoDataset, table: BoxTable) -> tuple[ClassCount, ...]:
    count = len(dataset.classes)
    boxes = np.bincount(table.labels, minlength=count)
    pairs = np.unique(table.image * count + table.labels)  # each picture and class once
    pictures = np.bincount(pairs % count, minlength=count)
    return tuple(
        ClassCount(id=i, name=name, boxes=b, pictures=p)
        for i, name, b, p in zip(
            dataset.classes.ids, dataset.classes.names, boxes.tolist(), pictures.tolist(), strict=True
        )
    )
