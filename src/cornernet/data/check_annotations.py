"""Annotations read to the end whatever is wrong in them: what `load_coco` would stop at or mend, entry by entry."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cornernet.data.coco import CocoDataset, assemble, read_json
from cornernet.data.coco_checks import (
    BoxColumns,
    Entries,
    ImageColumns,
    entries_of,
    read_boxes,
    read_classes,
    read_images,
)
from cornernet.data.findings import Fault, Finding
from cornernet.data.layout import SplitFiles, picture_paths
from cornernet.data.problems import ProblemKind, ProblemLog, Problems
from cornernet.errors import DatasetError
from cornernet.structures.classes import Classes


def read_split(root: Path, files: SplitFiles) -> tuple[CocoDataset | None, list[Finding]]:
    """What can be used of a split, and all that is wrong with its annotations.

    The readers are those of `load_coco`. Where one refuses the whole list, the entries that it refuses alone are found
    by halving the list, and left out.

    Args:
        root: The dataset's folder.
        files: The split.

    Returns:
        The dataset without the entries that cannot be used, None where no classes or no images are left; its problems
        are those of the entries left. And the findings; there is an error among them exactly if `load_coco` raises one.
    """
    reader = _Reader(root, files)
    try:
        return reader.read(), reader.findings
    except DatasetError as error:  # nothing is left to go on with
        reader.refuse(error)
        return None, reader.findings


class _Reader:
    """Reads one split and collects what is wrong with it."""

    def __init__(self, root: Path, files: SplitFiles) -> None:
        self.root, self.files = root, files
        self.source = str(files.annotations)
        self.findings: list[Finding] = []
        self.path_of: dict[int, Path] = {}

    def read(self) -> CocoDataset:
        """The usable rest.

        Raises:
            DatasetError: When there is none.
        """
        document = read_json(self.files.annotations)
        classes = self._classes(self._entries(document, "categories"))
        listed = self._entries(document, "images")
        usable = self._images(listed)
        log = ProblemLog()
        images = read_images(usable, self.source, log)
        paths = picture_paths(images.file_names, self.files.pictures, self.root, self.source)
        self.path_of = dict(zip(images.ids, paths, strict=True))
        self._mended(log.result(), usable)
        lost = {_whole(entry.get("id")) for entry in listed} - {None, *images.ids}
        annotations, columns, problems = self._annotations(document, images, classes, lost)
        self._mended(problems, annotations)
        return assemble(self.files, self.root, classes, images, paths, columns, problems)

    def refuse(self, error: DatasetError, key: str = "", entry: Any = None, position: int = 0) -> None:
        """Adds an error; if it is about an entry of the list `key`, that was read alone and stands at `position`."""
        message = str(error).removeprefix(f"{self.source}: ")
        self._add(Fault.UNUSABLE, re.sub(r"at position 0\b", f"at position {position}", message), key, entry)

    def _entries(self, document: Any, key: str) -> Entries:
        """The list of objects under a key, without what is no object."""
        values = document.get(key) if isinstance(document, dict) else None
        if not isinstance(values, list):
            return entries_of(document, key, self.source)  # raises
        return self._sift(values, key, lambda part: entries_of({key: part}, key, self.source))

    def _classes(self, entries: Entries) -> Classes:
        entries = self._sift(entries, "categories", lambda part: read_classes(part, self.source))
        kept: dict[int | None, dict[str, Any]] = {}
        for entry in entries:
            if kept.setdefault(_whole(entry["id"]), entry) is not entry:
                first = kept[_whole(entry["id"])]["name"]
                text = f"expected each category id once, got {entry['id']} for {first!r} and for {entry['name']!r}"
                self._add(Fault.UNUSABLE, text)
        return read_classes(list(kept.values()), self.source)

    def _images(self, entries: Entries) -> Entries:
        """The images that can be used: of those that share an id the first, and those listed twice."""
        usable = self._sift(entries, "images", lambda part: read_images(part, self.source, ProblemLog()))
        first: dict[int | None, dict[str, Any]] = {}
        same = []
        for entry in usable:
            before = first.setdefault(_whole(entry["id"]), entry)
            try:
                read_images([before, entry], self.source, ProblemLog())
            except DatasetError as error:
                self.refuse(error, "images", entry)
            else:
                same.append(entry)
        return self._sift(
            same,
            "images",
            lambda part: picture_paths(
                [entry["file_name"] for entry in part], self.files.pictures, self.root, self.source
            ),
        )

    def _annotations(
        self, document: Any, images: ImageColumns, classes: Classes, lost: set[int | None]
    ) -> tuple[Entries, BoxColumns, Problems]:
        """The entries that can be used, but for those of lost images, as they are and as columns."""
        entries: Entries = []
        if "annotations" in document or not self.files.without_boxes:
            try:
                entries = self._entries(document, "annotations")
            except DatasetError as error:  # the pictures can be checked all the same
                self.refuse(error)
        entries = [entry for entry in entries if _whole(entry.get("image_id")) not in lost]
        entries = self._sift(
            entries, "annotations", lambda part: read_boxes(part, images, classes, self.source, ProblemLog())
        )
        log = ProblemLog()
        columns = read_boxes(entries, images, classes, self.source, log)
        return entries, columns, log.result()

    def _sift(self, entries: list[Any], key: str, read: Callable[[list[Any]], object]) -> list[Any]:
        """The entries of the list `key` that `read` does not refuse alone; an error is added for each other one."""
        kept: list[Any] = []
        parts = [(0, len(entries))]
        while parts:
            start, end = parts.pop()
            try:
                if start < end:
                    read(entries[start:end])
            except DatasetError as error:
                if end - start == 1:
                    self.refuse(error, key, entries[start], start)
                else:
                    middle = (start + end) // 2
                    parts += [(middle, end), (start, middle)]  # the earlier half comes next
            else:
                kept += entries[start:end]
        return kept

    def _mended(self, problems: Problems, entries: Entries) -> None:
        for problem in problems.entries:
            for row in problem.rows:
                entry = entries[row]
                if problem.kind.of_images:
                    self._add(problem.kind, f"image {entry['id']}, {entry['file_name']!r}", "images", entry)
                else:
                    text = f"annotation {entry.get('id')!r}, image {entry['image_id']}, bbox {entry['bbox']}"
                    self._add(problem.kind, text, "annotations", entry)

    def _add(self, kind: Fault | ProblemKind, message: str, key: str = "", entry: Any = None) -> None:
        """Adds a finding, about an entry of the list `key` if one is given."""
        entry = entry if isinstance(entry, dict) else {}
        of_annotation = key == "annotations"
        own = _whole(entry.get("id"))
        image_id = _whole(entry.get("image_id")) if of_annotation else own if key == "images" else None
        path = self.path_of.get(image_id) if image_id is not None else None
        self.findings.append(
            Finding(
                kind=kind,
                split=self.files.split,
                message=message,
                file=str(path or entry.get("file_name") or "") or None,
                image_id=image_id,
                annotation_id=own if of_annotation else None,
            )
        )


def _whole(value: Any) -> int | None:
    """A whole number, also when it is written 5.0, as the readers take it."""
    if type(value) is int or (isinstance(value, float) and value.is_integer()):
        return int(value)
    return None
