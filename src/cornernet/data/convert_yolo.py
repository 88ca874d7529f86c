"""YOLO datasets to COCO: a text file of normalised boxes or outlines beside each picture, or in a folder of labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cornernet.data.convert import Conversion, Source, read_text, upright_size, write_dataset
from cornernet.data.images import IMAGE_SUFFIXES, list_images
from cornernet.data.progress import Progress, silent
from cornernet.errors import DatasetError, ImageError
from cornernet.structures.classes import Classes

_SPLITS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
"""The splits, and what their folders are called."""

_ROUNDING = 1e-3  # by which normalised coordinates may pass 0 and 1: programs round


@dataclass(frozen=True)
class _Layout:
    """What a dataset's files say of it.

    Attributes:
        root: The dataset's folder.
        classes: In order of their numbers in the labels.
        pictures: The picture files of each split, each with its name in the split.
    """

    root: Path
    classes: Classes
    pictures: dict[str, list[tuple[Path, str]]]


def convert_yolo(
    source: str | Path, target: str | Path, *, link: bool = False, progress: Progress = silent
) -> Conversion:
    """Converts a YOLO dataset to COCO layout, into a new folder, whole or not at all.

    Understood are: a `data.yaml` (or another YAML file, given itself) with `names` and `train`, `val`, `test`, each a
    folder, a text file that lists pictures, or several of them; or a `classes.txt` with a name a line, and pictures in
    `images/SPLIT`, `SPLIT/images`, or `images` alone, which becomes the split train. The labels of
    `.../images/.../a.jpg` are in `.../labels/.../a.txt`, or beside the picture where no folder is called images.

    A line of a label file is `class x y width height`, normalised to the picture as its EXIF rotation shows it, or
    `class x1 y1 x2 y2 x3 y3 ...`, an outline, of which the box is taken. A picture without a label file has no objects;
    that none has one is an error.

    Args:
        source: The dataset's folder, or its YAML file.
        target: Where to; new or empty.
        link: Link the pictures instead of copying them.
        progress: Shows how many pictures were read, then how many were written.

    Raises:
        DatasetError: When something is not as described; the message names file and line.
        ImageError: When a picture cannot be read.
    """
    layout = _find(Path(source))
    missing: list[Path] = []
    splits: dict[str, list[Source]] = {}
    total = sum(map(len, layout.pictures.values()))
    with progress("reading", total) as step:
        for split, pictures in layout.pictures.items():
            splits[split] = []
            for path, name in pictures:
                splits[split].append(_read(path, name, layout, missing))
                step()
    if len(missing) == total:
        raise DatasetError(f"{missing[0]}: expected labels there, found no label file of any of the {total} pictures")
    return write_dataset(Path(target), layout.classes, splits, link=link, progress=progress)


def read_labels(text: str, name: str, class_count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Boxes and classes of a label file.

    Args:
        text: What stands in it.
        name: What to call it in an error.
        class_count: C.

    Returns:
        (n, 4) float64 xyxy, normalised; (n,) int64 labels in 0..C-1.

    Raises:
        DatasetError: On a line that is neither a box nor an outline; the message names it.
    """
    boxes, labels = [], []
    for number, line in enumerate(text.splitlines(), start=1):
        if words := line.split():
            place = f"{name}, line {number}"
            labels.append(_label(words[0], place, class_count))
            boxes.append(_box(words[1:], place))
    return np.array(boxes, np.float64).reshape(-1, 4), np.array(labels, np.int64)


def _label(word: str, place: str, class_count: int) -> int:
    try:
        label = float(word)  # some programs write 0.0
    except ValueError:
        label = math.nan
    if not (label.is_integer() and 0 <= label < class_count):
        raise DatasetError(f"{place}: expected a class number of 0..{class_count - 1}, got {word!r}")
    return int(label)


def _box(words: Sequence[str], place: str) -> list[float]:
    """A box as xyxy, from centre and size, or from an outline."""
    if len(words) != 4 and (len(words) < 6 or len(words) % 2):
        raise DatasetError(
            f"{place}: expected 'class x y width height' or 'class x1 y1 x2 y2 x3 y3 ...', got {len(words) + 1} values"
        )
    try:
        values = [float(word) for word in words]
    except ValueError:
        raise DatasetError(f"{place}: expected numbers, got {' '.join(words)[:80]!r}") from None
    if not all(-_ROUNDING <= value <= 1 + _ROUNDING for value in values):  # nan as well
        wrong = next(w for w, v in zip(words, values, strict=True) if not -_ROUNDING <= v <= 1 + _ROUNDING)
        hint = ": divide by the picture's width and height" if math.isfinite(float(wrong)) else ""
        raise DatasetError(f"{place}: expected coordinates normalised to 0..1, got {wrong}{hint}")
    if len(words) > 4:
        xs, ys = values[0::2], values[1::2]
        return [min(xs), min(ys), max(xs), max(ys)]
    x, y, width, height = values
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


def _read(path: Path, name: str, layout: _Layout, missing: list[Path]) -> Source:
    """One picture; the path of its label file is added to `missing` where there is none."""
    height, width = upright_size(path)
    swapped, beside = _labels_of(path, layout.root), path.with_suffix(".txt")
    file = swapped if swapped.is_file() or not beside.is_file() else beside
    if not file.is_file():
        missing.append(file)
        return Source(path, name, height, width, np.zeros((0, 4)), np.zeros(0, np.int64))
    boxes, labels = read_labels(read_text(file), str(file), len(layout.classes))
    return Source(path, name, height, width, boxes * [width, height, width, height], labels)


