"""The folder a run writes to, and the pictures it draws."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cornernet.cli.sources import is_url, source_name
from cornernet.errors import ImageError
from cornernet.structures.files import write_atomic

_MAX_STEM = 100  # URLs may be longer than file systems allow


def run_folder(output: Path | None, verb: str, name: str) -> Path:
    """The folder for a run's files: the one asked for, or a new `runs/VERB/NAME`, numbered when there is one already.

    Raises:
        OSError: When it cannot be made.
    """
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        return output
    stem = _safe(Path(name).stem) or verb
    for number in count(1):
        folder = Path("runs", verb, stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        break
    return folder


class Names:
    """File names for what is written, one per source, also when two sources are called the same."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def unique(self, source: str, suffixes: tuple[str, ...]) -> str:
        """A name like the source's that was not given before: with its ending if that is in `suffixes`, or the first.

        Names that differ in case alone count as one, as some file systems take them.
        """
        path = Path(source_name(source))
        suffix = path.suffix if path.suffix.lower() in suffixes else suffixes[0]
        stem = (_safe(path.stem) if is_url(source) else path.stem)[:_MAX_STEM] or "picture"
        for number in count(1):
            name = f"{stem}{'' if number == 1 else f'-{number}'}{suffix}"
            if name.casefold() not in self._taken:
                break
        self._taken.add(name.casefold())
        return name


def _safe(name: str) -> str:
    """A name without signs that a file system may refuse."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name).strip(".")


class Background:
    """Threads for drawing and writing, so that the network does not wait; at most a few tasks wait in memory."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="cornernet-write")
        self._pending: deque[Future[Any]] = deque()
        self._most = 2 * threads

    def submit(self, task: Callable[..., Any], *values: Any) -> None:
        """Hands a task over; an error of an earlier one is raised here."""
        self._pending.append(self._pool.submit(task, *values))
        while len(self._pending) > self._most:
            self._pending.popleft().result()

    def __enter__(self) -> Background:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            while self._pending:
                self._pending.popleft().result()
        self._pool.shutdown(cancel_futures=True)


def write_picture(path: Path, picture: NDArray[np.uint8]) -> None:
    """Writes a picture, (height, width, 3) uint8 RGB, as JPEG or PNG by the name's ending, whole or not at all.

    Raises:
        ImageError: When the format cannot hold it: no side of a JPEG is above 65535 pixels.
        OSError: When the file cannot be written.
    """
    settings = [cv2.IMWRITE_JPEG_QUALITY, 95] if path.suffix.lower() in (".jpg", ".jpeg") else []
    try:
        good, data = cv2.imencode(path.suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), settings)
    except cv2.error:
        good, data = False, np.empty(0, np.uint8)
    if not good:
        raise ImageError(f"{path}: expected a picture the format can hold, got {picture.shape}: use --no-draw")
    write_atomic(path, data.tobytes())
