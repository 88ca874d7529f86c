"""Pascal VOC datasets to COCO: an XML file of boxes for each picture, lists of pictures for each split."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any, NoReturn
from xml.etree import ElementTree as ET
from xml.parsers import expat

import numpy as np

from cornernet.data.convert import Conversion, Source, read_text, upright_size, write_dataset
from cornernet.data.images import IMAGE_SUFFIXES
from cornernet.data.progress import Progress, silent
from cornernet.errors import DatasetError
from cornernet.structures.classes import Classes

_MAX_BYTES = 1 << 24  # of an XML file: far above what describes one picture
_PICTURES = ("JPEGImages", "images", "Images", ".")
_SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class VocObject:
    """One object as annotated.

    Attributes:
        name: Its class.
        box: xyxy in pixels of the picture, from 0: VOC's first pixel is 1, and its last one inside the box.
        difficult: Whether it is marked as difficult to recognise.
    """

    name: str
    box: tuple[float, float, float, float]
    difficult: bool


@dataclass(frozen=True)
class VocPicture:
    """What an XML file says.

    Attributes:
        file_name: The picture's name, without folders; empty where it is not given.
        size: Height and width in pixels; None where they are not given, or 0.
        objects: The objects.
    """

    file_name: str
    size: tuple[int, int] | None
    objects: tuple[VocObject, ...]


def convert_voc(
    source: str | Path,
    target: str | Path,
    *,
    skip_difficult: bool = False,
    link: bool = False,
    progress: Progress = silent,
) -> Conversion:
    """Converts a Pascal VOC dataset to COCO layout, into a new folder, whole or not at all.

    The splits are the lists `ImageSets/Main/{train,val,test}.txt`, or `trainval.txt` where there is no train; without
    lists all of `Annotations/*.xml` is the split train. Pictures are looked for in `JPEGImages`, `images` and beside
    the folder of annotations, by the XML file's own name or the one in it. Classes are those that occur, by alphabet.

    Args:
        source: The folder with `Annotations`, such as `VOCdevkit/VOC2012`.
        target: Where to; new or empty.
        skip_difficult: Leave out objects that are marked as difficult; otherwise they are objects as all others.
        link: Link the pictures instead of copying them.
        progress: Shows how many pictures were read, then how many were written.

    Raises:
        DatasetError: When something is not as described; the message names file and line.
        ImageError: When a picture cannot be read.
    """
    root = Path(source)
    lists = _find_splits(root)
    read: dict[str, tuple[Path, VocPicture]] = {}  # a picture may stand in several lists
    with progress("reading", len({stem for stems in lists.values() for stem in stems})) as step:
        for stem in (stem for stems in lists.values() for stem in stems):
            if stem not in read:
                file = root / "Annotations" / f"{stem}.xml"
                picture = read_voc(file)
                read[stem] = (_find_picture(root, stem, picture.file_name, file), picture)
                step()
    kept = {
        stem: [o for o in picture.objects if not (skip_difficult and o.difficult)]
        for stem, (_, picture) in read.items()
    }
    classes = Classes.numbered(sorted({o.name for objects in kept.values() for o in objects}))
    if not len(classes):
        raise DatasetError(f"{root}: expected objects in Annotations/*.xml, found none in {len(read)} files")
    label_of = {name: label for label, name in enumerate(classes.names)}
    sources = {stem: _to_source(*read[stem], objects, label_of) for stem, objects in kept.items()}
    splits = {split: [sources[stem] for stem in stems] for split, stems in lists.items()}
    return write_dataset(Path(target), classes, splits, link=link, progress=progress)


def read_voc(file: Path) -> VocPicture:
    """What an XML file says.

    Raises:
        DatasetError: When it is no VOC annotation; the message names the line.
    """
    root = _parse(file)
    size = root.find("size")
    height, width = (_number(size, side, file, 0.0) if size is not None else 0.0 for side in ("height", "width"))
    name = PureWindowsPath((root.findtext("filename") or "").strip()).name  # knows both kinds of slash
    objects = tuple(_read_object(element, file) for element in root.findall("object"))
    return VocPicture(name, (int(height), int(width)) if height > 0 and width > 0 else None, objects)


def _read_object(element: ET.Element, file: Path) -> VocObject:
    name = (element.findtext("name") or "").strip()
    if not name:
        _refuse(file, element, "expected <object> with a <name>, got none")
    frame = element.find("bndbox")
    if frame is None:
        _refuse(file, element, "expected <object> with a <bndbox>, got none")
    x0, y0, x1, y1 = (_number(frame, key, file) for key in ("xmin", "ymin", "xmax", "ymax"))
    if x1 < x0 or y1 < y0:
        _refuse(file, frame, f"expected xmin <= xmax and ymin <= ymax, got {x0:g} {y0:g} {x1:g} {y1:g}")
    return VocObject(name, (x0 - 1, y0 - 1, x1, y1), _number(element, "difficult", file, 0.0) != 0)


def _number(parent: ET.Element, key: str, file: Path, default: float | None = None) -> float:
    """The number in the element of this name; without a default it must be there."""
    element = parent.find(key)
    text = "" if element is None else (element.text or "").strip()
    if not text and default is not None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        _refuse(file, parent if element is None else element, f"expected a number in <{key}>, got {text[:80]!r}")
    return value


def _refuse(file: Path, element: ET.Element, message: str) -> NoReturn:
    raise DatasetError(f"{file}, line {element.get('line')}: {message}")


def _parse(file: Path) -> ET.Element:
    """The file's elements, each with its line as the attribute `line`, in place of its own attributes.

    A document type is refused: with it come entities, which may grow without bounds or name other files.

    Raises:
        DatasetError: When it cannot be read, or is no XML.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DatasetError(f"{file}: expected an annotation, cannot read it ({error.strerror or error})") from error
    if len(data) > _MAX_BYTES:
        raise DatasetError(f"{file}: expected an annotation of at most {_MAX_BYTES >> 20} MiB, got a larger file")
    builder = ET.TreeBuilder()
    parser = expat.ParserCreate()

    def start(tag: str, _attributes: Any) -> None:
        builder.start(tag, {"line": str(parser.CurrentLineNumber)})

    def refuse_doctype(*_: Any) -> NoReturn:
        raise DatasetError(f"{file}, line {parser.CurrentLineNumber}: expected no <!DOCTYPE>, got one: remove it")

    parser.StartElementHandler = start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse_doctype
    try:
        parser.Parse(data, True)
        root = builder.close()
    except (expat.ExpatError, ValueError, LookupError) as error:  # unknown encodings are the latter two
        raise DatasetError(f"{file}: expected an annotation as XML, got a broken file ({error})") from error
    if root.tag != "annotation":
        raise DatasetError(f"{file}: expected the element <annotation>, got <{root.tag}>")
    return root


