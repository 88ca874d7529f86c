"""Held against the obvious loop; without crowds, in which it counts detections as false, against hotcoco's too."""

from __future__ import annotations

from typing import Any

import hotcoco
import numpy as np
import pytest
from coco_cases import Dataset, Entries, make_dataset, make_results, random_case
from hypothesis import given, settings
from hypothesis import strategies as st

from cornernet.errors import ConfigError, DatasetError
from cornernet.evaluation.confusion import confusion_matrix


def overlaps(a: list[float], b: list[float]) -> tuple[float, float]:
    """Intersection over union, and over the area of `a`."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    area = a[2] * a[3]
    union = area + b[2] * b[3] - common
    return common / union if union else 0, common / area if area else 0


def loop(dataset: Dataset, results: Entries, iou: float, score: float) -> np.ndarray:
    label = {i: n for n, i in enumerate(sorted(c["id"] for c in dataset["categories"]))}
    none = len(label)
    counts = np.zeros((none + 1, none + 1), int)
    for image in dataset["images"]:
        annotations = [a for a in dataset["annotations"] if a["image_id"] == image["id"]]
        boxes = [a for a in annotations if not a["iscrowd"]]
        crowds = [a for a in annotations if a["iscrowd"]]
        found = [r for r in results if r["image_id"] == image["id"] and r["score"] >= score]
        for entry in sorted(found, key=lambda r: -r["score"]):
            best = max(boxes, key=lambda a: overlaps(entry["bbox"], a["bbox"])[0], default=None)
            if best is not None and overlaps(entry["bbox"], best["bbox"])[0] >= iou:
                counts[label[best["category_id"]], label[entry["category_id"]]] += 1
                boxes.remove(best)
            elif not any(
                a["category_id"] == entry["category_id"] and overlaps(entry["bbox"], a["bbox"])[1] >= iou
                for a in crowds
            ):
                counts[none, label[entry["category_id"]]] += 1
        for left in boxes:
            counts[label[left["category_id"]], none] += 1
    return counts


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("iou", "score"), [(0.5, 0.3), (0.3, 0.0), (0.75, 0.9)])
def test_random_datasets_as_the_loop_counts_them(seed: int, iou: float, score: float) -> None:
    dataset, results = random_case(seed)
    matrix = confusion_matrix(dataset, results, iou=iou, score=score)
    np.testing.assert_array_equal(matrix.counts, loop(dataset, results, iou, score))
    assert matrix.names == tuple(c["name"] for c in sorted(dataset["categories"], key=lambda c: c["id"]))
    assert (matrix.iou, matrix.score) == (iou, score)


grid = st.integers(0, 3).map(lambda v: v * 16.0)
box = st.tuples(grid, grid, grid, grid).map(list)
annotation = st.tuples(st.sampled_from([7, 0]), st.sampled_from([4, 90]), box, st.sampled_from([0, 0, 1]))
detection = st.tuples(st.sampled_from([7, 0, 8]), st.sampled_from([4, 90]), box, st.sampled_from([0.25, 0.3, 1.0]))


@settings(max_examples=150, deadline=None)
@given(st.lists(annotation, max_size=12), st.lists(detection, max_size=24))
def test_made_up_datasets_as_the_loop_counts_them(boxes: list[Any], rows: list[Any]) -> None:
    boxes = [*boxes, (8, 4, [0.0, 0.0, 16.0, 32.0])]
    dataset, results = make_dataset([8, 7, 0], {90: "z", 4: "a"}, boxes), make_results(rows)
    np.testing.assert_array_equal(confusion_matrix(dataset, results).counts, loop(dataset, results, 0.5, 0.3))


@pytest.mark.parametrize("seed", range(5))
def test_without_crowds_as_hotcoco_counts_them(seed: int) -> None:
    dataset, results = random_case(seed, crowds=0)
    truth = hotcoco.COCO(dataset)
    theirs = hotcoco.COCOeval(truth, truth.load_res(results), "bbox").confusion_matrix(0.5, 1000, 0.3)
    np.testing.assert_array_equal(confusion_matrix(dataset, results).counts, theirs["matrix"])


def test_rows_are_annotated_and_columns_detected() -> None:
    boxes = [(1, 1, [0, 0, 10, 10]), (1, 2, [50, 0, 10, 10]), (1, 2, [100, 0, 10, 10])]
    rows = [(1, 2, [0, 0, 10, 10], 0.9), (1, 2, [50, 0, 10, 10], 0.8), (1, 1, [200, 0, 10, 10], 0.7)]
    matrix = confusion_matrix(make_dataset([1], {1: "cat", 2: "dog"}, boxes), make_results(rows))
    assert matrix.counts.tolist() == [[0, 1, 0], [0, 1, 1], [1, 0, 0]]
    assert matrix.normalized().tolist() == [[0, 1, 0], [0, 0.5, 0.5], [1, 0, 0]]


def test_crowds_count_neither_as_missed_nor_as_false() -> None:
    boxes = [(1, 1, [0, 0, 100, 100], 1), (1, 1, [300, 0, 10, 10])]
    rows = [
        (1, 1, [10, 10, 10, 10], 0.9),  # in the crowd
        (1, 1, [95, 10, 10, 10], 0.9),  # half in it
        (1, 1, [96, 10, 10, 10], 0.9),  # less than half
        (1, 2, [10, 10, 10, 10], 0.9),  # in a crowd of another class
    ]
    matrix = confusion_matrix(make_dataset([1], {1: "cat", 2: "dog"}, boxes), make_results(rows))
    assert matrix.counts.tolist() == [[0, 0, 1], [0, 0, 0], [1, 1, 0]]


def test_a_box_in_a_crowd_is_found_before_the_crowd_forgives() -> None:
    boxes = [(1, 1, [0, 0, 100, 100], 1), (1, 1, [10, 10, 10, 10])]
    rows = [(1, 1, [10, 10, 10, 10], 0.8), (1, 1, [10, 10, 10, 10], 0.9)]
    matrix = confusion_matrix(make_dataset([1], {1: "cat"}, boxes), make_results(rows))
    assert matrix.counts.tolist() == [[1, 0], [0, 0]]


def test_no_results_miss_every_box() -> None:
    matrix = confusion_matrix(make_dataset([1, 2], {1: "cat", 2: "dog"}, [(2, 2, [0, 0, 9, 9])] * 3), [])
    assert matrix.counts.tolist() == [[0, 0, 0], [0, 0, 3], [0, 0, 0]]
    assert matrix.normalized().tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize("iou", [0.0, -0.1, 1.01, float("nan")])
def test_an_impossible_overlap_is_refused(iou: float) -> None:
    with pytest.raises(ConfigError, match="expected iou above 0 and at most 1"):
        confusion_matrix(*random_case(0), iou=iou)


def test_annotations_without_boxes_are_refused() -> None:
    with pytest.raises(DatasetError, match="expected annotated boxes"):
        confusion_matrix(make_dataset([1], {1: "cat"}, []), [])
