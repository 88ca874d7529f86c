"""COCO JSON to columns: what must not be is refused with the entry's name, what can be mended is mended and counted."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cornernet.data.problems import ProblemKind, ProblemLog
from cornernet.errors import DatasetError
from cornernet.structures.classes import Classes

_ROUNDING = 0.01  # pixels by which a box may pass the picture's edge uncounted: annotation tools round

Entries = list[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class ImageColumns:
    """The images, in the file's order.

    Attributes:
        ids: Unique ids.
        file_names: As written.
        sizes: (n, 2) int64, height and width in pixels.
    """

    ids: list[int]
    file_names: list[str]
    sizes: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class BoxColumns:
    """The usable boxes, ordered by image, within an image in the file's order.

    Attributes:
        image: (n,) int64, index into the images.
        boxes: (n, 4) float32, xyxy in pixels, clipped to the picture.
        labels: (n,) int64 in 0..C-1.
        crowd: (n,) bool.
        xywh: (n, 4) float64, as written.
        areas: (n,) float64 in square pixels, as written, or width x height.
    """

    image: NDArray[np.int64]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    xywh: NDArray[np.float64]
    areas: NDArray[np.float64]


def entries_of(document: Any, key: str, source: str) -> Entries:
    """The list of objects under one of the document's keys.

    Raises:
        DatasetError: When the document is no object, or has no such list.
    """
    if not isinstance(document, dict):
        hint = ": a list alone is a file of results, not of annotations" if isinstance(document, list) else ""
        raise DatasetError(f"{source}: expected a JSON object, got a value of type {type(document).__name__}{hint}")
    if key not in document:
        raise DatasetError(
            f"{source}: expected the keys 'images', 'annotations' and 'categories', got no {key!r}: is it COCO format?"
        )
    entries = document[key]
    if not isinstance(entries, list):
        raise DatasetError(f"{source}: expected {key!r} to be a list, got a value of type {type(entries).__name__}")
    for position, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise DatasetError(
                f"{source}: expected {key!r} to hold objects, "
                f"got a value of type {type(entry).__name__} at position {position}"
            )
    return entries


def read_classes(entries: Entries, source: str) -> Classes:
    """The classes in order of category id, whatever ids there are.

    Raises:
        DatasetError: When there is no category, one lacks id or name, or an id stands twice.
    """
    ids = _whole_numbers(entries, "id", "category", source).tolist()
    names = _texts(entries, "name", "category", source)
    if not ids:
        raise DatasetError(f"{source}: expected at least one category, got none")
    twice = [category for category, count in Counter(ids).items() if count > 1]
    if twice:
        raise DatasetError(f"{source}: expected each category id once, got {twice[0]} more than once")
    order = sorted(range(len(ids)), key=ids.__getitem__)
    return Classes(tuple(names[i] for i in order), tuple(ids[i] for i in order))


def read_images(entries: Entries, source: str, log: ProblemLog) -> ImageColumns:
    """The images, each id once.

    Raises:
        DatasetError: When there is none, one lacks a key or has no size, or two different ones share an id.
    """
    if not entries:
        raise DatasetError(f"{source}: expected at least one image, got none")
    ids = _whole_numbers(entries, "id", "image", source).tolist()
    names = _texts(entries, "file_name", "image", source)
    sizes = np.stack([_whole_numbers(entries, side, "image", source) for side in ("height", "width")], axis=1)
    for position in np.flatnonzero(sizes.min(axis=1) < 1)[:1]:
        raise DatasetError(
            f"{source}: expected height and width of 1 or more, "
            f"got {sizes[position].tolist()} for image {ids[position]}"
        )
    first: dict[int, int] = {}
    again: list[int] = []
    for position, image_id in enumerate(ids):
        before = first.setdefault(image_id, position)
        if before != position:
            if names[before] != names[position] or (sizes[before] != sizes[position]).any():
                raise DatasetError(
                    f"{source}: expected each image id once, got {image_id} "
                    f"for {names[before]!r} and for {names[position]!r}"
                )
            again.append(position)
    log.add(ProblemKind.IMAGE_TWICE, again, lambda row: f"image {ids[row]}, {names[row]!r}")
    kept = list(first.values())
    log.add(ProblemKind.FILE_TWICE, [kept[i] for i in _seen_before([names[i] for i in kept])], lambda r: repr(names[r]))
    return ImageColumns([ids[i] for i in kept], [names[i] for i in kept], sizes[kept])


def read_boxes(entries: Entries, images: ImageColumns, classes: Classes, source: str, log: ProblemLog) -> BoxColumns:
    """The boxes that can be used, clipped to their pictures; the others are counted in the log.

    Raises:
        DatasetError: On a missing key, a box that is not four finite numbers, an unknown category id, or a crowd flag
            or area that is none; the message names the annotation.
    """
    index_of = {image_id: index for index, image_id in enumerate(images.ids)}
    image_ids = _whole_numbers(entries, "image_id", "annotation", source).tolist()
    image = np.array([index_of.get(image_id, -1) for image_id in image_ids], np.int64)
    labels = _labels(entries, classes, source)
    xywh = _boxes(entries, source)
    crowd = _crowd(entries, source)
    areas = _areas(entries, xywh, source, log)
    _log_ids(entries, log)

    listed = image >= 0
    _log_rows(log, ProblemKind.UNKNOWN_IMAGE, ~listed, entries)
    boxes, usable = _clip(xywh, images.sizes[image], listed, entries, log)
    repeated = _repeated(np.column_stack([image, labels, crowd, xywh]), usable)
    _log_rows(log, ProblemKind.DUPLICATE_BOX, repeated, entries)

    rows = np.flatnonzero(usable & ~repeated)
    rows = rows[np.argsort(image[rows], kind="stable")]
    return BoxColumns(image[rows], boxes[rows], labels[rows], crowd[rows], xywh[rows], areas[rows])


def _clip(
    xywh: NDArray[np.float64],
    sizes: NDArray[np.int64],
    listed: NDArray[np.bool_],
    entries: Entries,
    log: ProblemLog,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Boxes as float32 xyxy inside their pictures, and which of them have area there."""
    low, extent = xywh[:, :2], xywh[:, 2:]
    limits = sizes[:, ::-1].astype(np.float64)  # width, height
    with np.errstate(over="ignore"):
        high = low + extent
    boxes = np.concatenate([np.clip(low, 0, limits), np.clip(high, 0, limits)], axis=1).astype(np.float32)

    inverted = listed & (extent < 0).any(axis=1)
    rest = listed & ~inverted
    outside = rest & (extent > 0).all(axis=1) & ((low >= limits) | (high <= 0)).any(axis=1)
    no_area = rest & ~outside & ~(boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    usable = rest & ~outside & ~no_area
    beyond = usable & ((low < -_ROUNDING) | (high > limits + _ROUNDING)).any(axis=1)
    for kind, rows in (
        (ProblemKind.INVERTED, inverted),
        (ProblemKind.OUTSIDE, outside),
        (ProblemKind.NO_AREA, no_area),
        (ProblemKind.BEYOND, beyond),
    ):
        _log_rows(log, kind, rows, entries)
    return boxes, usable


def _repeated(keys: NDArray[np.float64], usable: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which usable rows equal an earlier usable row."""
    rows = np.flatnonzero(usable)
    order = rows[np.lexsort(keys[rows].T)]  # stable: the first of equal rows stays first
    repeated = np.zeros(len(keys), np.bool_)
    repeated[order[1:]] = (keys[order[1:]] == keys[order[:-1]]).all(axis=1)
    return repeated


def _log_rows(log: ProblemLog, kind: ProblemKind, rows: NDArray[np.bool_], entries: Entries) -> None:
    def describe(row: int) -> str:
        entry = entries[row]
        return f"{_call(entry, row, 'annotation')}, image {entry['image_id']}, bbox {entry['bbox']}"

    log.add(kind, np.flatnonzero(rows).tolist(), describe)


def _log_ids(entries: Entries, log: ProblemLog) -> None:
    """Annotation ids are numbered anew whatever they are; pycocotools takes an object with id 0 for unmatched."""
    ids = [entry.get("id") for entry in entries]
    whole = [row for row, i in enumerate(ids) if type(i) is int]
    values = [ids[row] for row in whole]
    if len(whole) < len(ids):
        missing = sorted(set(range(len(ids))) - set(whole))
        log.add(ProblemKind.ANNOTATION_ID_MISSING, missing, lambda row: f"annotation at position {row}")
    if 0 in values:
        log.add(ProblemKind.ANNOTATION_ID_ZERO, [row for row in whole if ids[row] == 0], lambda _: "annotation 0")
    log.add(ProblemKind.ANNOTATION_ID_TWICE, [whole[i] for i in _seen_before(values)], lambda r: f"annotation {ids[r]}")


def _seen_before(values: Sequence[Hashable]) -> list[int]:
    """Positions of values that stand at an earlier one too."""
    if len(set(values)) == len(values):
        return []
    seen: set[Hashable] = set()
    again = []
    for i, value in enumerate(values):
        if value in seen:
            again.append(i)
        seen.add(value)
    return again


# Columns: the common case is checked for a whole column at once; only one that fails is searched for the culprit.


def _call(entry: dict[str, Any], position: int, kind: str) -> str:
    """What to call an entry in a message."""
    return f"{kind} {entry['id']}" if type(entry.get("id")) is int else f"{kind} at position {position} (from 0)"


def _column(entries: Entries, key: str, kind: str, source: str) -> list[Any]:
    try:
        return [entry[key] for entry in entries]
    except KeyError:
        position = next(p for p, entry in enumerate(entries) if key not in entry)
        raise DatasetError(f"{source}: {_call(entries[position], position, kind)} has no {key!r}") from None


def _wrong(entries: Entries, position: int, key: str, kind: str, expected: str, source: str) -> DatasetError:
    came = repr(entries[position].get(key))
    came = came if len(came) <= 80 else f"{came[:80]}..."
    return DatasetError(
        f"{source}: expected {key!r} to be {expected}, got {came} for {_call(entries[position], position, kind)}"
    )


def _whole_numbers(entries: Entries, key: str, kind: str, source: str) -> NDArray[np.int64]:
    values = _column(entries, key, kind, source)
    if not set(map(type, values)) <= {int}:
        for position, value in enumerate(values):
            if type(value) is not int and not (isinstance(value, float) and value.is_integer()):
                raise _wrong(entries, position, key, kind, "a whole number", source)
    try:
        return np.array([int(value) for value in values], np.int64)
    except OverflowError:
        position = next(p for p, value in enumerate(values) if not -(2**63) <= value < 2**63)
        raise _wrong(entries, position, key, kind, "a whole number of at most 64 bits", source) from None


def _texts(entries: Entries, key: str, kind: str, source: str) -> list[str]:
    values = _column(entries, key, kind, source)
    for position, value in enumerate(values):
        if not isinstance(value, str) or not value:
            raise _wrong(entries, position, key, kind, "a text", source)
    return values


def _labels(entries: Entries, classes: Classes, source: str) -> NDArray[np.int64]:
    label_of = classes.label_of()
    ids = _whole_numbers(entries, "category_id", "annotation", source).tolist()
    for position, category_id in enumerate(ids):
        if category_id not in label_of:
            known = ", ".join(map(str, classes.ids[:20])) + (", ..." if len(classes) > 20 else "")
            raise _wrong(entries, position, "category_id", "annotation", f"one of the categories ({known})", source)
    return np.array([label_of[category_id] for category_id in ids], np.int64)


def _boxes(entries: Entries, source: str) -> NDArray[np.float64]:
    values = _column(entries, "bbox", "annotation", source)
    if set(map(type, values)) <= {list} and set(map(len, values)) <= {4}:
        if set(map(type, chain.from_iterable(values))) <= {int, float}:
            try:
                boxes = np.array(values, np.float64).reshape(-1, 4)
            except OverflowError:  # a whole number with hundreds of digits
                pass
            else:
                if np.isfinite(boxes).all():
                    return boxes
    position = next(p for p, value in enumerate(values) if not _is_box(value))
    raise _wrong(entries, position, "bbox", "annotation", "four finite numbers (x, y, width, height)", source)


def _is_box(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(map(_is_finite, value))


def _is_finite(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def _crowd(entries: Entries, source: str) -> NDArray[np.bool_]:
    values = [entry.get("iscrowd") or 0 for entry in entries]
    for position, value in enumerate(values):
        if value not in (0, 1):
            raise _wrong(entries, position, "iscrowd", "annotation", "0 or 1", source)
    return np.array(values, np.bool_)


def _areas(entries: Entries, xywh: NDArray[np.float64], source: str, log: ProblemLog) -> NDArray[np.float64]:
    """Areas as written, width x height where there is none or a negative one."""
    values = [entry.get("area") for entry in entries]
    for position, value in enumerate(values):
        if value is not None and not _is_finite(value):
            raise _wrong(entries, position, "area", "annotation", "a finite number", source)
    with np.errstate(over="ignore"):
        computed = xywh[:, 2] * xywh[:, 3]
    missing = np.array([value is None for value in values], np.bool_)
    areas = np.where(missing, computed, np.array([value or 0 for value in values], np.float64))
    negative = (areas < 0) & (computed >= 0)
    _log_rows(log, ProblemKind.NEGATIVE_AREA, negative, entries)
    return np.where(negative, computed, areas)
