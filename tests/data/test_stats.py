"""Numbers of a split: held against numbers known beforehand, loops, and the targets' own cells."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cornernet.corners.targets import corner_targets
from cornernet.data.coco import load_coco
from cornernet.data.stats import BoxTable, count_collisions, describe, spread
from cornernet.data.stats_plots import plot_stats
from cornernet.errors import ConfigError


def dataset(folder, boxes, sizes=((100, 200), (50, 50), (80, 60)), classes=("ant", "bee")):
    """Pictures of these sizes; boxes as (picture, class, xywh, more)."""
    document = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "height": h, "width": w} for i, (h, w) in enumerate(sizes)],
        "annotations": [
            {"id": n, "image_id": i, "category_id": c, "bbox": list(xywh), **more}
            for n, (i, c, xywh, more) in enumerate(boxes, start=1)
        ],
        "categories": [{"id": c, "name": name} for c, name in enumerate(classes)],
    }
    path = folder / "annotations/instances_val.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")
    return load_coco(folder, "val")


BOXES = [
    (0, 0, (10, 20, 30, 30), {}),
    (0, 0, (50, 20, 40, 10), {"area": 2000}),
    (0, 1, (60, 0, 100, 100), {}),
    (0, 1, (60, 0, 50, 50), {"iscrowd": 1}),
    (1, 0, (40, 40, 30, 30), {}),  # 10 x 10 inside the picture
]


def test_numbers_of_a_small_split(tmp_path):
    stats = describe(dataset(tmp_path, BOXES))
    assert (stats.split, stats.pictures, stats.empty, stats.boxes, stats.crowd) == ("val", 3, 1, 4, 1)
    assert (stats.small, stats.medium, stats.large) == (2, 1, 1)  # by the annotated area: 900, 2000, 10000, 900
    assert (stats.side.least, stats.side.median, stats.side.most) == (10, 20, 100)
    assert (stats.width.most, stats.height.least) == (100, 10)
    assert (stats.aspect.least, stats.aspect.most, stats.aspect.mean) == (1, 4, 7 / 4)
    assert (stats.per_picture.least, stats.per_picture.median, stats.per_picture.most) == (0, 1, 3)
    assert (stats.picture_width.most, stats.picture_height.most) == (200, 100)
    assert [(c.id, c.name, c.boxes, c.pictures) for c in stats.classes] == [(0, "ant", 3, 2), (1, "bee", 1, 1)]
    json.dumps(asdict(stats))


def test_a_split_without_boxes(tmp_path):
    stats = describe(dataset(tmp_path, []))
    assert (stats.boxes, stats.empty, stats.side, stats.aspect) == (0, 3, None, None)
    assert stats.per_picture.most == 0
    assert stats.collisions.top_left == 0
    assert [c.boxes for c in stats.classes] == [0, 0]


def test_a_spread_is_made_of_values_that_occur():
    assert spread(np.zeros(0)) is None
    found = spread(np.arange(1, 101))
    assert (found.least, found.p5, found.p25, found.median, found.p75, found.p95, found.most) == (
        1, 5, 25, 50, 75, 95, 100,
    )  # fmt: skip
    assert found.mean == 50.5
    assert spread(np.array([1, 2])).median == 1


def test_collisions_known_beforehand(tmp_path):
    # Scaled from 200 to 40 pixels at stride 4: a cell is 20 pixels wide.
    boxes = [
        (0, 0, (1, 1, 50, 50), {}),
        (0, 0, (19, 19, 100, 20), {}),  # top left with the first, same class
        (0, 1, (5, 5, 40, 40), {}),  # top left with both, another class; bottom right with the first
        (0, 0, (21, 1, 60, 90), {}),  # alone
        (0, 0, (1, 2, 51, 51), {"iscrowd": 1}),  # a crowd is not trained on
        (1, 0, (1, 1, 30, 30), {}),  # another picture
    ]
    found = describe(dataset(tmp_path, boxes), crop=40).collisions
    assert (found.cells, found.top_left, found.top_left_same_class) == (10, 3, 2)
    assert (found.bottom_right, found.bottom_right_same_class, found.both_same_class) == (2, 0, 0)


corner = st.integers(0, 60)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), corner, corner, corner, corner), max_size=25),
    crop=st.sampled_from([31, 64, 127]),
)
def test_cells_are_those_of_the_targets(rows, crop, tmp_path_factory):
    sizes = ((60, 60), (60, 45), (32, 60))
    boxes = [(i, c, (min(x, X), min(y, Y), abs(X - x), abs(Y - y)), {}) for i, c, x, y, X, Y in rows]
    data = dataset(tmp_path_factory.mktemp("any"), boxes, sizes)
    table = BoxTable.of(data)
    found = count_collisions(table, crop=crop)
    scale = crop / np.array([max(s) for s in sizes])[table.image]
    scaled = torch.from_numpy(table.boxes * scale[:, None])
    side = found.cells
    image = torch.from_numpy(table.image)
    labels = torch.from_numpy(table.labels)
    targets = corner_targets(
        scaled, labels, image, batch_size=3, num_classes=2, map_size=(side, side), input_size=(crop, crop)
    )

    def sharing(*columns):
        keys = list(zip(*(c.tolist() for c in columns), strict=True))
        return sum(n for n in Counter(keys).values() if n > 1)

    top_left, bottom_right = targets.tl_cell, targets.br_cell
    assert found.top_left == sharing(image, top_left)
    assert found.top_left_same_class == sharing(image, top_left, labels)
    assert found.bottom_right == sharing(image, bottom_right)
    assert found.bottom_right_same_class == sharing(image, bottom_right, labels)
    assert found.both_same_class == sharing(image, top_left, bottom_right, labels)


@pytest.mark.parametrize("wrong", [{"crop": 0}, {"stride": 0}])
def test_what_makes_no_cells_is_refused(tmp_path, wrong):
    with pytest.raises(ConfigError, match="crop and stride"):
        describe(dataset(tmp_path, BOXES), **wrong)


@pytest.mark.parametrize("boxes", [BOXES, [], [(0, 0, (0, 0, 200, 0.5), {})]])
def test_the_figure_is_drawn(tmp_path, boxes):
    data = dataset(tmp_path, boxes, classes=[f"a $class_{i}" for i in range(30)])
    plot_stats(data, describe(data), tmp_path / "out" / "val.png")
    picture = cv2.imread(str(tmp_path / "out" / "val.png"))
    assert picture.shape == (1080, 1800, 3)
    assert (picture < 128).any()
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["val.png"]
