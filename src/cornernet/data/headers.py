"""What a picture file says of itself before any pixel is decoded: its format, its size, whether its end is there.

A few bytes can announce gigabytes of pixels, and OpenCV decodes what is announced. So the size is read here first, by
each format's own rules, and a file whose size cannot be read is not decoded.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from cornernet.errors import ImageError

HEAD_BYTES = 1 << 16
"""As much of a file as is read to tell its format; most headers lie within."""

FORMATS = ("JPEG", "PNG", "WebP", "GIF", "BMP", "TIFF")
"""The formats that are read."""


@dataclass(frozen=True)
class Header:
    """What a file's header says.

    Attributes:
        format: One of `FORMATS`.
        height: Rows of pixels as stored, before the EXIF rotation.
        width: Columns of pixels as stored.
        orientation: EXIF orientation 1..8; 5..8 exchange height and width when obeyed.
    """

    format: str
    height: int
    width: int
    orientation: int = 1


class _CutOffError(Exception):
    """The bytes end before the header does."""


class _BrokenError(Exception):
    """The header contradicts itself."""


def picture_format(head: bytes, name: str) -> str:
    """The format, from a file's first bytes.

    Raises:
        ImageError: When they begin no format that is read; the message shows them.
    """
    for signature, kind in _SIGNATURES:
        if signature.match(head):
            return kind
    if not head:
        raise ImageError(f"{name}: expected a picture, got no bytes at all (0 bytes): restore or remove the file")
    raise ImageError(
        f"{name}: expected a picture ({', '.join(FORMATS)}), got data that starts with {head[:16]!r}: "
        "convert or remove it"
    )


def read_header(data: bytes, name: str) -> Header:
    """Format, size and orientation of an encoded picture; no pixel is decoded.

    Args:
        data: The file's bytes, or its first ones if they hold the size; the orientation may stand behind the pixels.
        name: What to call the picture in an error.

    Raises:
        ImageError: On another format, a header that is cut off or broken, or a picture without pixels.
    """
    kind = picture_format(data, name)
    try:
        header = _READERS[kind](data)
    except (_CutOffError, struct.error, IndexError) as error:
        raise ImageError(
            f"{name}: expected a whole {kind} picture, got one whose header is cut off after {len(data)} bytes: "
            "copy or download it again"
        ) from error
    except _BrokenError as error:
        raise ImageError(
            f"{name}: expected a {kind} picture, got a broken header ({error}): export it again"
        ) from error
    if header.height < 1 or header.width < 1:
        raise ImageError(
            f"{name}: expected a {kind} picture with pixels, got {header.height} x {header.width} (height x width)"
        )
    return header


def is_complete(data: bytes, kind: str) -> bool:
    """Whether an encoded picture's end is there; bytes behind the end do no harm.

    Looked at for JPEG, PNG and WebP. The other formats have no end marker; their decoders notice missing pixels.
    """
    check = _COMPLETENESS.get(kind)
    return check is None or check(data)


def _need(data: bytes, start: int, count: int) -> bytes:
    """`count` bytes from `start`, all of them."""
    if len(part := data[start : start + count]) < count:
        raise _CutOffError
    return part


# JPEG: segments FF marker length body, then entropy-coded scans in which FF is followed by 00 or a restart marker.

_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_TEM, _SOI, _EOI, _APP1 = 0x01, 0xD8, 0xD9, 0xE1


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of each segment's body up to the end marker; raises _CutOffError where the data stop.

    Scans, fill bytes and stray bytes lie between segments: whatever it is, the next marker is searched for.
    """
    position = 2
    while True:
        found = _MARKER.search(data, position)
        if found is None:
            raise _CutOffError
        marker, position = found[1][0], found.end()
        if marker == _EOI:
            yield marker, position, position
            return
        if marker not in (_TEM, _SOI):  # these stand alone
            (length,) = struct.unpack(">H", _need(data, position, 2))
            yield marker, position + 2, position + length
            position += length


def _read_jpeg(data: bytes) -> Header:
    orientation = 1
    for marker, start, end in _jpeg_segments(data):
        if marker == _APP1 and data[start : start + 6] == b"Exif\0\0":
            orientation = _exif_orientation(data[start + 6 : end])
        if marker in _SOF:
            height, width = struct.unpack(">HH", _need(data, start + 1, 4))
            return Header("JPEG", height, width, orientation)
    raise _BrokenError("no frame in it")


def _jpeg_is_complete(data: bytes) -> bool:
    try:
        return any(marker == _EOI for marker, _, _ in _jpeg_segments(data))
    except _CutOffError:
        return False


# PNG: a signature of 8 bytes, then chunks of length, type, body, checksum; IHDR first, IEND last.


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(type, start, end) of each chunk's body up to IEND; raises _CutOffError where the data stop."""
    position, kind = 8, b""
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", _need(data, position, 8))
        start, position = position + 8, position + 12 + length
        yield kind, start, start + length


def _read_png(data: bytes) -> Header:
    if _need(data, 12, 4) != b"IHDR":
        raise _BrokenError("IHDR does not come first")
    width, height = struct.unpack(">II", _need(data, 16, 8))
    header = Header("PNG", height, width)
    try:
        for kind, start, end in _png_chunks(data):
            if kind == b"eXIf":
                return replace(header, orientation=_exif_orientation(data[start:end]))
    except _CutOffError:  # the size is known; eXIf may stand behind the pixels
        pass
    return header


