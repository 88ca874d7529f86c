"""Datasets written in COCO layout: a folder that appears whole or not at all."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from cornernet.errors import DatasetError
from cornernet.structures.classes import Classes
from cornernet.structures.files import write_atomic


@dataclass(frozen=True, eq=False)
class Annotated:
    """One picture as it will stand in the annotations.

    Attributes:
        file_name: Relative to the folder of the split's pictures, with forward slashes.
        height: Rows in pixels, upright.
        width: Columns in pixels.
        xywh: (n, 4) x, y, width, height in pixels of the picture; whole numbers are written as such.
        labels: (n,) in 0..C-1.
        areas: (n,) in square pixels.
    """

    file_name: str
    height: int
    width: int
    xywh: NDArray[Any]
    labels: NDArray[Any]
    areas: NDArray[Any]


@contextmanager
def new_dataset(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder`, which takes its name when the block ends without an error.

    Args:
        folder: The final name; missing parent folders are made.

    Yields:
        An empty folder to write to.

    Raises:
        DatasetError: When `folder` is a file or holds something.
        OSError: When the folders cannot be made or renamed.
    """
    folder = folder.resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        came = "a folder that holds something" if folder.is_dir() else "a file"
        raise DatasetError(
            f"{folder}: expected a new or empty folder to write the dataset to, got {came}: name another"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}.tmp")
    temporary.mkdir()
    try:
        yield temporary
        if folder.exists():
            folder.rmdir()  # it is empty; Windows renames onto no folder at all
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # gone already when all went well


def write_annotations(root: Path, split: str, pictures: Iterable[Annotated], classes: Classes) -> None:
    """Writes `annotations/instances_SPLIT.json`; images and annotations are numbered from 1, in the order given.

    Raises:
        OSError: When the file cannot be written.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, picture in enumerate(pictures, start=1):
        images.append(
            {"id": image_id, "file_name": picture.file_name, "height": picture.height, "width": picture.width}
        )
        rows = zip(picture.xywh.tolist(), picture.labels.tolist(), picture.areas.tolist(), strict=True)
        for xywh, label, area in rows:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": classes.ids[label],
                    "bbox": xywh,
                    "area": area,
                    "iscrowd": 0,
                }
            )
    document = {
        "info": {},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in zip(classes.ids, classes.names, strict=True)],
    }
    write_atomic(root / "annotations" / f"instances_{split}.json", json.dumps(document) + "\n")
