"""Video files: their frames one by one, and a drawn video written as it goes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cornernet.errors import ImageError
from cornernet.structures.files import atomic_path

Picture = NDArray[np.uint8]

_USUAL_FPS = 25.0


class Video:
    """A video file to read from start to end; frames are turned as the file says.

    Attributes:
        path: The file.
        fps: Frames per second; 25 where the file does not say.
        frame_count: How many frames it says it has, where it says so.

    Raises:
        ImageError: When it cannot be opened as a video.
    """

    def __init__(self, path: Path, *, max_pixels: int) -> None:
        self.path = path
        self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise ImageError(f"{path}: expected a video, got a file that cannot be opened as one: is it damaged?")
        height, width = (self._number(p) for p in (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH))
        if height * width > max_pixels:
            self._capture.release()
            raise ImageError(
                f"{path}: expected frames of at most {max_pixels} pixels, got {height:g} x {width:g}: "
                "raise --max-pixels"
            )
        self.fps = self._number(cv2.CAP_PROP_FPS) or _USUAL_FPS
        self.frame_count = int(self._number(cv2.CAP_PROP_FRAME_COUNT)) or None

    def frames(self) -> Iterator[Picture]:
        """Each frame once, (height, width, 3) uint8 RGB.

        Raises:
            ImageError: When there is not one.
        """
        try:
            good, frame = self._capture.read()
            if not good:
                raise ImageError(f"{self.path}: expected a video with frames, got none that can be decoded")
            while good:
                yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), dtype=np.uint8)
                good, frame = self._capture.read()
        finally:
            self._capture.release()

    def _number(self, key: int) -> float:
        """What the file says, 0 where it says nothing sensible."""
        value = self._capture.get(key)
        return value if math.isfinite(value) and value > 0 else 0.0


@contextmanager
def drawn_video(path: Path, fps: float) -> Iterator[Callable[[Picture], None]]:
    """An MP4 file (mp4v) that appears whole when the block ends.

    Yields:
        A function that appends a frame, (height, width, 3) uint8 RGB, all of one size.

    Raises:
        ImageError: When this OpenCV cannot write it.
    """
    writer = cv2.VideoWriter()

    with atomic_path(path) as temporary:

        def append(frame: Picture) -> None:
            height, width = frame.shape[:2]
            if not writer.isOpened():
                writer.open(str(temporary), cv2.VideoWriter.fourcc(*"mp4v"), fps, (width, height))
            if not writer.isOpened():
                raise ImageError(f"{path}: OpenCV cannot write MP4 on this machine: use --no-draw")
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))

        try:
            yield append
        finally:
            writer.release()
