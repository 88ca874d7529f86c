"""Where a dataset's files lie: which splits a folder holds, and the pictures' paths, none of them outside the dataset.

Three layouts are known:

    root/annotations/instances_val2017.json    root/val2017/*.jpg     COCO's own (image_info_*.json for its test splits)
    root/annotations/val.json                  root/val/*.jpg         the same without the prefix
    root/val/_annotations.coco.json            root/val/*.jpg         Roboflow's export
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from cornernet.errors import DatasetError

_ROBOFLOW = "_annotations.coco.json"
_INSTANCES, _IMAGE_INFO = "instances_", "image_info_"
_OTHER_TASKS = ("captions_", "panoptic_", "person_keypoints_", "stuff_")


@dataclass(frozen=True)
class SplitFiles:
    """Where one split lies.

    Attributes:
        split: Its name.
        annotations: The JSON file.
        pictures: The folder that file names are relative to; it need not exist.
        without_boxes: Whether the file lists images alone, as COCO's `image_info_*.json` for test splits.
    """

    split: str
    annotations: Path
    pictures: Path
    without_boxes: bool = False


def find_splits(root: Path) -> dict[str, SplitFiles]:
    """The splits a dataset folder holds, by name, in alphabetical order.

    Raises:
        DatasetError: When `root` is no folder.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: expected a dataset folder, got {'a file' if root.exists() else 'nothing there'}")
    found: dict[str, SplitFiles] = {}
    # The first to claim a name keeps it: boxes before plain names, image lists last.
    files = sorted(root.glob("annotations/*.json"), key=lambda file: (_rank(file.stem), file.stem))
    for file in files:
        if not file.stem.startswith(_OTHER_TASKS):
            split = file.stem.removeprefix(_INSTANCES).removeprefix(_IMAGE_INFO)
            found.setdefault(
                split, SplitFiles(split, file, _picture_folder(root, split), file.stem.startswith(_IMAGE_INFO))
            )
    for file in root.glob(f"*/{_ROBOFLOW}"):
        found.setdefault(file.parent.name, SplitFiles(file.parent.name, file, file.parent))
    return dict(sorted(found.items()))


def find_split(root: Path, split: str) -> SplitFiles:
    """One split of a dataset folder.

    Raises:
        DatasetError: When there is none of that name; the message lists those there are.
    """
    found = find_splits(root)
    if split in found:
        return found[split]
    if found:
        raise DatasetError(f"{root}: expected a split {split!r}, found {', '.join(found)}: name one of these")
    raise DatasetError(
        f"{root}: expected annotations of split {split!r}, found none at all: put them at "
        f"annotations/instances_{split}.json, annotations/{split}.json or {split}/{_ROBOFLOW}"
    )


def _rank(stem: str) -> int:
    return 0 if stem.startswith(_INSTANCES) else 2 if stem.startswith(_IMAGE_INFO) else 1


def _picture_folder(root: Path, split: str) -> Path:
    """The first of the usual folders that exists; COCO's test-dev2017 is a list of pictures in test2017."""
    usual = (root / split, root / "images" / split, root / split.replace("-dev", ""))
    return next((folder for folder in usual if folder.is_dir()), usual[0])


def picture_paths(file_names: Sequence[str], pictures: Path, root: Path, source: str) -> list[Path]:
    """The path of each named picture. The files need not exist; those that do lie inside the dataset.

    Args:
        file_names: As in the annotations, relative to `pictures`; both kinds of slash are separators.
        pictures: The folder of the split's pictures, which may itself be a link.
        root: The dataset's folder.
        source: What to call the annotations in an error.

    Raises:
        DatasetError: When a name is empty or absolute, climbs out by `..`, or follows a link out of both folders.
    """
    allowed = (root.resolve(), pictures.resolve())
    plain: dict[tuple[str, ...], frozenset[str]] = {}
    paths = []
    for file_name in file_names:
        *parents, name = _safe_parts(file_name, source)
        folder = pictures.joinpath(*parents)
        path = folder / name
        if (key := tuple(parents)) not in plain:
            _check_inside(folder, allowed, file_name, source)
            plain[key] = _plain_entries(folder)
        # Asking each of a hundred thousand files whether it is a link takes long; the folder's listing knows at once.
        if name not in plain[key] and path.is_symlink():
            _check_inside(path, allowed, file_name, source)
        paths.append(path)
    return paths


def _safe_parts(file_name: str, source: str) -> tuple[str, ...]:
    if not any(sign in file_name for sign in "/\\:\0") and file_name not in ("", ".", ".."):
        return (file_name,)
    path = PureWindowsPath(file_name)  # knows both kinds of slash, and drives
    if path.anchor or not path.parts or ".." in path.parts or "\0" in file_name:
        raise DatasetError(
            f"{source}: expected file names inside the folder of pictures, got {file_name!r}: "
            "make it relative, without '..'"
        )
    return path.parts


def _check_inside(path: Path, allowed: tuple[Path, Path], file_name: str, source: str) -> None:
    real = path.resolve()
    if not any(real.is_relative_to(folder) for folder in allowed):
        raise DatasetError(
            f"{source}: expected pictures inside the dataset's folder, got {file_name!r}, a link out of it to {real}: "
            "copy the picture in"
        )


def _plain_entries(folder: Path) -> frozenset[str]:
    """Names in a folder that are no links; none where there is no folder."""
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries if not entry.is_symlink())
    except OSError:
        return frozenset()
