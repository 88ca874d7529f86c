"""What `predict` found, written as files for other programs: COCO JSON, CSV, Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cornernet.errors import MissingExtraError
from cornernet.structures.classes import Classes
from cornernet.structures.detections import Detections
from cornernet.structures.files import atomic_path

COLUMNS = (
    "image_id", "file_name", "frame_index", "category_id", "category", "score", "x_min", "y_min", "x_max", "y_max",
)  # fmt: skip
"""Columns of the CSV and Parquet files; boxes in pixels of the picture, `frame_index` empty but for videos."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """The detections of one picture or frame.

    Attributes:
        file_name: Path or URL of the picture, as it was named; of the video for a frame.
        detections: What was found.
        frame_index: Number of the frame, from 0; None for a picture.
    """

    file_name: str
    detections: Detections
    frame_index: int | None = None


def check_formats(formats: Sequence[str]) -> None:
    """Makes sure before the work that its results can be written.

    Raises:
        MissingExtraError: When Parquet is asked for and pyarrow is absent.
    """
    if "parquet" in formats and find_spec("pyarrow") is None:
        raise MissingExtraError("pyarrow", "parquet", "--format parquet")


def write_results(folder: Path, formats: Sequence[str], found: Sequence[Found], classes: Classes) -> None:
    """Writes `detections.json`, `.csv`, `.parquet` as asked for, each whole or not at all; image ids count from 1.

    Raises:
        OSError: When a file cannot be written.
    """
    for name in dict.fromkeys(formats):
        suffix, write = _WRITERS[name]
        with atomic_path(folder / f"detections{suffix}") as temporary:
            write(temporary, found, classes)


def _write_coco(path: Path, found: Sequence[Found], classes: Classes) -> None:
    """A COCO dataset whose annotations have a `score`: it opens in annotation tools, and holds COCO results."""
    parts: dict[str, Iterable[dict[str, Any]]] = {
        "images": _images(found),
        "annotations": _annotations(found),
        "categories": ({"id": i, "name": name} for i, name in zip(classes.ids, classes.names, strict=True)),
    }
    with path.open("w", encoding="utf-8", newline="\n") as file:  # entry by entry: there may be millions
        for part, (name, entries) in enumerate(parts.items()):
            file.write(f'{"," if part else "{"}\n"{name}": [')
            for row, entry in enumerate(entries):
                file.write(f"{',' if row else ''}\n{json.dumps(entry)}")
            file.write("\n]")
        file.write("\n}\n")


def _images(found: Sequence[Found]) -> Iterator[dict[str, Any]]:
    for image_id, one in enumerate(found, start=1):
        height, width = one.detections.image_size
        entry = {"id": image_id, "file_name": one.file_name, "width": width, "height": height}
        yield entry if one.frame_index is None else {**entry, "frame_index": one.frame_index}


def _annotations(found: Sequence[Found]) -> Iterator[dict[str, Any]]:
    number = 0
    for image_id, one in enumerate(found, start=1):
        for result in one.detections.to_coco(image_id):
            number += 1
            _, _, width, height = result["bbox"]
            yield {"id": number, **result, "area": width * height, "iscrowd": 0}


def _write_csv(path: Path, found: Sequence[Found], classes: Classes) -> None:
    # A file's name may hold bytes that are no text; they come back as they were.
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(_rows(found))


def _write_parquet(path: Path, found: Sequence[Found], classes: Classes) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = (pa.int64(), pa.string(), pa.int64(), pa.int64(), pa.string(), *[pa.float32()] * 5)
    columns = list(zip(*_rows(found), strict=True)) or [()] * len(COLUMNS)
    arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    pq.write_table(pa.table(arrays, names=list(COLUMNS)), path)


def _rows(found: Sequence[Found]) -> Iterator[tuple[Any, ...]]:
    for image_id, one in enumerate(found, start=1):
        d = one.detections
        for category_id, name, score, box in zip(
            d.category_ids, d.names, d.scores.tolist(), d.boxes.tolist(), strict=True
        ):
            yield image_id, one.file_name, one.frame_index, category_id, name, score, *box


_WRITERS: dict[str, tuple[str, Callable[[Path, Sequence[Found], Classes], None]]] = {
    "coco": (".json", _write_coco),
    "csv": (".csv", _write_csv),
    "parquet": (".parquet", _write_parquet),
}
