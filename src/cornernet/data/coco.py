"""Datasets in COCO format: annotations read once into arrays per picture, checked, and given back for evaluation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cornernet.data.coco_checks import BoxColumns, ImageColumns, entries_of, read_boxes, read_classes, read_images
from cornernet.data.layout import SplitFiles, find_split, picture_paths
from cornernet.data.problems import ProblemLog, Problems
from cornernet.errors import DatasetError
from cornernet.structures.classes import Classes


@dataclass(frozen=True, eq=False, slots=True)
class CocoImage:
    """One picture and its boxes.

    Attributes:
        id: The image id in the annotations.
        file_name: As in the annotations.
        path: Where the picture lies; whether it does is not checked on loading.
        height: Rows in pixels, as the annotations say.
        width: Columns in pixels.
        boxes: (n, 4) float32, xyxy in pixels of the picture, clipped to it; each has area.
        labels: (n,) int64 in 0..C-1.
        crowd: (n,) bool; a crowd box holds many objects: not trained on, and not counted as missed.
        xywh: (n, 4) float64, the boxes as annotated, x, y, width, height in pixels, not clipped.
        areas: (n,) float64, the objects' areas in square pixels as annotated, or width x height.
    """

    id: int
    file_name: str
    path: Path
    height: int
    width: int
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    xywh: NDArray[np.float64]
    areas: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True, eq=False)
class CocoDataset:
    """One split of a dataset.

    Attributes:
        root: The dataset's folder.
        split: The split's name.
        classes: Names and category ids; labels are 0..C-1 in order of category id.
        images: Every listed picture, also those without boxes, in the file's order.
        problems: What was mended, counted.
    """

    root: Path
    split: str
    classes: Classes
    images: tuple[CocoImage, ...]
    problems: Problems

    def __len__(self) -> int:
        return len(self.images)

    @property
    def has_annotations(self) -> bool:
        """Whether there is any box to compare with; COCO's public test splits have none."""
        return any(len(image.boxes) for image in self.images)

    def missing_files(self) -> list[Path]:
        """The pictures that are listed but not there."""
        return [image.path for image in self.images if not image.path.is_file()]

    def to_coco(self) -> dict[str, Any]:
        """The annotations as a clean COCO document to evaluate against.

        Image and category ids and boxes (x, y, width, height, not clipped) are the original ones. What could not be
        used is absent, annotation ids are numbered from 1, and outlines (`segmentation`) are left out.
        """
        annotations: list[dict[str, Any]] = []
        for image in self.images:
            for xywh, label, area, crowd in zip(
                image.xywh.tolist(), image.labels.tolist(), image.areas.tolist(), image.crowd.tolist(), strict=True
            ):
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image.id,
                        "category_id": self.classes.ids[label],
                        "bbox": xywh,
                        "area": area,
                        "iscrowd": int(crowd),
                    }
                )
        return {
            "info": {},
            "licenses": [],
            "images": [
                {"id": image.id, "file_name": image.file_name, "height": image.height, "width": image.width}
                for image in self.images
            ],
            "annotations": annotations,
            "categories": [
                {"id": category_id, "name": name}
                for category_id, name in zip(self.classes.ids, self.classes.names, strict=True)
            ],
        }


def load_coco(root: str | Path, split: str) -> CocoDataset:
    """Reads one split of a dataset folder; the layouts that are known stand in `cornernet.data.layout`.

    Strict where guessing would change results: a missing key, a box that is not four finite numbers, an unknown
    category or a file name that leads out of the folder is an error naming the entry. Friendly where it would not:
    boxes without area, outside the picture or given twice are dropped and counted in `problems`, ids may have gaps or
    begin at 0, and `info`, `licenses`, `area`, `iscrowd` and annotation ids may be missing.

    Raises:
        DatasetError: When there is no such split, or its annotations cannot be used; the message is one line.
    """
    root = Path(root)
    files = find_split(root, split)
    source = str(files.annotations)
    document = read_json(files.annotations)
    log = ProblemLog()
    classes = read_classes(entries_of(document, "categories", source), source)
    images = read_images(entries_of(document, "images", source), source, log)
    without_boxes = files.without_boxes and "annotations" not in document
    entries = [] if without_boxes else entries_of(document, "annotations", source)
    columns = read_boxes(entries, images, classes, source, log)
    paths = picture_paths(images.file_names, files.pictures, root, source)

    return assemble(files, root, classes, images, paths, columns, log.result())


def assemble(
    files: SplitFiles,
    root: Path,
    classes: Classes,
    images: ImageColumns,
    paths: Sequence[Path],
    columns: BoxColumns,
    problems: Problems,
) -> CocoDataset:
    """The dataset that columns make; each picture's boxes are a view of theirs."""
    bounds = np.searchsorted(columns.image, np.arange(len(images.ids) + 1)).tolist()
    rows = zip(images.ids, images.file_names, paths, images.sizes.tolist(), bounds[:-1], bounds[1:], strict=True)
    return CocoDataset(
        root=root,
        split=files.split,
        classes=classes,
        images=tuple(
            CocoImage(
                id=image_id,
                file_name=file_name,
                path=path,
                height=height,
                width=width,
                boxes=columns.boxes[start:end],
                labels=columns.labels[start:end],
                crowd=columns.crowd[start:end],
                xywh=columns.xywh[start:end],
                areas=columns.areas[start:end],
            )
            for image_id, file_name, path, (height, width), start, end in rows
        ),
        problems=problems,
    )


def check_size(image: CocoImage, picture: NDArray[np.uint8]) -> None:
    """Makes sure that a picture read from file is the one that was annotated.

    Args:
        image: The annotations' entry.
        picture: (height, width, 3) as `read_image` gives it, EXIF rotation obeyed.

    Raises:
        DatasetError: When the two sizes differ: boxes would lie in the wrong places.
    """
    height, width = picture.shape[:2]
    if (height, width) == (image.height, image.width):
        return
    turned = (width, height) == (image.height, image.width)
    hint = "was it annotated without its EXIF rotation?" if turned else "annotations of another version?"
    raise DatasetError(
        f"{image.path}: expected {image.height} x {image.width} pixels (height x width) as image {image.id} is "
        f"annotated, got {height} x {width}: {hint}"
    )


def read_json(path: Path) -> Any:
    """The document of an annotation file, without outlines.

    Raises:
        DatasetError: When it cannot be read, or is no JSON.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: expected annotations as JSON in UTF-8, cannot read it ({error})") from error
    try:
        return json.loads(text, object_hook=_without_outline)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: expected annotations as JSON, got a broken file ({error})") from error


def _without_outline(entry: dict[str, Any]) -> dict[str, Any]:
    """Outlines take most of COCO's memory and are of no use here: they go as soon as they are parsed."""
    entry.pop("segmentation", None)
    return entry
