"""The files of a dataset held against its annotations: there, readable, of the annotated size, in one split only."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cornernet.data.coco import CocoDataset, CocoImage, check_size
from cornernet.data.findings import Fault, Finding
from cornernet.data.images import IMAGE_SUFFIXES, read_image
from cornernet.data.layout import SplitFiles
from cornernet.errors import DatasetError, ImageError


@dataclass(frozen=True)
class _Seen:
    """What became of one picture: what is wrong with it, or the digest of its pixels if it was read."""

    fault: Fault | None = None
    message: str = ""
    digest: bytes = b""


def check_files(
    datasets: Sequence[CocoDataset], *, decode: bool, workers: int, max_pixels: int, step: Callable[[], None]
) -> Iterator[Finding]:
    """Looks at every picture, and finds those that are missing, damaged, of another size, or given twice.

    Two pictures are the same when their pixels are; another format or name does not hide it.

    Args:
        datasets: The splits.
        decode: Read them; otherwise the missing ones alone are found.
        workers: Threads that read.
        max_pixels: Larger pictures count as unreadable.
        step: Called after each picture.
    """
    pictures = [(dataset.split, image) for dataset in datasets for image in dataset.images]
    first: dict[bytes, tuple[str, CocoImage]] = {}
    with ThreadPoolExecutor(workers, thread_name_prefix="cornernet-check") as pool:
        results = pool.map(lambda picture: _look_at(picture[1], decode, max_pixels), pictures)
        for (split, image), seen in zip(pictures, results, strict=True):
            step()
            if seen.fault:
                yield _about(seen.fault, split, image, seen.message)
            if not seen.digest:
                continue
            before_split, before = first.setdefault(seen.digest, (split, image))
            if before_split != split:
                text = f"{image.path}: has the same pixels as {before.path} of {before_split}"
                yield _about(Fault.SHARED, split, image, text)
            elif before.path != image.path:
                yield _about(Fault.REPEATED, split, image, f"{image.path}: has the same pixels as {before.path}")


def check_names(datasets: Sequence[CocoDataset], known: set[int | str]) -> Iterator[Finding]:
    """Finds pictures of different splits whose names tell of a common origin.

    Upper and lower case, the ending, marks of copies (`a (1).jpg`, `a - Copy.jpg`, `a_copy2.jpg`) and of Roboflow's
    versions (`a_jpg.rf.0123abcd.jpg`) make no difference. Names of digits alone are counters, and not compared.

    Args:
        datasets: The splits.
        known: Paths of pictures that are known to be shared.
    """
    first: dict[str, tuple[str, CocoImage]] = {}
    for dataset in datasets:
        for image in dataset.images:
            origin = _origin(image.file_name)
            if origin.isdecimal():
                continue
            before_split, before = first.setdefault(origin, (dataset.split, image))
            if before_split != dataset.split and str(image.path) not in known:
                text = f"{image.path}: is named like {before.path} of {before_split}"
                yield _about(Fault.ALIKE, dataset.split, image, text)


def check_strays(datasets: Sequence[CocoDataset], splits: Sequence[SplitFiles]) -> Iterator[Finding]:
    """Finds picture files in the splits' folders that no split lists.

    Args:
        datasets: The splits that are checked.
        splits: All splits of the folder; a folder that one not checked uses as well is left out.
    """
    known = {dataset.split: dataset for dataset in datasets}
    first: dict[Path, SplitFiles] = {}
    listed: dict[Path, set[Path]] = {}
    unknown: set[Path] = set()
    for files in splits:
        folder = files.pictures.resolve()  # links may lead several splits to one
        if dataset := known.get(files.split):
            first.setdefault(folder, files)
            listed.setdefault(folder, set()).update(i.path.relative_to(files.pictures) for i in dataset.images)
        else:
            unknown.add(folder)
    for folder, files in first.items():
        if folder not in unknown:
            yield from _strays(files, listed[folder])


def _strays(files: SplitFiles, listed: set[Path]) -> Iterator[Finding]:
    for path in sorted(files.pictures.rglob("*")):
        if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith("."):
            continue
        if path.relative_to(files.pictures) not in listed:
            text = f"{path}: is not in the annotations"
            yield Finding(kind=Fault.STRAY, split=files.split, message=text, file=str(path))


def _look_at(image: CocoImage, decode: bool, max_pixels: int) -> _Seen:
    if not image.path.is_file():
        return _Seen(Fault.MISSING, f"{image.path}: expected the picture, found no such file")
    if not decode:
        return _Seen()
    try:
        picture = read_image(image.path, max_pixels=max_pixels)
    except ImageError as error:
        return _Seen(Fault.UNREADABLE, str(error))
    try:
        check_size(image, picture)
    except DatasetError as error:
        return _Seen(Fault.OTHER_SIZE, str(error))
    digest = hashlib.blake2b(picture.data, digest_size=16)
    digest.update(str(picture.shape).encode())
    return _Seen(digest=digest.digest())


def _about(kind: Fault, split: str, image: CocoImage, message: str) -> Finding:
    return Finding(kind=kind, split=split, message=message, file=str(image.path), image_id=image.id)


def _origin(file_name: str) -> str:
    """What is left of a name without what copies and exports add to it."""
    name = PurePosixPath(file_name.replace("\\", "/")).name.casefold()
    stem = re.sub(r"\.rf\.[0-9a-f]+$", "", re.sub(r"\.[^.]*$", "", name))
    stem = re.sub(r"[_.](jpe?g|png|bmp|webp|tiff?|gif)$", "", stem)
    return re.sub(r"(\s*\(\d+\)|[\s_-]+copy[\s_-]*\d*)+$", "", stem)