def _to_source(path: Path, picture: VocPicture, objects: Iterable[VocObject], label_of: dict[str, int]) -> Source:
    height, width = upright_size(path)
    if picture.size is not None and picture.size != (height, width):
        said = f"{picture.size[0]} x {picture.size[1]}"
        raise DatasetError(
            f"{path}: expected {said} pixels (height x width) as its annotation says, got {height} x {width}"
        )
    rows = list(objects)
    boxes = np.array([o.box for o in rows], np.float64).reshape(-1, 4)
    return Source(path, path.name, height, width, boxes, np.array([label_of[o.name] for o in rows], np.int64))


def _find_splits(root: Path) -> dict[str, list[str]]:
    """The stems of each split's pictures."""
    annotations = root / "Annotations"
    if not annotations.is_dir():
        inner = sorted(path.parent.name for path in root.glob("*/Annotations"))
        hint = f": name {root / inner[0]}" if inner else ""
        raise DatasetError(f"{root}: expected a folder Annotations with XML files, found none{hint}")
    main = root / "ImageSets" / "Main"
    lists = {split: main / f"{split}.txt" for split in _SPLITS}
    if not lists["train"].is_file():
        lists = {"trainval": main / "trainval.txt", **lists}
    found = {split: _read_list(file) for split, file in lists.items() if file.is_file()}
    if not found:
        found = {"train": sorted(path.stem for path in annotations.glob("*.xml"))}
    for split in [split for split, stems in found.items() if not stems]:
        del found[split]
    if not found:
        raise DatasetError(f"{root}: expected XML files in Annotations, or names in ImageSets/Main, found none")
    return found


def _read_list(file: Path) -> list[str]:
    stems = []
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        words = line.split()
        if words and (len(words) > 1 or PureWindowsPath(words[0]).name != words[0]):
            raise DatasetError(f"{file}, line {number}: expected a picture's name without its ending, got {line!r}")
        stems += words
    return list(dict.fromkeys(stems))


def _find_picture(root: Path, stem: str, file_name: str, file: Path) -> Path:
    """The picture of an annotation: of its own name with any picture's ending, or of the name it gives."""
    names = [f"{stem}{ending}" for suffix in (".jpg", *IMAGE_SUFFIXES) for ending in (suffix, suffix.upper())]
    if Path(file_name).suffix.lower() in IMAGE_SUFFIXES:
        names.append(file_name)
    for folder in _PICTURES:
        for name in names:
            if (path := root / folder / name).is_file():
                return path
    raise DatasetError(f"{file}: expected its picture {names[0]!r} in {root / _PICTURES[0]}, found none")
