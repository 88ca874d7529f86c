"""Pictures from anywhere as RGB arrays, by one rule: the pixels that OpenCV's `imdecode(..., IMREAD_COLOR)` gives.

That means 8 bits a channel, alpha dropped, EXIF rotation obeyed, the first frame of an animation. The published results
were measured on pictures read by OpenCV, so training, evaluation and prediction all read through `read_image`.
"""

from __future__ import annotations

import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cornernet.data.headers import HEAD_BYTES, is_complete, picture_format, read_header
from cornernet.errors import ImageError

MAX_PIXELS = 100_000_000
"""The largest picture decoded unless asked otherwise: 300 MB of pixels, above what most cameras take."""

MAX_BYTES = 1 << 29
"""The largest file or download read, 512 MiB."""

URL_TIMEOUT_SECONDS = 30.0

_READ_BYTES = 1 << 20

IMAGE_SUFFIXES = (
    ".bmp", ".dib", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp",
)  # fmt: skip
"""File name endings, in lower case, that `list_images` takes for pictures."""

_ACCEPTED = (
    "a path, a http(s) URL, bytes, a PIL image, a numpy array ((height, width, 3) RGB uint8) "
    "or a torch tensor ((3, height, width) RGB, uint8 or float in 0..1)"
)


def read_image(source: Any, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """The picture as (height, width, 3) uint8 RGB, C-contiguous, upright as its EXIF orientation says.

    Files may be JPEG, PNG, WebP, GIF, BMP or TIFF with grey, palette, CMYK, transparent or 16-bit pixels: colours are
    converted to RGB, alpha is dropped without blending, 16 bits become 8 (a PNG keeps the high byte), and of an
    animation the first frame is read.

    Args:
        source: One of
            a path (str or Path);
            a http or https URL (str);
            an encoded picture as bytes, bytearray or memoryview;
            a PIL image of any mode (16- and 32-bit integer modes are taken as 0..65535, mode F as 0..1);
            a numpy array, RGB (height, width, 3), RGBA (height, width, 4), or grey (height, width) or
            (height, width, 1), as uint8, uint16 (0..65535) or float in 0..1;
            a torch tensor (3, height, width) or (1, height, width), uint8 or float in 0..1, on any device.
            The result may share memory with an array or tensor.
        max_pixels: Encoded pictures with more pixels (height x width) are refused from their header, undecoded.

    Raises:
        ImageError: On anything that cannot be read as a picture; the message is one line and names the source.
    """
    if isinstance(source, str | Path):
        name = _printable(str(source))
        return _decode(_fetch(source, name) if _is_url(source) else _load(Path(source), name), name, max_pixels)
    if isinstance(source, bytes | bytearray | memoryview):
        return _decode(bytes(source), f"picture of {len(source)} bytes", max_pixels)
    if isinstance(source, np.ndarray):
        return _from_array(source, "array")
    if _is_from(source, "torch", "Tensor"):
        return _from_tensor(source)
    if _is_from(source, "PIL", "Image"):
        return _from_pil(source, max_pixels)
    raise ImageError(f"expected a picture as {_ACCEPTED}, got {type(source).__module__}.{type(source).__qualname__}")


def image_size(source: str | Path | bytes) -> tuple[int, int]:
    """(height, width) in pixels of a picture file or its bytes, from the header alone.

    The size is as stored, before the EXIF rotation: orientations 5 to 8 exchange the two on reading.

    Raises:
        ImageError: On a file that is missing, or whose header tells no size.
    """
    if isinstance(source, bytes):
        header = read_header(source, f"picture of {len(source)} bytes")
        return header.height, header.width
    name = _printable(str(source))
    with _opened(Path(source), name) as file:
        head = file.read(HEAD_BYTES)
        try:
            header = read_header(head, name)
        except ImageError:
            if len(head) < HEAD_BYTES:
                raise
            header = read_header(head + file.read(), name)  # a long preview may stand before the size
    return header.height, header.width


def list_images(folder: str | Path, *, recursive: bool = False) -> list[Path]:
    """The picture files of a folder, by their name's ending, in natural order (2.jpg before 10.jpg).

    Hidden files (`.name`) are left out: on file systems shared with macOS they are no pictures.

    Args:
        folder: Where to look.
        recursive: Look in the folders below as well.

    Raises:
        ImageError: When it is no folder, or holds no picture.
    """
    folder = Path(folder)
    name = _printable(str(folder))
    if not folder.is_dir():
        raise ImageError(f"{name}: expected a folder of pictures, got {'a file' if folder.exists() else 'nothing'}")
    found = [
        path
        for path in (folder.rglob("*") if recursive else folder.iterdir())
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    ]
    if not found:
        below = " or below it" if recursive else ""
        raise ImageError(
            f"{name}: expected pictures ({' '.join(IMAGE_SUFFIXES)}) in the folder{below}, got none: name another one"
        )
    return sorted(found, key=_natural_key)


def _natural_key(path: Path) -> list[list[tuple[int, int, str]]]:
    """Sorts digits by their value, letters without regard to case, folder by folder."""
    return [
        [(0, int(run), run) if run.isdecimal() else (1, 0, run.casefold()) for run in re.split(r"(\d+)", part) if run]
        + [(2, 0, part)]
        for part in path.parts
    ]


def _printable(text: str) -> str:
    """The text itself if it fits an error's one line, quoted with escapes if not."""
    return text if text and text.isprintable() else repr(text)


def _is_from(value: Any, package: str, class_name: str) -> bool:
    """Whether a value is of a package's class or one derived from it, without importing the package."""
    return any(c.__module__.split(".")[0] == package and c.__name__ == class_name for c in type(value).__mro__)


# Files and URLs: to bytes.


def _is_url(source: str | Path) -> bool:
    return isinstance(source, str) and source.lower().startswith(("http://", "https://"))


@contextmanager
def _opened(path: Path, name: str) -> Iterator[IO[bytes]]:
    """The file open for reading; whatever hinders it is an ImageError naming the file."""
    try:
        with path.open("rb") as file:
            yield file
    except FileNotFoundError as error:
        raise ImageError(f"{name}: expected a picture, found no such file: check the path") from error
    except (OSError, ValueError) as error:  # a ValueError for a name with a null character
        if path.is_dir():
            raise ImageError(f"{name}: expected a picture, got a folder: name the files in it") from error
        raise ImageError(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _load(path: Path, name: str) -> bytes:
    with _opened(path, name) as file:
        return _read_all(file, name)


def _fetch(url: str | Path, name: str) -> bytes:
    request = urllib.request.Request(str(url), headers={"User-Agent": "cornernet", "Accept": "image/*"})
    try:
        with urllib.request.urlopen(request, timeout=URL_TIMEOUT_SECONDS) as response:
            return _read_all(response, name)
    except urllib.error.HTTPError as error:
        raise ImageError(
            f"{name}: expected a picture, the server answered {error.code} {_printable(str(error.reason))}"
        ) from error
    except (OSError, HTTPException, ValueError) as error:
        reason = _printable(str(getattr(error, "reason", None) or error or type(error).__name__))
        raise ImageError(f"{name}: cannot be downloaded ({reason}): check the address and the network") from error


def _read_all(stream: Any, name: str) -> bytes:
    """All bytes of a picture; what does not begin like one is not read further."""
    head: bytes = stream.read(HEAD_BYTES)
    picture_format(head, name)
    parts, size = [head], len(head)
    while part := stream.read(_READ_BYTES):  # one read of all would set aside MAX_BYTES first
        parts.append(part)
        size += len(part)
        if size > MAX_BYTES:
            raise ImageError(f"{name}: expected a picture of at most {MAX_BYTES >> 20} MiB, got a larger file")
    return b"".join(parts)


# Encoded pictures: bytes to pixels.


def _decode(data: bytes, name: str, max_pixels: int) -> NDArray[np.uint8]:
    header = read_header(data, name)
    _check_pixels(header.height, header.width, max_pixels, name)
    if not is_complete(data, header.format):  # OpenCV may fill the missing part with grey and say nothing
        raise ImageError(
            f"{name}: expected a whole {header.format} picture, got one whose end is missing: copy or download it again"
        )
    try:
        with _QUIET:
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:  # sides beyond OpenCV's own limits
        pixels = None
    if pixels is None:
        raise ImageError(
            f"{name}: expected a {header.format} picture, got data that OpenCV {cv2.__version__} cannot decode "
            f"({header.height} x {header.width} pixels): it is damaged or of a rare kind, export it again"
        )
    return _contiguous(pixels)


def _check_pixels(height: int, width: int, max_pixels: int, name: str) -> None:
    if height * width > max_pixels:
        raise ImageError(
            f"{name}: expected at most {max_pixels} pixels, got {height} x {width} (height x width): "
            "raise max_pixels if the picture is to be trusted, or make it smaller"
        )


_LOGGING: Any = getattr(cv2.utils, "logging", cv2)  # OpenCV 4 has the functions at its top
_SILENT = 0


class _QuietOpenCV:
    """Holds back OpenCV's own log lines about damaged files, which our errors report, while any thread decodes.

    The log level belongs to the whole process: the first to enter keeps the user's, the last to leave restores it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._level = 0

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._level = _LOGGING.setLogLevel(_SILENT)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                _LOGGING.setLogLevel(self._level)


_QUIET = _QuietOpenCV()


# Pictures that are pixels already.


def _contiguous(pixels: Any) -> NDArray[np.uint8]:
    return np.ascontiguousarray(pixels, dtype=np.uint8)


def _from_array(array: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """RGB uint8 from a grey, RGB or RGBA array, height first."""
    shaped = array[:, :, None] if array.ndim == 2 else array
    if shaped.ndim != 3 or shaped.shape[2] not in (1, 3, 4) or shaped.size == 0:
        hint = ": put the channels last" if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.size else ""
        raise ImageError(
            f"expected a picture {name} of shape (height, width, 3), or with 1 or 4 channels, got {array.shape}{hint}"
        )
    pixels = _to_uint8(shaped[:, :, :3], name)
    return _contiguous(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def _to_uint8(values: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Values as 0..255: uint16 from 0..65535, floats from 0..1, rounded to the nearest."""
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.uint16:
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if not np.issubdtype(values.dtype, np.floating):
        raise ImageError(f"expected a picture {name} of uint8, uint16 or float in 0..1, got {values.dtype}")
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):  # also when they are NaN
        raise ImageError(
            f"expected a picture {name} of floats in 0..1, got {low:g}..{high:g}: divide by 255, or give uint8"
        )
    return np.rint(values.astype(np.float32) * 255).astype(np.uint8)


def _from_tensor(tensor: Any) -> NDArray[np.uint8]:
    """RGB uint8 from a torch tensor, channels first."""
    if tensor.ndim != 3 or tensor.shape[0] not in (1, 3):
        hint = ": give one picture at a time" if tensor.ndim == 4 else ""
        raise ImageError(
            f"expected a picture tensor of shape (3, height, width) or (1, height, width), "
            f"got {tuple(tensor.shape)}{hint}"
        )
    host = tensor.detach().cpu()
    if host.is_floating_point():  # numpy has no bfloat16
        host = host.float()
    return _from_array(host.numpy().transpose(1, 2, 0), "tensor")


_PREMULTIPLIED = {"La": "LA", "RGBa": "RGBA"}
"""PIL's modes whose colours are darkened by their alpha, and the mode that undoes it."""


def _from_pil(image: Any, max_pixels: int) -> NDArray[np.uint8]:
    """RGB uint8 from a PIL image; PIL itself is not imported."""
    name = _printable(str(getattr(image, "filename", "") or f"PIL image of mode {image.mode}"))
    width, height = image.size
    _check_pixels(height, width, max_pixels, name)
    try:
        orientation = image.getexif().get(0x0112, 1)
        if image.mode == "F" or image.mode.startswith("I"):  # PIL's convert() would cut these off at 255
            values = np.asarray(image)
            pixels = _from_array(values if image.mode == "F" else np.clip(values, 0, 65535).astype(np.uint16), name)
        else:
            if image.mode in _PREMULTIPLIED:
                image = image.convert(_PREMULTIPLIED[image.mode])
            pixels = np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:  # PIL reads files late, and reports damage by any of these
        raise ImageError(f"{name}: PIL cannot read it ({_printable(str(error))})") from error
    return _contiguous(_upright(pixels, orientation))


def _upright(pixels: NDArray[np.uint8], orientation: Any) -> NDArray[np.uint8]:
    """Pixels turned as EXIF orientation 1..8 says; anything else leaves them."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
