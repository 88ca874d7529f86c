"""Dataset folders that appear whole or not at all, and the annotations in them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cornernet.data.coco import load_coco
from cornernet.data.write_coco import Annotated, new_dataset, write_annotations
from cornernet.errors import DatasetError
from cornernet.structures.classes import Classes

CLASSES = Classes(("ant", "bee"), (3, 7))


def annotated(name, boxes, labels):
    xywh = np.array(boxes, np.int64).reshape(-1, 4)
    return Annotated(name, 20, 30, xywh, np.array(labels, np.int64), xywh[:, 2:].prod(axis=1))


def test_what_is_written_is_read_again(tmp_path):
    pictures = [
        annotated("a.png", [], []),
        annotated("b/c.png", [[1, 2, 3, 4], [0, 0, 30, 20]], [1, 0]),
        annotated("d.png", [[5, 5, 1, 1]], [0]),
    ]
    write_annotations(tmp_path, "val", pictures, CLASSES)
    dataset = load_coco(tmp_path, "val")
    assert not dataset.problems
    assert dataset.classes == CLASSES
    assert [(i.id, i.file_name, i.height, i.width) for i in dataset.images] == [
        (1, "a.png", 20, 30), (2, "b/c.png", 20, 30), (3, "d.png", 20, 30),
    ]  # fmt: skip
    assert [i.labels.tolist() for i in dataset.images] == [[], [1, 0], [0]]
    assert dataset.images[1].xywh.tolist() == [[1, 2, 3, 4], [0, 0, 30, 20]]
    assert dataset.images[1].areas.tolist() == [12, 600]
    document = json.loads((tmp_path / "annotations/instances_val.json").read_text(encoding="utf-8"))
    assert [a["id"] for a in document["annotations"]] == [1, 2, 3]
    assert [a["category_id"] for a in document["annotations"]] == [7, 3, 3]


def test_the_folder_appears_at_the_end(tmp_path):
    target = tmp_path / "deep" / "set"
    with new_dataset(target) as root:
        (root / "a").touch()
        assert not target.exists()
    assert [p.name for p in target.iterdir()] == ["a"]
    assert [p.name for p in target.parent.iterdir()] == ["set"]


def test_an_error_leaves_nothing(tmp_path):
    (tmp_path / "set").mkdir()

    def stop_half_way():
        with new_dataset(tmp_path / "set") as root:
            (root / "a").touch()
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        stop_half_way()
    assert [p.name for p in tmp_path.rglob("*")] == ["set"]


def test_what_is_there_is_left_alone(tmp_path):
    file = tmp_path / "file"
    file.touch()
    for target, came in ((file, "a file"), (tmp_path, "a folder that holds something")):
        with pytest.raises(DatasetError, match=came), new_dataset(target):
            pass
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
