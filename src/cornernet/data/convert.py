"""Datasets in other formats to COCO's: what every format has in common."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cornernet.data.headers import read_header
from cornernet.data.progress import Progress, silent
from cornernet.data.write_coco import Annotated, new_dataset, write_annotations
from cornernet.errors import DatasetError
from cornernet.structures.classes import Classes


@dataclass(frozen=True, eq=False)
class Source:
    """One picture of a dataset that is converted.

    Attributes:
        path: Where it lies.
        name: What it will be called in its split's folder, with forward slashes.
        height: Rows in pixels, upright.
        width: Columns in pixels.
        boxes: (n, 4) float64 xyxy in pixels of the picture.
        labels: (n,) int64 in 0..C-1.
    """

    path: Path
    name: str
    height: int
    width: int
    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What a conversion wrote.

    Attributes:
        folder: The dataset.
        classes: Its classes; category ids are 1..C.
        pictures: Pictures of each split.
        boxes: Boxes of each split.
        dropped: Boxes that were left out, since they have no area inside their picture.
        clipped: Boxes that reached beyond their picture by more than a pixel, and were clipped to it.
    """

    folder: Path
    classes: Classes
    pictures: Mapping[str, int]
    boxes: Mapping[str, int]
    dropped: int
    clipped: int


def write_dataset(
    folder: Path,
    classes: Classes,
    splits: Mapping[str, Sequence[Source]],
    *,
    link: bool = False,
    progress: Progress = silent,
) -> Conversion:
    """Writes a dataset in COCO layout, whole or not at all; boxes are clipped to their pictures.

    Args:
        folder: Where to; new or empty.
        classes: The classes.
        splits: The pictures of each split.
        link: Link the pictures instead of copying them (hard links: both names are the same file).
        progress: Shows how many pictures were written.

    Raises:
        DatasetError: When the folder holds something, two pictures of a split would have the same name, or a picture
            cannot be linked.
        OSError: When a file cannot be read or written.
    """
    boxes, dropped, clipped = {}, 0, 0
    with new_dataset(folder) as root, progress("writing", sum(map(len, splits.values()))) as step:
        for split, sources in splits.items():
            _refuse_same_names(split, sources)
            pictures = []
            for source in sources:
                picture, beyond = _annotated(source)
                dropped += len(source.boxes) - len(picture.xywh)
                clipped += beyond
                pictures.append(picture)
                _place(source.path, root.joinpath(split, *source.name.split("/")), link=link)
                step()
            boxes[split] = sum(len(picture.xywh) for picture in pictures)
            write_annotations(root, split, pictures, classes)
    return Conversion(
        folder=folder,
        classes=classes,
        pictures={split: len(sources) for split, sources in splits.items()},
        boxes=boxes,
        dropped=dropped,
        clipped=clipped,
    )


def upright_size(path: Path) -> tuple[int, int]:
    """(height, width) of a picture as it is read, its EXIF rotation obeyed; no pixel is decoded.

    Raises:
        ImageError: When it is no picture that can be read.
        OSError: When the file cannot be read.
    """
    header = read_header(path.read_bytes(), str(path))
    return (header.width, header.height) if header.orientation >= 5 else (header.height, header.width)


def read_text(path: Path) -> str:
    """A text file in UTF-8.

    Raises:
        DatasetError: When it cannot be read as such.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: expected text in UTF-8, cannot read it ({error})") from error


def _refuse_same_names(split: str, sources: Sequence[Source]) -> None:
    """Names that differ in case alone are the same, as some file systems take them."""
    taken: dict[str, Path] = {}
    for source in sources:
        before = taken.setdefault(source.name.casefold(), source.path)
        if before is not source.path:
            raise DatasetError(
                f"{source.path}: expected names that differ within split {split!r}, got {source.name!r} for {before} "
                "as well: rename one"
            )


def _annotated(source: Source) -> tuple[Annotated, int]:
    """A picture's boxes inside it, without those that have no area there; and how many were clipped."""
    limits = np.array([source.width, source.height] * 2, np.float64)
    inside = np.clip(source.boxes, 0, limits)
    kept = (inside[:, 2:] > inside[:, :2]).all(axis=1)
    beyond = int((np.abs(inside - source.boxes)[kept] > 1).any(axis=1).sum())
    inside = inside[kept].round(3)  # thousandths of a pixel: less noise in the file than digits of a division
    xywh = np.concatenate([inside[:, :2], inside[:, 2:] - inside[:, :2]], axis=1).round(3)
    areas = xywh[:, 2:].prod(axis=1).round(3)
    return Annotated(source.name, source.height, source.width, xywh, source.labels[kept], areas), beyond


def _place(source: Path, target: Path, *, link: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not link:
        shutil.copyfile(source, target)
        return
    try:
        os.link(source.resolve(), target)
    except OSError as error:
        raise DatasetError(
            f"{source}: expected a picture that can be linked from {target.parent.parent.parent}, got "
            f"{error.strerror or error}: links stay on one drive, copy instead"
        ) from error
