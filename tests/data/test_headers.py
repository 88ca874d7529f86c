"""Headers against PIL and OpenCV, which read the same files by their own code."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cornernet.data.headers import FORMATS, is_complete, picture_format, read_header
from cornernet.errors import ImageError


def drawn(height: int, width: int) -> Image.Image:
    rows, columns = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([rows * 3, columns * 5, rows + columns], axis=2).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def exif(orientation: int) -> Image.Exif:
    block = Image.Exif()
    block[0x0112] = orientation
    return block


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


VARIANTS = [
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("PNG", {}),
    ("WEBP", {}),
    ("WEBP", {"lossless": True}),
    ("GIF", {}),
    ("BMP", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("TIFF", {"big_tiff": True}),
]


@pytest.mark.parametrize(("kind", "options"), VARIANTS)
@pytest.mark.parametrize("size", [(1, 1), (3, 200), (61, 37), (300, 20)])
def test_size_is_read_from_each_format(kind, options, size):
    data = encoded(drawn(*size), kind, **options)
    header = read_header(data, "x")
    assert (header.height, header.width, header.orientation) == (*size, 1)
    assert header.format.upper() == kind
    assert header.format in FORMATS
    assert is_complete(data, header.format)


@pytest.mark.parametrize(("kind", "options"), [v for v in VARIANTS if v[0] not in ("GIF", "BMP")])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_read_where_a_format_has_one(kind, options, orientation):
    data = encoded(drawn(5, 8), kind, exif=exif(orientation), **options)
    header = read_header(data, "x")
    assert (header.height, header.width, header.orientation) == (5, 8, orientation)


def test_webp_chunks_of_odd_length_are_padded():
    canvas = b"VP8X" + struct.pack("<I", 10) + bytes(4) + b"\x07\0\0\x04\0\0"
    rotated = exif(6).tobytes()
    for length in (4, 5):
        other = b"ICCP" + struct.pack("<I", length) + bytes(length + length % 2)
        chunks = canvas + other + b"EXIF" + struct.pack("<I", len(rotated)) + rotated
        header = read_header(b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks, "x")
        assert (header.height, header.width, header.orientation) == (5, 8, 6)


def test_an_orientation_that_is_none_means_upright():
    assert read_header(encoded(drawn(5, 8), "JPEG", exif=exif(77)), "x").orientation == 1


def test_alpha_and_animation_have_the_canvas_size():
    first = drawn(20, 30)
    options = {"save_all": True, "append_images": [first.rotate(180)], "duration": 50}
    for kind in ("GIF", "WEBP"):
        header = read_header(encoded(first, kind, **options), "x")
        assert (header.height, header.width) == (20, 30)
    transparent = first.convert("RGBA")
    transparent.putalpha(7)
    header = read_header(encoded(transparent, "WEBP"), "x")
    assert (header.height, header.width) == (20, 30)


def test_bmp_of_the_old_and_the_upside_down_kind():
    core = b"BM" + struct.pack("<IHHI", 30, 0, 0, 26) + struct.pack("<IHHHH", 12, 1, 2, 1, 24)
    assert read_header(core, "x").height == 2
    data = bytearray(encoded(drawn(6, 4), "BMP"))
    data[22:26] = struct.pack("<i", -6)
    assert (read_header(bytes(data), "x").height, read_header(bytes(data), "x").width) == (6, 4)


def test_jpeg_with_a_preview_inside_has_the_size_of_the_picture():
    preview = encoded(drawn(8, 8), "JPEG")
    data = encoded(drawn(50, 70), "JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", len(preview) + 2) + preview
    both = data[:2] + segment + data[2:]
    assert read_header(both, "x").height == 50
    assert is_complete(both, "JPEG")
    # The preview's end marker is not the picture's.
    assert not is_complete(both[: len(both) - 200], "JPEG")


def test_jpeg_with_stray_and_fill_bytes_between_segments_is_read_as_decoders_read_it():
    data = encoded(drawn(50, 70), "JPEG")
    odd = data[:20] + b"\x00\x17\xff\xff\xff" + data[20:]  # behind the first segment
    assert cv2.imdecode(np.frombuffer(odd, np.uint8), cv2.IMREAD_COLOR).shape == (50, 70, 3)
    assert read_header(odd, "x").height == 50
    assert is_complete(odd, "JPEG")


@pytest.mark.parametrize(("kind", "options"), [v for v in VARIANTS if v[0] in ("JPEG", "PNG", "WEBP")])
def test_complete_means_the_end_is_there_whatever_follows(kind, options):
    data = encoded(drawn(40, 60), kind, **options)
    name = read_header(data, "x").format
    for trailing in (b"\0", b"\xff\xd8\xff", b"anything " * 1000):
        assert is_complete(data + trailing, name)
    for length in (len(data) - 20, len(data) // 2, 60):
        assert not is_complete(data[:length], name)
    if kind == "JPEG":  # space set aside but never written
        assert not is_complete(data[: len(data) // 2] + b"\0" * 5000, name)


@pytest.mark.parametrize(
    "data", [b"", b"<!DOCTYPE html>", b"BMI is a measure of weight", b"RIFF....WAVE", b"\0\0\0\x1cftypavif", b"II*"]
)
def test_what_begins_no_picture_is_refused_with_its_beginning(data):
    with pytest.raises(ImageError, match=r"^a\.jpg: expected a picture") as caught:
        picture_format(data, "a.jpg")
    assert repr(data[:16]) in str(caught.value) if data else "0 bytes" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_picture_without_pixels_or_with_a_broken_header_is_refused():
    png = encoded(drawn(4, 4), "PNG")
    with pytest.raises(ImageError, match="with pixels, got 0 x 4"):
        read_header(png[:20] + b"\0\0\0\0" + png[24:], "x")
    with pytest.raises(ImageError, match="IHDR"):
        read_header(png[:8] + png_chunk(b"tEXt", b"a\0b") + png[8:], "x")
    with pytest.raises(ImageError, match="no frame"):
        read_header(b"\xff\xd8\xff\xe0\x00\x02\xff\xd9", "x")
    with pytest.raises(ImageError, match="no size"):
        read_header(b"II*\0\x08\0\0\0\0\0\0\0", "x")
    for start, said in (
        (b"VP8 \0\0\0\0" + bytes(10), "no VP8 frame"),
        (b"VP8L\0\0\0\0" + bytes(10), "no VP8L frame"),
        (b"ABCD\0\0\0\0" + bytes(10), "unknown chunk"),
        (b"VP8X\0\0\0\0" + bytes(9), "cut off"),
    ):
        with pytest.raises(ImageError, match=said):
            read_header(b"RIFF\0\0\0\0WEBP" + start, "x")
    with pytest.raises(ImageError, match="cut off after 16 bytes"):
        read_header(b"MM\0+" + b"\xff" * 12, "x")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_bytes_give_a_header_or_one_clear_line(data):
    kind, options = data.draw(st.sampled_from(VARIANTS))
    whole = bytearray(encoded(drawn(9, 7), kind, **options))
    for _ in range(data.draw(st.integers(0, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    message = ""
    try:
        header = read_header(damaged, "x")
    except ImageError as error:
        message = str(error)
    if message:
        assert "\n" not in message
    else:
        assert min(header.height, header.width) >= 1
        assert header.orientation in range(1, 9)
        assert is_complete(damaged, header.format) in (True, False)
