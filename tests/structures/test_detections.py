"""Detections, classes and their drawing."""

import numpy as np
import pytest

from cornernet.errors import ConfigError
from cornernet.structures.classes import COCO, Classes
from cornernet.structures.detections import Detections
from cornernet.structures.draw import class_color

CLASSES = Classes(("cat", "dog"), (17, 18))


def made(n, size=(100, 200)):
    g = np.random.default_rng(n)
    corner = g.uniform(0, 80, (n, 2))
    boxes = np.concatenate([corner, corner + g.uniform(5, 60, (n, 2))], 1)
    return Detections(boxes, np.sort(g.uniform(size=n))[::-1], g.integers(0, 2, n), CLASSES, size, "a.jpg")


def test_arrays_are_validated_and_typed():
    d = made(3)
    assert (d.boxes.dtype, d.scores.dtype, d.labels.dtype) == (np.float32, np.float32, np.int64)
    with pytest.raises(ConfigError, match=r"expected scores of shape \(3,\), got \(2,\)"):
        Detections(np.zeros((3, 4)), np.zeros(2), np.zeros(3), CLASSES, (1, 1))
    with pytest.raises(ConfigError, match=r"expected labels in 0\.\.1, got 0\.\.2"):
        Detections(np.zeros((2, 4)), np.zeros(2), np.array([0, 2]), CLASSES, (1, 1))


def test_nothing():
    d = Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0), CLASSES, (10, 10))
    assert len(d) == 0
    assert d.names == d.to_coco() == list(d) == []
    assert len(d[[]]) == len(d[d.scores > 0.5]) == 0
    image = np.zeros((10, 10, 3), np.uint8)
    assert np.array_equal(d.draw(image), image)


def test_slicing_keeps_rows_together():
    d = made(6)
    best = d[d.scores > np.median(d.scores)]
    assert len(best) == 3
    assert np.array_equal(best.boxes, d.boxes[:3])
    assert len(d[2]) == 1
    assert d[2].names == [d.names[2]]
    assert d[-1].scores[0] == d.scores.min()
    assert [len(one) for one in d] == [1] * 6
    assert np.array_equal(d[[4, 1]].labels, d.labels[[4, 1]])


def test_coco_entries_restore_ids_and_are_xywh():
    d = Detections(np.array([[1, 2, 11, 22]]), np.array([0.5]), np.array([1]), CLASSES, (50, 50))
    assert d.to_coco(7) == [{"image_id": 7, "category_id": 18, "bbox": [1.0, 2.0, 10.0, 20.0], "score": 0.5}]


def test_clip():
    d = Detections(np.array([[-5, 2, 300, 120]]), np.array([0.5]), np.array([0]), CLASSES, (100, 200))
    assert d.clip().boxes.tolist() == [[0, 2, 200, 100]]
    assert d.boxes[0, 2] == 300


def test_supervision():
    d = made(4)
    other = d.to_supervision()
    assert np.array_equal(other.xyxy, d.boxes)
    assert list(other.data["class_name"]) == d.names
    assert len(made(0).to_supervision()) == 0


def test_draw_paints_edges_in_the_class_colour_and_leaves_the_original():
    image = np.full((300, 300, 3), 128, np.uint8)
    d = Detections(np.array([[50, 60, 200, 250]]), np.array([0.9]), np.array([1]), CLASSES, (300, 300))
    drawn = d.draw(image)
    assert (image == 128).all()
    assert tuple(drawn[250, 120]) == tuple(drawn[150, 200]) == class_color(1)
    assert tuple(drawn[150, 120]) == (128, 128, 128)


@pytest.mark.parametrize("box", [[-1e30, -1e30, 1e30, 1e30], [0, 0, 0, 0], [290, 0, 310, 5]])
def test_draw_survives_any_box(box):
    d = Detections(np.array([box]), np.array([0.9]), np.array([0]), CLASSES, (300, 300))
    assert d.draw(np.zeros((300, 300, 3), np.uint8)).shape == (300, 300, 3)


def test_draw_wants_the_boxes_own_picture():
    with pytest.raises(ConfigError, match="boxes' own picture"):
        made(1).draw(np.zeros((5, 5, 3), np.uint8))


def test_coco_classes():
    assert len(COCO) == 80
    assert COCO.label_of()[90] == 79
    assert COCO.names[COCO.label_of()[18]] == "dog"
    assert Classes.unnamed(80) is COCO
    assert Classes.unnamed(2).names == ("class_0", "class_1")


def test_classes_are_checked():
    with pytest.raises(ConfigError, match="one category id per class name"):
        Classes(("a",), (1, 2))
    with pytest.raises(ConfigError, match="got 1 more than once"):
        Classes(("a", "b"), (1, 1))
