"""Sheets of training pictures: colours undone exactly, boxes where they belong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cornernet.data.augment import AugmentConfig
from cornernet.data.batches import TrainingPictures, collate
from cornernet.data.coco import load_coco
from cornernet.data.synth import ShapesConfig, make_shapes
from cornernet.data.view import draw_batch
from cornernet.structures.draw import class_color
from cornernet.weights.record import MMDETECTION, PRINCETON

NAMES = ("circle", "square", "triangle")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = make_shapes(
        tmp_path_factory.mktemp("view") / "shapes", ShapesConfig(train=7, val=0, test=0, size=300, empty=0.0)
    )
    config = AugmentConfig(size=(260, 300), border=16, colour=0.0, swap=0.0)
    return TrainingPictures(load_coco(folder, "train"), config, seed=0, border_colour=(124, 116, 104))


def batch(pictures, count):
    return collate([pictures[0, index] for index in range(count)])


def without_boxes(full):
    empty = torch.zeros(0, dtype=torch.int64)
    return replace(full, boxes=torch.zeros(0, 4), labels=empty, image_index=empty)


@pytest.mark.parametrize("preprocessing", [MMDETECTION, PRINCETON])
def test_pictures_look_as_they_did_before_normalising(pictures, preprocessing):
    full = batch(pictures, 1)
    sheet = draw_batch(without_boxes(full), preprocessing, NAMES)
    x0, y0, x1, y1 = full.visible[0].tolist()
    difference = sheet[y0:y1, x0:x1].astype(int) - full.images[0, y0:y1, x0:x1].numpy()
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize(("count", "shape"), [(1, (260, 300)), (2, (260, 604)), (3, (524, 604)), (5, (524, 908))])
def test_sheets_are_as_square_as_they_can(pictures, count, shape):
    sheet = draw_batch(batch(pictures, count), MMDETECTION, NAMES)
    assert sheet.dtype == np.uint8
    assert sheet.shape == (*shape, 3)
    if count == 3:
        assert (sheet[264:, 304:] == 255).all()  # no fourth picture


def test_boxes_are_drawn_around_their_objects(pictures):
    full = batch(pictures, 2)
    plain = draw_batch(without_boxes(full), MMDETECTION, NAMES)
    sheet = draw_batch(full, MMDETECTION, NAMES)
    changed = (sheet != plain).any(axis=2)
    assert changed.any()
    for box, label, index in zip(full.boxes.tolist(), full.labels.tolist(), full.image_index.tolist(), strict=True):
        x0, y0, x1, y1 = np.rint(box).astype(int)
        x0, x1 = x0 + 304 * index, x1 + 304 * index
        edge = np.concatenate([sheet[y0:y1, x0], sheet[y0:y1, x1 - 1], sheet[y1 - 1, x0:x1]])
        # Other boxes and names may lie over parts of it.
        assert (edge == class_color(label)).all(axis=1).mean() > 0.5
    assert not changed[:, 300:304].any()


def test_small_pictures_are_enlarged(tmp_path):
    folder = make_shapes(tmp_path / "shapes", ShapesConfig(train=1, val=0, test=0, size=40, empty=0.0))
    config = AugmentConfig(size=(40, 50), border=8)
    pictures = TrainingPictures(load_coco(folder, "train"), config, seed=0, border_colour=(0, 0, 0))
    assert draw_batch(batch(pictures, 1), MMDETECTION, NAMES).shape == (240, 300, 3)
