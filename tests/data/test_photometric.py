"""Colours against MMDetection's results, and both ways of computing them against its steps done with OpenCV."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cornernet.data.augment import AugmentConfig, draw_colour
from cornernet.data.batches import Batch
from cornernet.data.photometric import _all_at_once, _picture_by_picture, colour_and_normalise
from cornernet.weights.record import MMDETECTION, PRINCETON, Preprocessing

GOLDEN = np.load(Path(__file__).parent.parent / "golden" / "training_data.npz")
PLAIN = Preprocessing(mean=(0, 0, 0), std=(1, 1, 1))
WAYS = [_picture_by_picture, _all_at_once]
TOLERANCE = 1e-3  # of 255


def batch_of(images, colours, visible=None):
    count, height, width, _ = images.shape
    return Batch(
        images=torch.from_numpy(images.copy()),
        boxes=torch.zeros(0, 4),
        labels=torch.zeros(0, dtype=torch.int64),
        image_index=torch.zeros(0, dtype=torch.int64),
        visible=torch.tensor([[0, 0, width, height]] * count if visible is None else visible),
        colour=torch.from_numpy(np.asarray(colours, np.float32)),
        names=("",) * count,
        image_ids=(0,) * count,
    )


def by_steps(image, colour):
    """The recipe, step by step, on one RGB picture in float32."""
    brightness, contrast_first, saturation, hue, contrast_last, *order = colour.tolist()
    pixels = (image.astype(np.float32) + np.float32(brightness)) * np.float32(contrast_first)
    h, s, v = np.moveaxis(cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV), -1, 0)
    s = s * np.float32(saturation)
    if saturation > 1:
        s = s.clip(0, 1)
    h = h + np.float32(hue)
    h[h > 360] -= 360
    h[h < 0] += 360
    pixels = cv2.cvtColor(np.stack([h, s, v], -1), cv2.COLOR_HSV2RGB) * np.float32(contrast_last)
    return pixels[..., [int(i) for i in order]]


@pytest.fixture(scope="module")
def drawn():
    """Pictures of even noise, of dark noise and of greys, and colours as training draws them."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (24, 70, 37, 3), dtype=np.uint8)
    images[8:16] //= 16
    images[16:] = images[16:, ..., :1]
    return images, np.stack([draw_colour(rng, AugmentConfig(colour=0.7)) for _ in range(24)])


@pytest.mark.parametrize("way", WAYS)
class TestBothWays:
    def test_golden(self, way):
        colours = GOLDEN["colour_parameters"]
        images = np.repeat(GOLDEN["colour_image"][None], len(colours), 0)
        got = way(batch_of(images, colours), PLAIN).permute(0, 2, 3, 1).numpy()
        for result, expected in zip(got, GOLDEN["colour_result"], strict=True):
            np.testing.assert_allclose(result, expected, atol=255 * TOLERANCE)

    def test_drawn_colours(self, way, drawn):
        images, colours = drawn
        got = way(batch_of(images, colours), PLAIN).permute(0, 2, 3, 1).numpy()
        for result, image, colour in zip(got, images, colours, strict=True):
            np.testing.assert_allclose(result, by_steps(image, colour), atol=255 * TOLERANCE)

    @pytest.mark.parametrize("preprocessing", [MMDETECTION, PRINCETON])
    def test_normalising_and_order(self, way, drawn, preprocessing):
        images, colours = drawn
        got = way(batch_of(images, colours), preprocessing)
        assert got.dtype == torch.float32
        assert got.shape == (24, 3, 70, 37)
        assert got.is_contiguous(memory_format=torch.channels_last)
        step = -1 if preprocessing.channel_order == "bgr" else 1
        for result, image, colour in zip(got.permute(0, 2, 3, 1).numpy(), images, colours, strict=True):
            expected = (by_steps(image, colour)[..., ::step] - preprocessing.mean) / preprocessing.std
            np.testing.assert_allclose(result, expected, atol=255 * TOLERANCE / 57)

    @pytest.mark.parametrize("preprocessing", [MMDETECTION, PRINCETON])
    def test_padding_is_the_border(self, way, drawn, preprocessing):
        images, colours = drawn
        visible = [[i, 2 * i, 37 - i // 3, 70 - i] for i in range(22)] + [[5, 5, 5, 9], [6, 9, 8, 7]]
        whole, got = (way(batch_of(images, colours, v), preprocessing) for v in (None, visible))
        border = -torch.tensor(preprocessing.mean) / torch.tensor(preprocessing.std)
        if preprocessing.border == "mean":
            border = torch.zeros(3)
        for image, full, (x0, y0, x1, y1) in zip(got, whole, visible, strict=True):
            expected = border[:, None, None].expand_as(image).clone()
            if x0 < x1 and y0 < y1:
                expected[:, y0:y1, x0:x1] = full[:, y0:y1, x0:x1]
            torch.testing.assert_close(image, expected, atol=1e-5, rtol=0)

    def test_float32_under_autocast(self, way, drawn):
        images, colours = drawn
        with torch.autocast("cpu", torch.bfloat16):
            got = way(batch_of(images[:2], colours[:2]), MMDETECTION)
        torch.testing.assert_close(got, way(batch_of(images[:2], colours[:2]), MMDETECTION), rtol=0, atol=0)

    @given(
        st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=8),
        st.integers(-32, 32),
        st.floats(0, 3, width=32),
        st.integers(-180, 180),
    )
    @settings(max_examples=60, deadline=None)
    def test_any_pixel(self, way, pixels, brightness, saturation, hue):
        images = np.array(pixels, np.uint8)[None, None]
        colour = np.array([brightness, 1, saturation, hue, 1, 0, 1, 2], np.float32)
        got = way(batch_of(images, colour[None]), PLAIN).permute(0, 2, 3, 1).numpy()
        np.testing.assert_allclose(got[0], by_steps(images[0], colour), atol=255 * TOLERANCE)


def test_the_cpu_takes_its_own_way(drawn):
    images, colours = drawn
    batch = batch_of(images, colours)
    torch.testing.assert_close(
        colour_and_normalise(batch, MMDETECTION), _picture_by_picture(batch, MMDETECTION), rtol=0, atol=0
    )


def test_nothing_waits_for_the_device(drawn):
    """On the meta device every value is unknown: what needs one fails."""
    images, colours = drawn
    batch = batch_of(images, colours).to("meta")
    assert colour_and_normalise(batch, PRINCETON).shape == (24, 3, 70, 37)
