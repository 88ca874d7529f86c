"""What the user named, as pictures and videos: files, folders, patterns and URLs."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from cornernet.data.images import IMAGE_SUFFIXES, list_images
from cornernet.errors import ImageError

VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")
"""File name endings, in lower case, that are taken for videos."""

Source = Path | str  # a str is a URL


@dataclass(frozen=True)
class Sources:
    """What there is to look at, in the order it was named, nothing twice.

    Attributes:
        pictures: Files and URLs of pictures; a file named by itself counts as one whatever its ending.
        videos: Video files.
    """

    pictures: tuple[Source, ...]
    videos: tuple[Path, ...]


def find_sources(named: Iterable[str], *, recursive: bool = False) -> Sources:
    """Pictures and videos behind what was named.

    Args:
        named: Files, folders, patterns such as "photos/*.jpg" (also with `**`), and http or https URLs of pictures.
        recursive: Look in the folders below each folder as well.

    Raises:
        ImageError: When one of them does not exist or holds nothing to look at, or nothing was named.
    """
    found = dict.fromkeys(source for name in named for source in _expand(name, recursive))
    if not found:
        raise ImageError("expected pictures or videos, got none: name files, folders, patterns or URLs")
    videos = tuple(s for s in found if isinstance(s, Path) and s.suffix.lower() in VIDEO_SUFFIXES)
    return Sources(tuple(s for s in found if s not in videos), videos)


def is_url(source: str) -> bool:
    """Whether it is an address rather than a path."""
    return source.lower().startswith(("http://", "https://"))


def source_name(source: str) -> str:
    """The file name of a path or URL, from which the names of what is written are made."""
    return PurePosixPath(urlsplit(source).path).name if is_url(source) else Path(source).name


def _expand(name: str, recursive: bool) -> Iterator[Source]:
    path = Path(name)
    if is_url(name):
        yield name
    elif path.is_dir():
        yield from _folder(path, recursive)
    elif path.exists():  # before patterns: a file may be called "a[1].jpg"
        yield path
    elif glob.has_magic(name):
        suffixes = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)
        matches = [Path(m) for m in sorted(glob.glob(name, recursive=True))]  # noqa: PTH207, for absolute ones
        matches = [m for m in matches if m.suffix.lower() in suffixes and m.is_file()]
        if not matches:
            raise ImageError(f"{name}: expected a pattern that pictures or videos match, got none that do: check it")
        yield from matches
    else:
        raise ImageError(f"{name}: expected a file, folder, pattern or URL, found no such file: check the path")


def _folder(path: Path, recursive: bool) -> Iterator[Path]:
    entries = path.rglob("*") if recursive else path.iterdir()
    videos = [e for e in entries if e.suffix.lower() in VIDEO_SUFFIXES and e.name[0] != "." and e.is_file()]
    try:
        yield from list_images(path, recursive=recursive)
    except ImageError:
        if not videos:
            raise
    yield from sorted(videos)
