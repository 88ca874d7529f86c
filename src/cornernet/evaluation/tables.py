"""Annotations and results as flat arrays: checked once, then the same for every measure.

Pictures and classes become positions 0..n-1, so ids of any kind work: with gaps, from 0, as text. Annotations are
counted anew as well, whatever their ids were.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cornernet.errors import DatasetError
from cornernet.structures.classes import Classes


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """The annotated boxes of a dataset, in the order they stood in.

    Attributes:
        image_ids: The pictures' ids, ascending.
        classes: Names and category ids, ascending by id.
        images: (n,) int64, position in `image_ids` of each box's picture.
        labels: (n,) int64, each box's class, into `classes`.
        boxes: (n, 4) float64, xywh in pixels of the picture.
        areas: (n,) float64, the object's area in square pixels (its mask's, where it has one); the box's where none
            was given.
        crowd: (n,) bool, whether the box holds many objects that are not annotated one by one.
    """

    image_ids: tuple[Hashable, ...]
    classes: Classes
    images: NDArray[np.int64]
    labels: NDArray[np.int64]
    boxes: NDArray[np.float64]
    areas: NDArray[np.float64]
    crowd: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Results:
    """Detections of the ground truth's classes in its pictures, in the order they stood in.

    Attributes:
        images: (n,) int64, position in the ground truth's `image_ids`.
        labels: (n,) int64, into the ground truth's `classes`.
        boxes: (n, 4) float64, xywh in pixels of the picture.
        scores: (n,) float64.
        dropped: How many more there were, of categories the ground truth does not have.
    """

    images: NDArray[np.int64]
    labels: NDArray[np.int64]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    dropped: int


def read_ground_truth(dataset: dict[str, Any]) -> GroundTruth:
    """Arrays of a COCO dataset.

    Args:
        dataset: COCO's `images` (`id`), `categories` (`id`, `name`) and `annotations` (`image_id`, `category_id`,
            `bbox` xywh in pixels; `area` and `iscrowd` may be absent).

    Raises:
        DatasetError: When a part or key is missing, an id stands twice or names nothing, a box is not four finite
            numbers, or there is not one box to find.
    """
    images = _column(_part(dataset, "images"), "id", "images")
    _refuse_repeated("images", images)
    image_ids = tuple(sorted(images, key=lambda i: (isinstance(i, str), i)))
    classes = _read_classes(_part(dataset, "categories"))

    annotations = _part(dataset, "annotations")
    crowd = np.array([bool(a.get("iscrowd")) for a in annotations], bool)
    if crowd.all():
        raise DatasetError(
            f"expected annotated boxes to measure against, got none in {len(image_ids)} pictures: COCO's test splits "
            "are published without; evaluate on a split that has them, such as val2017"
        )
    boxes = _boxes(_column(annotations, "bbox", "annotations"), "annotations")
    given = [a.get("area") for a in annotations]
    areas = np.array([w * h if a is None else a for a, (w, h) in zip(given, boxes[:, 2:].tolist(), strict=True)], float)
    return GroundTruth(
        image_ids=image_ids,
        classes=classes,
        images=_positions(annotations, "image_id", image_ids, "annotations"),
        labels=_positions(annotations, "category_id", classes.ids, "annotations"),
        boxes=boxes,
        areas=areas,
        crowd=crowd,
    )


def read_results(results: Sequence[dict[str, Any]], truth: GroundTruth) -> Results:
    """Arrays of a list of COCO result entries.

    Args:
        results: Entries with `image_id`, `category_id`, `bbox` (xywh in pixels) and `score`.
        truth: What they will be held against. Entries of categories it does not have are dropped and counted, as a
            detector may know more classes than were annotated.

    Raises:
        DatasetError: When a key is missing, a picture is not among the ground truth's, or a box or score is not finite.
    """
    label_of = truth.classes.label_of()
    images = _positions(results, "image_id", truth.image_ids, "results")
    labels = np.array([label_of.get(c, -1) for c in _column(results, "category_id", "results")], np.int64)
    boxes = _boxes(_column(results, "bbox", "results"), "results")
    scores = np.array(_column(results, "score", "results"), float)
    if not np.isfinite(scores).all():
        row = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise DatasetError(f"expected results[{row}] to have a finite score, got {scores[row]}: make the results anew")
    known = labels >= 0
    return Results(images[known], labels[known], boxes[known], scores[known], int((~known).sum()))


def _part(dataset: dict[str, Any], name: str) -> Sequence[dict[str, Any]]:
    if not isinstance(part := dataset.get(name), list):
        raise DatasetError(
            f"expected COCO annotations with a list {name!r}, got the keys {', '.join(map(str, dataset)) or 'none'}: "
            "give an instances_*.json file's content"
        )
    return part


def _column(rows: Sequence[dict[str, Any]], key: str, where: str) -> list[Any]:
    try:
        return [row[key] for row in rows]
    except KeyError:
        number = next(i for i, row in enumerate(rows) if key not in row)
        raise DatasetError(
            f"expected {where}[{number}] to have the key {key!r}, got {', '.join(map(str, rows[number]))}: "
            "add it, or leave the entry out"
        ) from None


def _read_classes(categories: Sequence[dict[str, Any]]) -> Classes:
    ids = _column(categories, "id", "categories")
    _refuse_repeated("categories", ids)
    by_id = sorted(zip(ids, _column(categories, "name", "categories"), strict=True), key=lambda pair: pair[0])
    return Classes(tuple(str(name) for _, name in by_id), tuple(i for i, _ in by_id))


def _refuse_repeated(where: str, ids: Sequence[Hashable]) -> None:
    if repeated := [i for i, count in Counter(ids).items() if count > 1]:
        raise DatasetError(f"expected {where} to have unique ids, got {repeated[0]!r} more than once: renumber them")


def _positions(rows: Sequence[dict[str, Any]], key: str, ids: Sequence[Hashable], where: str) -> NDArray[np.int64]:
    """Where in `ids` each row's `key` stands."""
    values = _column(rows, key, where)
    position = {i: n for n, i in enumerate(ids)}
    try:
        return np.array([position[v] for v in values], np.int64)
    except KeyError:
        row = next(i for i, v in enumerate(values) if v not in position)
        kind = key.removesuffix("_id")
        raise DatasetError(
            f"expected {where}[{row}] to name one of the annotations' {len(ids)} {kind} ids, got {key} "
            f"{values[row]!r}: use results and annotations of the same split"
        ) from None


def _boxes(boxes: Sequence[Any], where: str) -> NDArray[np.float64]:
    try:
        array = np.array(boxes, float).reshape(len(boxes), 4)
        good = np.isfinite(array).all(axis=1)
    except (TypeError, ValueError):  # ragged, or not numbers
        good = np.array([_is_box(box) for box in boxes], bool)
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        raise DatasetError(
            f"expected the bbox of {where}[{row}] to be four finite numbers x, y, width, height, got {boxes[row]!r}: "
            "correct it, or leave the entry out"
        )
    return array


def _is_box(box: Any) -> bool:
    try:
        return bool(np.isfinite(np.array(box, float).reshape(4)).all())
    except (TypeError, ValueError):
        return False
