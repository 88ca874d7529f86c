"""Held against pycocotools on the same data: equal to the last bit."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from coco_cases import Dataset, Entries, make_dataset, make_results, pycocotools_evaluation, random_case
from hypothesis import given, settings
from hypothesis import strategies as st

from cornernet.errors import ConfigError, DatasetError
from cornernet.evaluation.coco_ap import Evaluation, evaluate_boxes

TWELVE = (
    *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
    *("AR1", "AR10", "AR100", "AR_small", "AR_medium", "AR_large"),
)


def minus_one(value: float) -> float:
    return -1.0 if np.isnan(value) else value


def reference_mean(values: np.ndarray) -> float:
    return float(np.mean(values[values > -1])) if (values > -1).any() else -1.0


def assert_as_pycocotools(dataset: Dataset, results: Entries) -> None:
    ours = evaluate_boxes(dataset, results)
    reference = pycocotools_evaluation(dataset, results)
    assert tuple(ours.stats) == TWELVE
    assert [minus_one(v) for v in ours.stats.values()] == reference.stats.tolist()

    precision, recall = reference.eval["precision"][..., 0, -1], reference.eval["recall"][..., 0, -1]
    assert [row.category_id for row in ours.classes] == reference.params.catIds
    for c, row in enumerate(ours.classes):
        theirs = [precision[:, :, c], precision[0, :, c], precision[5, :, c], recall[:, c]]
        assert [minus_one(v) for v in (row.ap, row.ap50, row.ap75, row.ar)] == [reference_mean(v) for v in theirs]
        single = [a for a in dataset["annotations"] if a["category_id"] == row.category_id and not a["iscrowd"]]
        assert (row.boxes, row.pictures) == (len(single), len({a["image_id"] for a in single}))
    curves = np.stack([precision[0], precision[5], precision.mean(axis=0)])
    np.testing.assert_array_equal(np.nan_to_num(ours.precision, nan=-1), curves)
    np.testing.assert_array_equal(ours.recall, reference.params.recThrs)


@pytest.mark.parametrize("seed", range(6))
def test_random_datasets_give_pycocotools_numbers(seed: int) -> None:
    assert_as_pycocotools(*random_case(seed))


def test_more_detections_than_count() -> None:
    """130 detections of one class in a picture, most scores tied: which 100 count follows their order."""
    rng = np.random.default_rng(0)
    boxes = rng.uniform(1, 90, (30, 4)).tolist()
    rows = [(5, 3, b, float(rng.integers(0, 3))) for b in (boxes * 5)[:130]]
    assert_as_pycocotools(make_dataset([5], {3: "a"}, [(5, 3, b) for b in boxes]), make_results(rows))


# Coordinates on a coarse grid: equal boxes, equal scores, touching boxes, boxes with no area, exact overlaps of a half.
grid = st.integers(0, 3).map(lambda v: v * 16.0)
box = st.tuples(grid, grid, grid, grid).map(list)
annotation = st.tuples(st.sampled_from([7, 0, 123456]), st.sampled_from([4, 90]), box, st.sampled_from([0, 0, 1]))
detection = st.tuples(
    st.sampled_from([7, 0, 123456, 8]), st.sampled_from([4, 90, 17]), box, st.sampled_from([0.25, 0.5, 1.0])
)


@settings(max_examples=150, deadline=None)
@given(st.lists(annotation, max_size=12), st.lists(detection, min_size=1, max_size=24))
def test_made_up_datasets_give_pycocotools_numbers(boxes: list[Any], rows: list[Any]) -> None:
    boxes = [*boxes, (8, 4, [0.0, 0.0, 16.0, 32.0])]
    dataset = make_dataset([8, 7, 0, 123456], {90: "z", 4: "a", 17: "never there"}, boxes)
    assert_as_pycocotools(dataset, make_results(rows))


def test_annotation_ids_do_not_matter() -> None:
    """pycocotools takes annotation 0 for unmatched; here annotations are counted anew."""
    dataset, results = random_case(1)
    expected = dict(evaluate_boxes(dataset, results).stats)
    for annotation in dataset["annotations"]:
        annotation["id"] -= 1
    assert dict(evaluate_boxes(dataset, results).stats) == expected
    for annotation in dataset["annotations"]:
        del annotation["id"]
    assert dict(evaluate_boxes(dataset, results).stats) == expected


def test_image_ids_may_be_text_or_very_long() -> None:
    dataset, results = random_case(2)
    expected = dict(evaluate_boxes(dataset, results).stats)
    for rename in (lambda i: f"picture {i:03}", lambda i: 2**60 + i):
        renamed, rows = copy.deepcopy(dataset), copy.deepcopy(results)
        for image in renamed["images"]:
            image["id"] = rename(image["id"])
        for entry in (*renamed["annotations"], *rows):
            entry["image_id"] = rename(entry["image_id"])
        assert dict(evaluate_boxes(renamed, rows).stats) == expected


def test_perfect_results_give_one() -> None:
    boxes = [(1, 1, [0, 0, 10, 10]), (1, 2, [5, 5, 50, 50]), (2, 1, [1, 2, 200, 300])]
    results = make_results([(*b, 0.9) for b in boxes])
    stats = evaluate_boxes(make_dataset([1, 2], {1: "a", 2: "b"}, boxes), results).stats
    assert list(stats.values()) == pytest.approx([1] * 12)


def test_no_results_give_zeros() -> None:
    dataset = make_dataset([1, 2], {1: "a", 2: "b"}, [(1, 1, [0, 0, 10, 10])])
    evaluation = evaluate_boxes(dataset, [])
    assert evaluation.stats["AP"] == evaluation.stats["AR100"] == evaluation.stats["AP_small"] == 0
    assert np.isnan(evaluation.stats["AP_large"])
    assert (evaluation.classes[0].ap, evaluation.classes[0].ar) == (0, 0)
    assert np.isnan([evaluation.classes[1].ap, evaluation.classes[1].ap50, evaluation.classes[1].ar]).all()
    assert not evaluation.precision[:, :, 0].any()
    assert np.isnan(evaluation.precision[:, :, 1]).all()


def test_what_was_counted() -> None:
    boxes = [(1, 1, [0, 0, 10, 10]), (1, 1, [20, 0, 10, 10]), (1, 1, [0, 0, 90, 90], 1), (3, 1, [0, 0, 10, 10])]
    rows = make_results([(2, 1, [0, 0, 10, 10], 0.5), (1, 77, [0, 0, 10, 10], 0.9)])
    evaluation = evaluate_boxes(make_dataset([1, 2, 3], {1: "a"}, boxes), rows)
    assert (evaluation.pictures, evaluation.boxes, evaluation.detections, evaluation.dropped) == (3, 3, 1, 1)
    assert (evaluation.classes[0].pictures, evaluation.classes[0].boxes) == (2, 3)


def test_max_det_above_100_counts_more_and_names_its_recall() -> None:
    rng = np.random.default_rng(0)
    boxes = [(1, 1, [*rng.uniform(0, 2000, 2).tolist(), 20.0, 20.0]) for _ in range(150)]
    dataset, results = make_dataset([1], {1: "a"}, boxes), make_results([(*b, 0.5) for b in boxes])

    def recall(evaluation: Evaluation, name: str) -> float:
        return round(evaluation.stats[name], 6)

    assert recall(evaluate_boxes(dataset, results), "AR100") == round(100 / 150, 6)
    more = evaluate_boxes(dataset, results, max_det=150)
    assert "AR100" not in more.stats
    assert recall(more, "AR150") == more.classes[0].ar == 1
    reference = pycocotools_evaluation(dataset, results, max_det=150)
    assert more.stats["AP"] == reference_mean(reference.eval["precision"][..., 0, -1])


def test_a_missing_area_is_the_boxes_own() -> None:
    dataset, results = random_case(3)
    expected = dict(evaluate_boxes(dataset, results).stats)
    for annotation in dataset["annotations"][::3]:
        annotation["area"] = None
    for annotation in dataset["annotations"][1::3]:
        del annotation["area"]
    assert dict(evaluate_boxes(dataset, results).stats) == expected


def test_a_missing_iscrowd_means_none() -> None:
    dataset, results = random_case(3)
    expected = dict(evaluate_boxes(dataset, results).stats)
    for annotation in dataset["annotations"]:
        if not annotation["iscrowd"]:
            del annotation["iscrowd"]
    assert dict(evaluate_boxes(dataset, results).stats) == expected


def test_a_mask_area_decides_what_is_small() -> None:
    dataset = make_dataset([1], {1: "a"}, [(1, 1, [0, 0, 100, 100])])
    dataset["annotations"][0]["area"] = 500.0
    stats = evaluate_boxes(dataset, make_results([(1, 1, [0, 0, 100, 100], 0.5)])).stats
    assert stats["AP_small"] == pytest.approx(1)
    assert np.isnan(stats["AP_large"])


def test_the_inputs_stay_as_they_were_and_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    dataset, results = random_case(4)
    before = copy.deepcopy((dataset, results))
    evaluate_boxes(dataset, results)
    evaluate_boxes(dataset, [])
    assert (dataset, results) == before
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("boxes", [[], [(1, 1, [0, 0, 9, 9], 1)]])
def test_annotations_without_boxes_are_refused(boxes: list[Any]) -> None:
    with pytest.raises(DatasetError, match=r"expected annotated boxes .* got none in 2 pictures.*val2017"):
        evaluate_boxes(make_dataset([1, 2], {1: "a"}, boxes), [])


@pytest.mark.parametrize("max_det", [10, 0, -1])
def test_too_small_a_max_det_is_refused(max_det: int) -> None:
    with pytest.raises(ConfigError, match=f"got {max_det}"):
        evaluate_boxes(*random_case(0), max_det=max_det)
