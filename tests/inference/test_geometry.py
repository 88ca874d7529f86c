"""Placement on the canvas and back, against a drawn canvas."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cornernet.errors import ConfigError
from cornernet.inference.geometry import Placement, View, origins, place, to_picture
from cornernet.inference.preprocess import to_canvas
from cornernet.weights.record import MMDETECTION, PRINCETON

sides = st.integers(1, 700)
PLAIN = View()


def test_a_coco_picture_lies_where_the_reference_puts_it():
    placement = place((480, 640), "or127")
    assert placement.canvas == (511, 767)
    assert (placement.top, placement.left) == (15, 63)
    assert placement.visible == (480, 640)


def test_a_side_that_or_127_leaves_loses_its_last_row():
    placement = place((255, 255), "or127")
    assert placement.canvas == (255, 255)
    assert placement.visible == (254, 254)


def test_multiples_of_128_are_tighter():
    assert place((480, 640), "multiple128").canvas == (512, 640)
    assert place((512, 1), "multiple128").canvas == (512, 128)


@given(sides, sides, st.sampled_from(["or127", "multiple128"]))
def test_the_visible_part_fits_the_canvas(height, width, rule):
    p = place((height, width), rule)
    for side, canvas, visible, start in zip(p.resized, p.canvas, p.visible, (p.top, p.left), strict=True):
        assert 0 <= start
        assert start + visible <= canvas
        assert side - visible in (0, 1)
        assert canvas - side < 128


@given(sides, sides, st.sampled_from([0.5, 0.75, 1.0, 1.5]), st.booleans())
def test_boxes_find_their_way_back(height, width, scale, flipped):
    p = place((height, width), "or127", View(scale=scale, flipped=flipped))
    box = np.array([0.1 * width, 0.2 * height, 0.7 * width, 0.9 * height])
    on_view = box * np.array([p.resized[1] / width, p.resized[0] / height] * 2)
    if flipped:
        on_view[[0, 2]] = p.resized[1] - on_view[[2, 0]]
    back = to_picture(torch.tensor(on_view, dtype=torch.float32)[None, None], [p])
    assert np.allclose(back[0, 0], box, atol=1e-3)


def test_the_weights_own_scale_comes_on_top_of_the_view_s():
    assert place((480, 640), "multiple128", scale=0.5).resized == (240, 320)
    assert place((480, 640), "multiple128", scale=0.5).canvas == (256, 384)
    assert place((480, 640), "multiple128", View(scale=2), scale=0.5) == place((480, 640), "multiple128")


def test_origins_are_x_then_y():
    assert origins([place((480, 640), "or127")], torch.device("cpu")).tolist() == [[63.0, 15.0]]


@pytest.mark.parametrize("scale", [0, -1, 17, float("nan")])
def test_scales_out_of_range_are_refused(scale):
    with pytest.raises(ConfigError, match="test scale"):
        View(scale=scale)


def canvas_of(picture, preprocessing, view=PLAIN):
    placement = place(picture.shape[:2], preprocessing.canvas, view)
    canvas = to_canvas([picture], [placement], preprocessing, device=torch.device("cpu"))
    return placement, canvas


@pytest.mark.parametrize("size", [(37, 50), (127, 127), (128, 300), (1, 1)])
def test_mean_border_is_zero_and_pixels_are_normalised(size):
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    p, canvas = canvas_of(picture, MMDETECTION)
    expected = np.zeros((*p.canvas, 3), np.float32)
    mean, std = np.float32(MMDETECTION.mean), np.float32(MMDETECTION.std)
    shown = picture[: p.visible[0], : p.visible[1]]
    expected[p.top : p.top + shown.shape[0], p.left : p.left + shown.shape[1]] = (shown.astype(np.float32) - mean) / std
    assert np.array_equal(canvas[0].permute(1, 2, 0).numpy(), expected)
    assert canvas.is_contiguous(memory_format=torch.channels_last)


def test_princeton_is_bgr_on_black():
    picture = np.zeros((20, 30, 3), np.uint8)
    picture[..., 0] = 200  # red
    p, canvas = canvas_of(picture, PRINCETON)
    mean, std = np.float32(PRINCETON.mean), np.float32(PRINCETON.std)
    assert np.allclose(canvas[0, :, 0, 0], -mean / std)
    assert np.allclose(canvas[0, :, p.top, p.left], (np.float32([0, 0, 200]) - mean) / std)


def test_flip_mirrors_the_picture_before_placing_it():
    picture = np.random.default_rng(0).integers(0, 256, (21, 33, 3), dtype=np.uint8)
    _, flipped = canvas_of(picture, MMDETECTION, View(flipped=True))
    _, mirrored = canvas_of(np.ascontiguousarray(picture[:, ::-1]), MMDETECTION)
    assert torch.equal(flipped, mirrored)


def test_batches_hold_pictures_of_different_sizes_on_one_canvas():
    pictures = [np.full((100, 90, 3), 10, np.uint8), np.full((60, 127, 3), 250, np.uint8)]
    places: list[Placement] = [place(p.shape[:2], "or127") for p in pictures]
    batch = to_canvas(pictures, places, MMDETECTION, device=torch.device("cpu"))
    for i in range(2):
        alone = to_canvas([pictures[i]], [places[i]], MMDETECTION, device=torch.device("cpu"))
        assert torch.equal(batch[i], alone[0])
