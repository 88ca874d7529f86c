"""Crops against MMDetection's results, against the recipe's distributions, and pictures against their boxes."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cornernet.data.augment import (
    AugmentConfig,
    Crop,
    crop_boxes,
    crop_picture,
    draw_colour,
    draw_crop,
    inner_border,
    visible_part,
)
from cornernet.errors import ConfigError
from synthetic import synthetic_image

GOLDEN = np.load(Path(__file__).parent.parent / "golden" / "training_data.npz")
MEAN = (124, 116, 104)
NONE = np.zeros((0, 4), np.float32)
RECIPE = AugmentConfig()
CROPS = [
    Crop(left=left, top=top, width=side, height=side, flipped=bool(flipped))
    for left, top, side, flipped in GOLDEN["crop_geometry"].tolist()
]


def boxes_of(*rows):
    return np.array(rows, np.float32).reshape(-1, 4)


def draws(count, size, boxes, config=RECIPE, seed=0):
    rng = np.random.default_rng(seed)
    return [draw_crop(rng, size, boxes, config) for _ in range(count)]


class TestAgainstTheReference:
    @pytest.mark.parametrize("index", range(len(CROPS)))
    def test_pictures(self, index):
        picture = np.ascontiguousarray(synthetic_image(70, 90)[..., ::-1])
        got = crop_picture(picture, CROPS[index], (40, 40), MEAN)
        # The reference pads with the mean itself, not rounded, and resizes in float32.
        assert np.abs(got.astype(int) - GOLDEN["crop_images"][index]).max() <= 1

    def test_boxes(self):
        results = [crop_boxes(GOLDEN["crop_boxes"], crop, (40, 40)) for crop in CROPS]
        assert [len(boxes) for boxes, _ in results] == GOLDEN["crop_counts"].tolist()
        np.testing.assert_allclose(np.concatenate([b for b, _ in results]), GOLDEN["crop_result_boxes"], atol=1e-4)
        assert np.concatenate([np.flatnonzero(kept) for _, kept in results]).tolist() == GOLDEN["crop_labels"].tolist()

    def test_border(self):
        for side in range(1, 1000):
            k = 2 * 128 / side
            expected = 128 // 2 ** (math.ceil(math.log2(math.ceil(k))) + (k == int(k)))
            assert inner_border(128, side) == expected


class TestDrawnCrops:
    def test_ratios_are_even(self):
        sides = [crop.width for crop in draws(4000, (480, 640), NONE)]
        expected = [int(511 * ratio) for ratio in RECIPE.ratios]
        counts = [sides.count(side) for side in expected]
        assert sum(counts) == 4000
        assert stats.chisquare(counts).pvalue > 0.001

    def test_centres_are_even_in_the_inner_part(self):
        crops = draws(4000, (480, 640), NONE)
        for low, high, centres in (
            (128, 512, [crop.left + crop.width // 2 for crop in crops]),
            (128, 352, [crop.top + crop.height // 2 for crop in crops]),
        ):
            assert min(centres) == low
            assert max(centres) == high - 1
            assert stats.chisquare(np.histogram(centres, bins=8, range=(low, high))[0]).pvalue > 0.001

    def test_flips_are_half(self):
        flips = sum(crop.flipped for crop in draws(4000, (480, 640), NONE))
        assert stats.binomtest(flips, 4000, 0.5).pvalue > 0.001
        assert not any(crop.flipped_vertically for crop in draws(400, (480, 640), NONE))  # not in the recipe

    def test_vertical_flips_are_as_many_as_asked_for_and_independent(self):
        config = replace(RECIPE, flip_vertical=0.25)
        crops = draws(4000, (480, 640), NONE, config)
        assert stats.binomtest(sum(crop.flipped_vertically for crop in crops), 4000, 0.25).pvalue > 0.001
        both = sum(crop.flipped and crop.flipped_vertically for crop in crops)
        assert stats.binomtest(both, 4000, 0.125).pvalue > 0.001

    def test_at_another_scale_crops_show_as_much_of_the_resized_picture(self):
        config = AugmentConfig(size=(100, 200), ratios=(0.5, 1.0), border=16).at_scale(0.5)
        assert config == AugmentConfig(size=(100, 200), ratios=(1.0, 2.0), border=32)
        assert RECIPE.at_scale(1.0) == RECIPE

    def test_a_box_decides_over_crops_as_rejection_does(self):
        """Ratio and centre are even over all that hold a box's centre, but for tries that found none (rare here)."""
        box = boxes_of([10, 10, 30, 50])
        crops = draws(4000, (480, 640), box)
        centres = [(crop.left + crop.width // 2, crop.top + crop.height // 2) for crop in crops]
        counts, weights = [], []
        for ratio in RECIPE.ratios:
            side = int(511 * ratio)
            half = side // 2
            across = sum(x - half < 20 < x - half + side for x in range(128, 512)) / 384
            down = sum(y - half < 30 < y - half + side for y in range(128, 352)) / 224
            weights.append(1 - (1 - across * down) ** 50)
            counts.append(sum(crop.width == side for crop in crops))
            mine = [centre for centre, crop in zip(centres, crops, strict=True) if crop.width == side]
            assert max(x for x, _ in mine) - half < 20
        assert stats.chisquare(counts, np.array(weights) * 4000 / sum(weights)).pvalue > 0.001

    @given(
        st.tuples(st.integers(1, 900), st.integers(1, 900)),
        st.lists(st.tuples(*[st.floats(0, 1)] * 4), min_size=1, max_size=5),
        st.integers(0, 2**32),
    )
    @settings(max_examples=100, deadline=None)
    def test_a_box_is_always_left(self, size, corners, seed):
        height, width = size
        scaled = np.array(corners, np.float32) * (width, height, width, height)
        boxes = np.concatenate([np.minimum(scaled[:, :2], scaled[:, 2:]), np.maximum(scaled[:, :2], scaled[:, 2:])], 1)
        boxes = boxes[(boxes[:, 2:] - boxes[:, :2] > 0.01).all(1)].astype(np.float32)
        crop = draw_crop(np.random.default_rng(seed), size, boxes, RECIPE)
        moved, kept = crop_boxes(boxes, crop, RECIPE.size)
        assert len(moved) == kept.sum()
        assert kept.any() == bool(len(boxes))
        assert (moved >= 0).all()
        assert (moved <= 511).all()
        assert (moved[:, 2:] > moved[:, :2]).all()

    @pytest.mark.parametrize(
        ("size", "box", "config"),
        [
            ((20000, 20000), [0, 0, 3, 3], RECIPE),  # one crop in ten thousand would do
            ((500, 500), [1, 1, 4, 4], AugmentConfig(size=(64, 64))),  # the border keeps every crop from it
            ((1, 5000), [4999, 0, 5000, 1], RECIPE),
            ((1, 1), [0, 0, 1, 1], AugmentConfig(size=(2, 2), ratios=(1.0,))),
        ],
    )
    def test_ends_where_hardly_any_crop_will_do(self, size, box, config):
        for seed in range(20):
            (crop,) = draws(1, size, boxes_of(box), config, seed)
            assert crop_boxes(boxes_of(box), crop, config.size)[1].all()

    def test_three_hundred_boxes(self):
        rng = np.random.default_rng(0)
        corner = rng.uniform(0, 400, (300, 2))
        boxes = np.hstack([corner, corner + rng.uniform(1, 80, (300, 2))]).astype(np.float32)
        crop = draw_crop(rng, (480, 640), boxes, RECIPE)
        moved, kept = crop_boxes(boxes, crop, RECIPE.size)
        middles = (boxes[:, :2] + boxes[:, 2:]) / 2
        expected = [
            crop.left < x < crop.left + crop.width and crop.top < y < crop.top + crop.height for x, y in middles
        ]
        assert kept.tolist() == expected
        assert len(moved) == sum(expected)

    def test_the_generator_alone_decides(self):
        assert draws(5, (480, 640), NONE) == draws(5, (480, 640), NONE)
        assert draws(5, (480, 640), NONE) != draws(5, (480, 640), NONE, seed=1)


class TestPicturesAndBoxesMoveTogether:
    """A white rectangle on black is found again where its box is said to be, to within a pixel at each edge."""

    def edges(self, picture):
        """Where the rectangle's edges lie, from how much of it each outermost row and column holds."""
        light = picture[..., 0] / 255.0
        rows, columns = light.max(1), light.max(0)
        found = []
        for line in (columns, rows):
            inside = np.flatnonzero(line > 0.5)
            found.append((inside[0], inside[-1] + 1))
        (x0, x1), (y0, y1) = found
        return np.array([x0, y0, x1, y1])

    @pytest.mark.parametrize("upright", [True, False])
    @pytest.mark.parametrize("flipped", [False, True])
    @pytest.mark.parametrize("ratio", RECIPE.ratios)
    def test_every_ratio(self, ratio, flipped, upright):
        rng = np.random.default_rng(int(ratio * 10))
        side = int(511 * ratio)
        for _ in range(12):
            height, width = rng.integers(300, 800, 2)
            x, y = rng.integers(0, width - 40), rng.integers(0, height - 40)
            w, h = rng.integers(20, (width - x + 1, height - y + 1))
            picture = np.zeros((height, width, 3), np.uint8)
            picture[y : y + h, x : x + w] = 255
            cx, cy = rng.integers((x, y), (x + w, y + h))
            crop = Crop(
                left=cx - side // 2,
                top=cy - side // 2,
                width=side,
                height=side,
                flipped=flipped,
                flipped_vertically=not upright,
            )
            moved, kept = crop_boxes(boxes_of([x, y, x + w, y + h]), crop, (511, 511))
            if kept.any():
                shown = crop_picture(picture, crop, (511, 511), (0, 0, 0))
                assert np.abs(self.edges(shown) - moved[0]).max() <= 1

    @pytest.mark.parametrize("upright", [True, False])
    @pytest.mark.parametrize("flipped", [False, True])
    def test_what_shows_the_picture(self, flipped, upright):
        rng = np.random.default_rng(0)
        for _ in range(30):
            height, width = rng.integers(3, 700, 2)
            side = int(511 * rng.choice(RECIPE.ratios))
            crop = Crop(
                left=int(rng.integers(width)) - side // 2,
                top=int(rng.integers(height)) - side // 2,
                width=side,
                height=side,
                flipped=flipped,
                flipped_vertically=not upright,
            )
            shown = crop_picture(np.full((height, width, 3), 255, np.uint8), crop, (511, 511), (0, 0, 0))
            x0, y0, x1, y1 = visible_part(crop, (height, width), (511, 511))
            for light, low, high in ((shown[..., 0].max(0), x0, x1), (shown[..., 0].max(1), y0, y1)):
                expected = (np.arange(511) >= low) & (np.arange(511) < high)
                assert ((light >= 128) == expected)[np.abs(light - 127.5) > 1].all()  # half a pixel may go either way

    def test_a_picture_as_it_is(self):
        picture = synthetic_image(40, 50)
        crop = Crop(left=0, top=0, width=50, height=40, flipped=False)
        np.testing.assert_array_equal(crop_picture(picture, crop, (40, 50), MEAN), picture)
        assert visible_part(crop, (40, 50), (40, 50)) == (0, 0, 50, 40)
        boxes = boxes_of([0, 0, 50, 40], [49, 39, 50, 40])
        np.testing.assert_array_equal(crop_boxes(boxes, crop, (40, 50))[0], boxes)

    def test_one_pixel(self):
        crop = Crop(left=-2, top=-2, width=4, height=4, flipped=False)
        shown = crop_picture(np.full((1, 1, 3), 255, np.uint8), crop, (4, 4), (0, 1, 2))
        assert shown[2, 2].tolist() == [255, 255, 255]
        assert shown[0, 0].tolist() == [0, 1, 2]
        assert visible_part(crop, (1, 1), (4, 4)) == (2, 2, 3, 3)
        aside = Crop(left=-1, top=-1, width=4, height=4, flipped=False)
        x0, y0, x1, y1 = visible_part(aside, (1, 1), (1, 1))  # a quarter of the only pixel, not its middle
        assert (x0, y0) == (x1, y1)

    def test_a_box_on_the_crops_edge_goes(self):
        crop = Crop(left=0, top=0, width=10, height=10, flipped=False)
        moved, kept = crop_boxes(boxes_of([8, 0, 12, 4], [7.9, 0, 12, 4], [-2, 0, 2, 4]), crop, (20, 20))
        assert kept.tolist() == [False, True, False]
        np.testing.assert_allclose(moved, [[15.8, 0, 20, 8]], rtol=1e-6)

    def test_no_boxes(self):
        moved, kept = crop_boxes(NONE, Crop(left=0, top=0, width=9, height=9, flipped=True), (9, 9))
        assert moved.shape == (0, 4)
        assert moved.dtype == np.float32
        assert kept.shape == (0,)


@pytest.fixture(scope="module")
def colours():
    rng = np.random.default_rng(0)
    return np.stack([draw_colour(rng, RECIPE) for _ in range(6000)])


class TestDrawnColours:
    @pytest.mark.parametrize(
        ("column", "identity", "low", "high", "probability"),
        [
            (0, 0, -32, 32, 1 / 2),
            (1, 1, 0.5, 1.5, 1 / 4),
            (2, 1, 0.5, 1.5, 1 / 2),
            (3, 0, -18, 18, 1 / 2),
            (4, 1, 0.5, 1.5, 1 / 4),
        ],
    )
    def test_ranges_and_probabilities(self, colours, column, identity, low, high, probability):
        values = colours[:, column]
        drawn = values[values != identity]
        assert stats.binomtest(len(drawn), 6000, probability).pvalue > 0.001
        assert stats.kstest(drawn, "uniform", (low, high - low)).pvalue > 0.001

    def test_contrast_comes_once(self, colours):
        assert not ((colours[:, 1] != 1) & (colours[:, 4] != 1)).any()

    def test_each_is_drawn_by_itself(self, colours):
        drawn = colours[:, [0, 2, 3]] != [0, 1, 0]
        contrast = (colours[:, 1] != 1) | (colours[:, 4] != 1)
        patterns = np.column_stack([drawn, contrast]) @ [1, 2, 4, 8]
        assert stats.chisquare(np.bincount(patterns, minlength=16)).pvalue > 0.001

    def test_orders(self, colours):
        codes = (colours[:, 5:] @ [9, 3, 1]).astype(int)
        orders, counts = np.unique(codes, return_counts=True)
        assert len(orders) == 6
        expected = np.full(6, 6000 / 12)  # a half stays, a sixth of the other half as well
        expected[orders == 0 * 9 + 1 * 3 + 2] += 6000 / 2
        assert stats.chisquare(counts, expected).pvalue > 0.001

    def test_none(self):
        config = AugmentConfig(colour=0, swap=0)
        assert draw_colour(np.random.default_rng(0), config).tolist() == [0, 1, 1, 0, 1, 0, 1, 2]


class TestConfig:
    def test_lists_are_as_good(self):
        assert AugmentConfig(size=[127, 255], ratios=[1.0]).size == (127, 255)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"size": (511,)},
            {"size": (0, 511)},
            {"size": (511.0, 511)},
            {"ratios": ()},
            {"ratios": (0.0,)},
            {"ratios": (0.6,), "size": (2, 511)},
            {"border": -1},
            {"border": 1.5},
            {"flip": 1.5},
            {"colour": -0.1},
            {"swap": 2},
            {"brightness": -1},
            {"hue": 181},
            {"contrast": (1.5, 0.5)},
            {"saturation": (-0.5, 0.5)},
            {"saturation": (1.0,)},
            {"hue": math.nan},
        ],
    )
    def test_refuses(self, wrong):
        with pytest.raises(ConfigError, match=next(iter(wrong))) as error:
            AugmentConfig(**wrong)
        assert "\n" not in str(error.value)