def _png_is_complete(data: bytes) -> bool:
    try:
        return any(kind == b"IEND" and len(data) >= end for kind, _, end in _png_chunks(data))
    except _CutOffError:
        return False


# WebP: RIFF chunks; VP8 (lossy), VP8L (lossless) or VP8X (extended: alpha, EXIF, animation) comes first.


def _read_webp(data: bytes) -> Header:
    chunk, body = data[12:16], data[20:30]
    if chunk == b"VP8 ":
        if body[3:6] != b"\x9d\x01\x2a":
            raise _BrokenError("no VP8 frame")
        width, height = (side & 0x3FFF for side in struct.unpack("<HH", body[6:10]))
        return Header("WebP", height, width)
    if chunk == b"VP8L":
        if body[0] != 0x2F:
            raise _BrokenError("no VP8L frame")
        (bits,) = struct.unpack("<I", body[1:5])
        return Header("WebP", (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1)
    if chunk == b"VP8X" and len(body) == 10:
        width, height = (int.from_bytes(body[i : i + 3], "little") + 1 for i in (4, 7))
        return Header("WebP", height, width, _webp_orientation(data))
    if len(body) < 10:
        raise _CutOffError
    raise _BrokenError(f"unknown chunk {chunk!r}")


def _webp_orientation(data: bytes) -> int:
    position = 12
    while len(data) >= position + 8:
        kind, length = struct.unpack_from("<4sI", data, position)
        if kind == b"EXIF":
            return _exif_orientation(data[position + 8 : position + 8 + length].removeprefix(b"Exif\0\0"))
        position += 8 + length + length % 2
    return 1


def _webp_is_complete(data: bytes) -> bool:
    return len(data) >= 8 + int.from_bytes(data[4:8], "little")


# GIF and BMP: the size stands at a fixed place.


def _read_gif(data: bytes) -> Header:
    width, height = struct.unpack("<HH", _need(data, 6, 4))
    return Header("GIF", height, width)


def _read_bmp(data: bytes) -> Header:
    (info_size,) = struct.unpack("<I", _need(data, 14, 4))
    if info_size == 12:
        width, height = struct.unpack("<HH", _need(data, 18, 4))
    else:
        width, height = struct.unpack("<ii", _need(data, 18, 8))
    return Header("BMP", abs(height), width)  # a negative height: rows from the top


# TIFF, and EXIF which is one: directories of tagged values, anywhere in the file, in either byte order.

_WIDTH, _HEIGHT, _ORIENTATION = 256, 257, 274
_TIFF_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}


def _tiff_tags(data: bytes) -> dict[int, int]:
    """Width, height and orientation, as far as the first directory has them."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        raise _BrokenError("neither II nor MM")
    big = struct.unpack(order + "H", _need(data, 2, 2))[0] == 43
    # BigTIFF widens offsets, the entry count and each entry's value field.
    offset_at, offset_type, count_type, entry_size, value_at = (8, "Q", "Q", 20, 12) if big else (4, "I", "H", 12, 8)
    (start,) = struct.unpack_from(order + offset_type, data, offset_at)
    if start >= len(data):
        raise _CutOffError
    (count,) = struct.unpack_from(order + count_type, data, start)
    start += struct.calcsize(count_type)
    tags: dict[int, int] = {}
    for entry in range(start, start + entry_size * count, entry_size):
        tag, kind = struct.unpack_from(order + "HH", data, entry)
        if tag in (_WIDTH, _HEIGHT, _ORIENTATION) and kind in _TIFF_INTEGERS:
            (tags[tag],) = struct.unpack_from(order + _TIFF_INTEGERS[kind], data, entry + value_at)
    return tags


def _read_tiff(data: bytes) -> Header:
    tags = _tiff_tags(data)
    if _WIDTH not in tags or _HEIGHT not in tags:
        raise _BrokenError("no size in its first directory")
    return Header("TIFF", tags[_HEIGHT], tags[_WIDTH], _valid_orientation(tags.get(_ORIENTATION, 1)))


def _exif_orientation(exif: bytes) -> int:
    """Orientation 1..8 of an EXIF block; 1 where it says nothing usable, as OpenCV takes it."""
    try:
        return _valid_orientation(_tiff_tags(exif).get(_ORIENTATION, 1))
    except (_CutOffError, _BrokenError, struct.error):
        return 1


def _valid_orientation(value: int) -> int:
    return value if 1 <= value <= 8 else 1


_SIGNATURES = (
    (re.compile(rb"\xff\xd8\xff"), "JPEG"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "PNG"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "WebP"),
    (re.compile(rb"GIF8[79]a"), "GIF"),
    (re.compile(rb"BM.{12}[\x0c-\x7c]\0\0\0", re.DOTALL), "BMP"),  # two letters alone could begin a text
    (re.compile(rb"II[*+]\0|MM\0[*+]"), "TIFF"),
)
_READERS: dict[str, Callable[[bytes], Header]] = {
    "JPEG": _read_jpeg,
    "PNG": _read_png,
    "WebP": _read_webp,
    "GIF": _read_gif,
    "BMP": _read_bmp,
    "TIFF": _read_tiff,
}
_COMPLETENESS: dict[str, Callable[[bytes], bool]] = {
    "JPEG": _jpeg_is_complete,
    "PNG": _png_is_complete,
    "WebP": _webp_is_complete,
}
