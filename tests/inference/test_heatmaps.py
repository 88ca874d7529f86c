from __future__ import annotations

import numpy as np
import pytest
import torch

from cornernet.errors import ConfigError
from cornernet.inference.detector import PlacedMaps
from cornernet.inference.geometry import View, place
from cornernet.inference.heatmaps import draw_heatmaps, heat_on_picture
from cornernet.structures.maps import CornerMaps


def _maps(tl: torch.Tensor, br: torch.Tensor) -> CornerMaps:
    other = torch.zeros(1, 1, *tl.shape[2:])
    return CornerMaps(tl, br, other, other, other.repeat(1, 2, 1, 1), other.repeat(1, 2, 1, 1))


def _cold(height: int, width: int) -> torch.Tensor:
    return torch.full((1, 3, height, width), -20.0)


@pytest.mark.parametrize("size", [(100, 200), (127, 255), (128, 128), (1, 1), (129, 3)])
@pytest.mark.parametrize("rule", ["or127", "multiple128"])
@pytest.mark.parametrize("view", [View(), View(scale=0.5), View(scale=1.5, flipped=True)])
def test_heat_has_the_pictures_size(size, rule, view):
    placement = place(size, rule, view)
    cells = [-(-side // 4) for side in placement.canvas]
    heat = heat_on_picture(_cold(*cells), placement)
    assert heat.shape == size
    assert heat.dtype == np.float32
    assert heat.max() < 1e-8


@pytest.mark.parametrize("flipped", [False, True])
def test_a_hot_cell_is_hot_where_it_lies_on_the_picture(flipped):
    placement = place((100, 200), "or127", View(flipped=flipped))  # on 127 x 255, 32 x 64 cells
    y, x = 30, 150
    canvas_x = placement.left + (199 - x if flipped else x)
    logits = _cold(32, 64)
    logits[0, 1, int((placement.top + y) * 32 / 127), int(canvas_x * 64 / 255)] = 20
    heat = heat_on_picture(logits, placement)
    top, left = np.unravel_index(heat.argmax(), heat.shape)
    assert heat.max() > 0.7
    assert abs(top - y) <= 4
    assert abs(left - x) <= 4


def test_corners_stand_side_by_side_over_the_picture():
    placement = place((100, 200), "or127")
    tl, br = _cold(32, 64), _cold(32, 64)
    tl[0, 0, 10, 20] = br[0, 2, 20, 40] = 20
    picture = np.full((100, 200, 3), 100, np.uint8)
    drawn = draw_heatmaps(picture, PlacedMaps(_maps(tl, br), placement))
    assert drawn.shape == (100, 400, 3)
    assert drawn.dtype == np.uint8
    hot = (drawn.astype(int) > 150).any(axis=2)
    assert hot[:, :200].any()
    assert hot[:, 200:].any()
    assert not (hot[:, :200] & hot[:, 200:]).any()
    assert tuple(drawn[0, 0]) == (60, 60, 60)  # dimmed where there is no heat


def test_another_pictures_maps_are_refused():
    placement = place((100, 200), "or127")
    placed = PlacedMaps(_maps(_cold(32, 64), _cold(32, 64)), placement)
    with pytest.raises(ConfigError, match="own picture"):
        draw_heatmaps(np.zeros((100, 201, 3), np.uint8), placed)
