"""Pictures from every kind of source, against OpenCV's own reading of the same file."""

from __future__ import annotations

import io
import struct
import threading
import zlib
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from cornernet.data import images
from cornernet.data.images import image_size, list_images, read_image
from cornernet.errors import ImageError

PICTURE = cv2.resize(np.random.default_rng(0).integers(0, 256, (5, 8, 3), dtype=np.uint8), (67, 45))
PIL_PICTURE = Image.fromarray(PICTURE)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def by_opencv(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]


def assert_picture(pixels: np.ndarray, expected: np.ndarray) -> None:
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    np.testing.assert_array_equal(pixels, expected)


def refused(source: object, **options: int) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(source, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


CASES = {
    "plain.jpg": partial(encoded, PIL_PICTURE, "JPEG"),
    "progressive.jpg": partial(encoded, PIL_PICTURE, "JPEG", progressive=True),
    "grey.jpg": partial(encoded, PIL_PICTURE.convert("L"), "JPEG"),
    "cmyk.jpg": partial(encoded, PIL_PICTURE.convert("CMYK"), "JPEG"),
    "plain.png": partial(encoded, PIL_PICTURE, "PNG"),
    "grey.png": partial(encoded, PIL_PICTURE.convert("L"), "PNG"),
    "grey_alpha.png": partial(encoded, PIL_PICTURE.convert("LA"), "PNG"),
    "alpha.png": partial(encoded, PIL_PICTURE.convert("RGBA"), "PNG"),
    "palette.png": partial(encoded, PIL_PICTURE.convert("P"), "PNG"),
    "bilevel.png": partial(encoded, PIL_PICTURE.convert("1"), "PNG"),
    "plain.webp": partial(encoded, PIL_PICTURE, "WEBP"),
    "lossless.webp": partial(encoded, PIL_PICTURE, "WEBP", lossless=True),
    "plain.bmp": partial(encoded, PIL_PICTURE, "BMP"),
    "plain.tiff": partial(encoded, PIL_PICTURE, "TIFF", compression="tiff_lzw"),
    "plain.gif": partial(encoded, PIL_PICTURE, "GIF"),
}


@pytest.mark.parametrize("name", CASES)
def test_files_have_the_pixels_that_opencv_reads(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(CASES[name]())
    expected = cv2.imread(str(path), cv2.IMREAD_COLOR)[:, :, ::-1]
    assert expected.shape == PICTURE.shape
    for source in (path, str(path), path.read_bytes(), bytearray(path.read_bytes()), memoryview(path.read_bytes())):
        assert_picture(read_image(source), expected)
    assert image_size(path) == image_size(path.read_bytes()) == PICTURE.shape[:2]


@pytest.mark.parametrize("name", ["plain.png", "alpha.png", "grey_alpha.png", "plain.bmp", "plain.tiff"])
def test_colours_come_in_rgb_order_with_alpha_dropped(name):
    grey = np.asarray(PIL_PICTURE.convert("L"))[:, :, None].repeat(3, axis=2)
    assert_picture(read_image(CASES[name]()), grey if "grey" in name else PICTURE)


def test_transparent_pixels_keep_their_colour():
    transparent = PIL_PICTURE.convert("RGBA")
    transparent.putalpha(0)
    assert_picture(read_image(encoded(transparent, "PNG")), PICTURE)
    assert_picture(read_image(transparent), PICTURE)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_rotation_is_obeyed_by_files_and_pil_images_alike(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(PIL_PICTURE, kind, exif=exif, **options)
    opened = Image.open(io.BytesIO(data))
    upright = np.asarray(ImageOps.exif_transpose(opened))
    assert_picture(read_image(opened), upright)
    from_file = read_image(data)
    assert_picture(from_file, by_opencv(data))
    if kind == "JPEG":  # two decoders: equal up to rounding
        assert from_file.shape == upright.shape
        assert np.abs(from_file.astype(int) - upright).max() <= 2
    else:
        assert_picture(from_file, upright)
    assert image_size(data) == PICTURE.shape[:2]  # as stored


def test_a_16_bit_png_keeps_its_high_bytes():
    deep = np.random.default_rng(1).integers(0, 65536, (6, 9, 3), dtype=np.uint16)
    data = cv2.imencode(".png", deep[:, :, ::-1])[1].tobytes()
    assert_picture(read_image(data), (deep >> 8).astype(np.uint8))


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_an_animation_gives_its_first_frame(kind):
    frames = [Image.new("RGB", (20, 10), colour) for colour in ((250, 0, 0), (0, 0, 250))]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=50, **options)
    assert_picture(read_image(data), np.asarray(frames[0]))


def test_a_picture_of_one_pixel_is_a_picture():
    one = np.array([[[200, 100, 50]]], np.uint8)
    assert_picture(read_image(encoded(Image.fromarray(one), "PNG")), one)
    assert read_image(encoded(Image.fromarray(one), "JPEG")).shape == (1, 1, 3)
    assert_picture(read_image(one), one)


# Files that are no pictures, or not whole.


def test_missing_file_folder_and_impossible_name_are_named(tmp_path):
    assert "gone.jpg: expected a picture, found no such file" in refused(tmp_path / "gone.jpg")
    assert "got a folder" in refused(tmp_path)
    assert "cannot be read" in refused("a\0b.jpg")
    assert "'two\\nlines.jpg'" in refused("two\nlines.jpg")


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html><html>", b"a text, no picture"])
def test_other_content_under_a_pictures_name_is_shown(content, tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    for call in (read_image, image_size):
        with pytest.raises(ImageError, match=r"photo\.jpg: expected a picture") as caught:
            call(path)
        assert (repr(content[:16]) if content else "0 bytes") in str(caught.value)


@pytest.mark.parametrize("name", ["plain.jpg", "progressive.jpg", "cmyk.jpg", "plain.png", "plain.webp"])
def test_a_picture_cut_short_is_refused_at_every_length(name, tmp_path):
    data = CASES[name]()
    for length in range(0, len(data), max(1, len(data) // 40)):
        path = tmp_path / name
        path.write_bytes(data[:length])
        assert name in refused(path)
    if name.endswith(("jpg", "png")):
        assert "end is missing" in refused(data[: len(data) * 9 // 10])


@pytest.mark.parametrize("name", ["plain.gif", "plain.bmp", "plain.tiff"])
def test_formats_without_an_end_marker_are_refused_by_their_decoder(name, capfd):
    data = CASES[name]()
    refused(data[: len(data) // 2])
    assert capfd.readouterr().err == ""  # OpenCV's own lines are held back


@pytest.mark.parametrize("name", CASES)
def test_bytes_behind_a_whole_picture_do_no_harm(name):
    data = CASES[name]()
    assert_picture(read_image(data + b"\0trailing\xff\xd8" * 50), by_opencv(data))


def test_damage_in_the_middle_is_reported():
    png = bytearray(CASES["plain.png"]())
    png[len(png) // 2] ^= 0xFF
    assert "cannot decode" in refused(bytes(png))


def test_sides_beyond_opencvs_own_limit_are_refused_in_our_words():
    width = (1 << 20) + 32
    data = b"BM" + struct.pack("<IHHI", 0, 0, 0, 62) + struct.pack("<IiiHHIIiiII", 40, width, 1, 1, 1, 0, 0, 0, 0, 2, 0)
    assert f"cannot decode (1 x {width} pixels)" in refused(data + b"\0\0\0\0\xff\xff\xff\0" + b"\0" * (width // 8))


def test_opencvs_log_level_is_the_users_again_after_reading():
    logging = getattr(cv2.utils, "logging", cv2)  # OpenCV 5, OpenCV 4
    level = logging.getLogLevel()
    data = CASES["plain.bmp"]()
    threads = [threading.Thread(target=lambda: [refused(data[:500]) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert logging.getLogLevel() == level


def test_the_first_to_decode_keeps_the_log_level_and_the_last_restores_it():
    logging = getattr(cv2.utils, "logging", cv2)
    level = logging.getLogLevel()
    quiet = images._QuietOpenCV()
    with quiet:
        with quiet:  # as a second thread would
            pass
        assert logging.getLogLevel() == 0
    assert logging.getLogLevel() == level


# Sizes.


def png_header(height: int, width: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    rows = zlib.compressobj(9)
    line = b"\0" * ((width + 7) // 8 + 1)
    body = b"".join(rows.compress(line) for _ in range(height)) + rows.flush()
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def test_a_bomb_is_refused_before_it_is_decoded(monkeypatch):
    bomb = png_header(16384, 16384)
    assert len(bomb) < 60_000
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    assert "got 16384 x 16384" in refused(bomb)
    jpeg = bytearray(CASES["plain.jpg"]())
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 20000, 20000)
    assert "expected at most 100000000 pixels, got 20000 x 20000" in refused(bytes(jpeg))


def test_the_limit_is_the_callers_and_includes_its_own_value():
    height, width = PICTURE.shape[:2]
    for source in (CASES["plain.png"](), PIL_PICTURE):
        assert read_image(source, max_pixels=height * width).shape == PICTURE.shape
        assert "raise max_pixels" in refused(source, max_pixels=height * width - 1)


def test_a_file_larger_than_the_byte_limit_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "large.png"
    path.write_bytes(CASES["plain.png"]() + b"\0" * 100_000)
    read_image(path)
    monkeypatch.setattr(images, "MAX_BYTES", 80_000)
    assert "larger file" in refused(path)


def test_a_size_behind_a_long_preview_is_found(tmp_path):
    data = CASES["plain.jpg"]()
    filler = b"".join(b"\xff\xe2\xff\xff" + b"\0" * 65533 for _ in range(3))
    path = tmp_path / "long.jpg"
    path.write_bytes(data[:2] + filler + data[2:])
    assert image_size(path) == PICTURE.shape[:2]


# Arrays, tensors, PIL images.


def test_arrays_of_every_accepted_kind():
    grey = PICTURE[:, :, :1]
    alpha = np.concatenate([PICTURE, grey], axis=2)
    for array, expected in (
        (PICTURE, PICTURE),
        (PICTURE[:, ::-1], PICTURE[:, ::-1]),
        (grey, grey.repeat(3, axis=2)),
        (grey[:, :, 0], grey.repeat(3, axis=2)),
        (alpha, PICTURE),
        (PICTURE.astype(np.uint16) * 257, PICTURE),
        (PICTURE / 255, PICTURE),
        ((PICTURE / 255).astype(np.float32), PICTURE),
    ):
        assert_picture(read_image(array), expected)


def test_16_bit_arrays_are_rounded_to_the_nearest():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    np.testing.assert_array_equal(read_image(values)[:, :, 0], np.rint(values / 257).astype(np.uint8))


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (PICTURE.astype(np.int64), "int64"),
        (PICTURE > 3, "bool"),
        (PICTURE.astype(np.float32), "divide by 255"),
        (np.full((2, 2, 3), np.nan), "nan"),
        (-np.ones((2, 2, 3)), "-1"),
        (np.zeros((3, 20, 30), np.uint8), "channels last"),
        (np.zeros((2, 20, 30, 3), np.uint8), "(2, 20, 30, 3)"),
        (np.zeros((20, 30, 2), np.uint8), "(20, 30, 2)"),
        (np.zeros((0, 30, 3), np.uint8), "(0, 30, 3)"),
        (np.zeros(9, np.uint8), "(9,)"),
    ],
)
def test_other_arrays_are_refused_with_what_came(array, said):
    assert said in refused(array)


def test_tensors_of_every_accepted_kind():
    tensor = torch.from_numpy(PICTURE).permute(2, 0, 1)
    assert_picture(read_image(tensor), PICTURE)
    assert_picture(read_image((tensor / 255).requires_grad_()), PICTURE)
    assert_picture(read_image(tensor[:1]), PICTURE[:, :, :1].repeat(3, axis=2))
    low = read_image((tensor / 255).bfloat16())
    assert np.abs(low.astype(int) - PICTURE).max() <= 1


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (torch.zeros(1, 3, 4, 5), "one picture at a time"),
        (torch.zeros(4, 5, 3), "(4, 5, 3)"),
        (torch.full((3, 4, 5), 200.0), "divide by 255"),
        (torch.zeros(3, 4, 5, dtype=torch.int64), "int64"),
        (torch.zeros(3, 0, 5), "(0, 5, 3)"),
    ],
)
def test_other_tensors_are_refused_with_what_came(tensor, said):
    assert said in refused(tensor)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"])
def test_pil_images_of_every_8_bit_mode(mode):
    image = PIL_PICTURE.convert(mode)
    assert_picture(read_image(image), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize(("mode", "plain"), [("La", "LA"), ("RGBa", "RGBA")])
def test_premultiplied_pil_images_get_their_colours_back(mode, plain):
    image = PIL_PICTURE.convert(plain)
    image.putalpha(128)
    read = read_image(image.convert(mode))
    assert np.abs(read.astype(int) - read_image(image)).max() <= 2


def test_pil_images_of_deep_modes_are_scaled_not_cut_off():
    deep = np.linspace(0, 65535, 60, dtype=np.uint16).reshape(6, 10)
    expected = np.rint(deep / 257).astype(np.uint8)[:, :, None].repeat(3, axis=2)
    assert_picture(read_image(Image.fromarray(deep)), expected)
    assert_picture(read_image(Image.fromarray(deep.astype(np.int32))), expected)
    assert_picture(read_image(Image.fromarray((deep / 65535).astype(np.float32))), expected)


def test_a_pil_image_that_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "cut.png"
    path.write_bytes(CASES["plain.png"]()[:-400])
    assert "cut.png: PIL cannot read it" in refused(Image.open(path))


@pytest.mark.parametrize("source", [None, 3, [PICTURE], {"a": 1}, object()])
def test_anything_else_is_refused_with_what_is_accepted(source):
    message = refused(source)
    assert "a path, a http(s) URL, bytes" in message
    assert type(source).__name__ in message


# URLs, from a server on this machine.


@pytest.fixture
def server():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            found = self.path.lstrip("/")
            body = CASES[found]() if found in CASES else b"<html>no</html>"
            self.send_response(404 if found == "gone.jpg" else 200)
            self.send_header("Content-Length", str(len(body) + 100 * (found == "plain.bmp")))
            self.end_headers()
            self.wfile.write(body[:200] if found == "plain.bmp" else body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def test_urls(server, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    assert_picture(read_image(f"{server}/plain.png"), PICTURE)
    assert "the server answered 404" in refused(f"{server}/gone.jpg")
    assert "starts with b'<html>no</html>'" in refused(f"{server}/page.jpg")
    refused(f"{server}/plain.bmp")  # cut short on the way
    assert "cannot be downloaded" in refused("http://127.0.0.1:1/a.jpg")
    assert "cannot be downloaded" in refused("http://")
    assert "cannot be downloaded" in refused("http://127.0.0.1:1/a b.jpg")


# Folders.


def test_a_folders_pictures_in_natural_order(tmp_path):
    for name in ("10.jpg", "9.PNG", "1.jpeg", "b2.webp", "B10.tif", "notes.txt", ".hidden.jpg", "a.gif"):
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    below = tmp_path / "deep"
    below.mkdir()
    (below / "2.bmp").touch()
    assert [p.name for p in list_images(tmp_path)] == ["1.jpeg", "9.PNG", "10.jpg", "a.gif", "b2.webp", "B10.tif"]
    assert list_images(str(tmp_path), recursive=True)[-1] == below / "2.bmp"
    assert len(list_images(tmp_path, recursive=True)) == 7


def test_a_folder_without_pictures_is_an_error(tmp_path):
    with pytest.raises(ImageError, match=r"expected pictures .* got none"):
        list_images(tmp_path)
    (tmp_path / "a.jpg").touch()
    for source, said in ((tmp_path / "a.jpg", "got a file"), (tmp_path / "b", "got nothing")):
        with pytest.raises(ImageError, match=said):
            list_images(source)