def _labels_of(path: Path, root: Path) -> Path:
    """A picture's label file: in the folder labels instead of the last folder images, or beside it."""
    parts = path.parts
    above = len(root.parts) if path.is_relative_to(root) else 0  # a folder images above the dataset means nothing
    folders = [i for i, part in enumerate(parts[:-1]) if part == "images" and i >= above]
    if folders:
        path = Path(*parts[: folders[-1]], "labels", *parts[folders[-1] + 1 :])
    return path.with_suffix(".txt")


def _find(source: Path) -> _Layout:
    """Classes and pictures.

    Raises:
        DatasetError: When there are none, or not as they should be.
    """
    if source.is_file():
        return _from_yaml(source)
    if not source.is_dir():
        raise DatasetError(f"{source}: expected a dataset's folder or its YAML file, found neither")
    named = [source / name for name in ("data.yaml", "data.yml", "dataset.yaml")]
    others = sorted([*source.glob("*.yaml"), *source.glob("*.yml")])
    found = next((path for path in named if path.is_file()), others[0] if len(others) == 1 else None)
    if found:
        return _from_yaml(found)
    names = source / "classes.txt"
    if not names.is_file():
        raise DatasetError(f"{source}: expected a data.yaml, or a classes.txt with a class name a line, found neither")
    classes = [line.strip() for line in read_text(names).splitlines() if line.strip()]
    return _Layout(source, _named(classes, names), _from_folders(source))


def _from_folders(source: Path) -> dict[str, list[tuple[Path, str]]]:
    pictures = {}
    for split, names in _SPLITS.items():
        folders = [f for name in names for f in (source / "images" / name, source / name / "images", source / name)]
        if folder := next((f for f in folders if f.is_dir()), None):
            pictures[split] = _in_folder(folder)
    if not pictures:
        folder = source / "images"
        pictures["train"] = _in_folder(folder if folder.is_dir() else source)
    return pictures


def _from_yaml(path: Path) -> _Layout:
    import yaml  # type: ignore[import-untyped]

    try:
        document = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise DatasetError(f"{path}: expected YAML, got a broken file ({' '.join(str(error).split())})") from error
    if not isinstance(document, dict) or "names" not in document:
        raise DatasetError(f"{path}: expected the keys 'names' and 'train', got no 'names'")
    names = document["names"]
    if isinstance(names, dict):
        if sorted(names, key=str) != sorted(range(len(names)), key=str):
            raise DatasetError(f"{path}: expected 'names' to be numbered 0..{len(names) - 1}, got {list(names)[:20]}")
        names = [names[i] for i in range(len(names))]
    if not isinstance(names, list):
        raise DatasetError(f"{path}: expected 'names' to be a list, got {names!r}")
    classes = _named([str(name) for name in names], path)
    if document.get("nc", len(classes)) != len(classes):
        raise DatasetError(f"{path}: expected as many 'names' as 'nc' says, {document['nc']}, got {len(classes)}")
    root = path.parent / str(document.get("path") or "")
    root = root if root.is_dir() else path.parent  # many name the folder as it was on another machine
    pictures = {}
    for split, keys in _SPLITS.items():
        if key := next((key for key in keys if document.get(key)), None):
            pictures[split] = _listed(document[key], root, f"{path}: {key!r}")
    if not pictures:
        raise DatasetError(f"{path}: expected 'train', 'val' or 'test' to name pictures, got none of them")
    return _Layout(root, classes, pictures)


def _named(names: Sequence[str], path: Path) -> Classes:
    if not names or len(set(names)) < len(names):
        came = f"{next(n for n in names if names.count(n) > 1)!r} twice" if names else "none"
        raise DatasetError(f"{path}: expected class names that differ, got {came}")
    return Classes.numbered(names)


def _listed(entry: Any, root: Path, place: str) -> list[tuple[Path, str]]:
    """The pictures of a split: those of a folder, of a text file's lines, or of several of these."""
    found: list[tuple[Path, str]] = []
    for item in entry if isinstance(entry, list) else [entry]:
        path = _inside(root, str(item))
        if path.is_dir():
            found += _in_folder(path)
        elif path.is_file():
            found += _in_list(path, root)
        else:
            raise DatasetError(f"{place}: expected a folder of pictures or a list of them, found nothing at {path}")
    return list(dict.fromkeys(found))


def _inside(root: Path, name: str) -> Path:
    """What a YAML file names; Roboflow's `../train/images` means `train/images`."""
    path = root / name
    if not path.exists():
        parts = PurePosixPath(name).parts
        path = root.joinpath(*(part for part in parts if part != ".."))
    return path if path.exists() else root / name


def _in_folder(folder: Path) -> list[tuple[Path, str]]:
    try:
        paths = list_images(folder, recursive=True)
    except ImageError as error:
        raise DatasetError(str(error)) from error
    return [(path, path.relative_to(folder).as_posix()) for path in paths]


def _in_list(file: Path, root: Path) -> list[tuple[Path, str]]:
    found = []
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        if name := line.strip():
            path = next((p for p in (root / name, file.parent / name) if p.is_file()), None)
            if path is None or path.suffix.lower() not in IMAGE_SUFFIXES:
                raise DatasetError(f"{file}, line {number}: expected a picture, found none at {name!r}")
            parts = path.parts
            start = max((i + 1 for i, part in enumerate(parts[:-1]) if part == "images"), default=len(parts) - 1)
            found.append((path, PurePosixPath(*parts[start:]).as_posix()))
    return found
