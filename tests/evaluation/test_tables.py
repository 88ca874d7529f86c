from __future__ import annotations

from typing import Any

import pytest
from coco_cases import Dataset, make_dataset, make_results

from cornernet.errors import DatasetError
from cornernet.evaluation.tables import read_ground_truth, read_results


def dataset() -> Dataset:
    boxes = [(30, 9, [1, 2, 3, 4]), (10, 4, [5, 6, 7, 8], 1), (30, 4, [0, 0, 0, 0])]
    return make_dataset([30, 10, 20], {9: "nine", 4: "four"}, boxes)


def test_ground_truth_becomes_arrays_in_order_of_ids() -> None:
    truth = read_ground_truth(dataset())
    assert truth.image_ids == (10, 20, 30)
    assert (truth.classes.names, truth.classes.ids) == (("four", "nine"), (4, 9))
    assert truth.images.tolist() == [2, 0, 2]
    assert truth.labels.tolist() == [1, 0, 0]
    assert truth.boxes.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8], [0, 0, 0, 0]]
    assert truth.areas.tolist() == [12, 56, 0]
    assert truth.crowd.tolist() == [False, True, False]


def test_results_become_arrays_without_unknown_categories() -> None:
    truth = read_ground_truth(dataset())
    found = read_results(
        make_results([(20, 9, [1, 1, 1, 1], 0.5), (20, 5, [2, 2, 2, 2], 0.6), (10, 4, [3, 3, 3, 3], 1)]), truth
    )
    assert found.images.tolist() == [1, 0]
    assert found.labels.tolist() == [1, 0]
    assert found.boxes.tolist() == [[1, 1, 1, 1], [3, 3, 3, 3]]
    assert found.scores.tolist() == [0.5, 1]
    assert found.dropped == 1


def test_no_results_are_empty_arrays() -> None:
    found = read_results([], read_ground_truth(dataset()))
    assert (found.boxes.shape, found.scores.shape, found.dropped) == ((0, 4), (0,), 0)


def broken(part: str, row: int, **changes: Any) -> Dataset:
    """The dataset with one entry changed; None takes the key away."""
    made = dataset()
    for key, value in changes.items():
        made[part][row][key] = value
        if value is None:
            del made[part][row][key]
    return made


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"images": [], "categories": []}, r"a list 'annotations', got the keys images, categories"),
        ({}, r"a list 'images', got the keys none"),
        ({"images": {}, "annotations": [], "categories": []}, "a list 'images'"),
        (broken("annotations", 1, bbox=None), r"annotations\[1\] to have the key 'bbox', got id, image_id"),
        (broken("annotations", 2, category_id=None), r"annotations\[2\] to have the key 'category_id'"),
        (broken("annotations", 0, image_id=None), r"annotations\[0\] to have the key 'image_id'"),
        (broken("categories", 0, name=None), r"categories\[0\] to have the key 'name'"),
        (broken("images", 2, id=None), r"images\[2\] to have the key 'id'"),
        (broken("images", 0, id=10), "images to have unique ids, got 10 more than once"),
        (broken("categories", 0, id=4), "categories to have unique ids, got 4 more than once"),
        (broken("annotations", 1, image_id=11), r"annotations\[1\] .* 3 image ids, got image_id 11"),
        (broken("annotations", 1, category_id="4"), r"annotations\[1\] .* 2 category ids, got category_id '4'"),
        (broken("annotations", 1, bbox=[1, 2, 3]), r"bbox of annotations\[1\] .* got \[1, 2, 3\]"),
        (broken("annotations", 1, bbox=[1, 2, 3, float("nan")]), r"bbox of annotations\[1\] .* nan\]"),
        (broken("annotations", 0, bbox="1 2 3 4"), r"bbox of annotations\[0\] .* got '1 2 3 4'"),
        (broken("annotations", 0, bbox=[1, 2, 3, [4]]), r"bbox of annotations\[0\]"),
    ],
)
def test_unusable_annotations_are_named(made: Dataset, message: str) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        read_ground_truth(made)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_id": 99}, r"results\[1\] .* 3 image ids, got image_id 99: use results and annotations of the same"),
        ({"image_id": "10"}, r"got image_id '10'"),
        ({"bbox": [0, 0, float("inf"), 1]}, r"bbox of results\[1\]"),
        ({"bbox": [0, 0, 1]}, r"bbox of results\[1\]"),
        ({"score": float("nan")}, r"results\[1\] to have a finite score, got nan"),
    ],
)
def test_unusable_results_are_named(changes: dict[str, Any], message: str) -> None:
    rows = make_results([(10, 4, [0, 0, 1, 1], 0.5)] * 3)
    rows[1] |= changes
    with pytest.raises(DatasetError, match=message):
        read_results(rows, read_ground_truth(dataset()))


def test_a_result_without_a_score_is_named() -> None:
    rows = make_results([(10, 4, [0, 0, 1, 1], 0.5)] * 2)
    del rows[1]["score"]
    with pytest.raises(DatasetError, match=r"results\[1\] to have the key 'score', got image_id, category_id, bbox"):
        read_results(rows, read_ground_truth(dataset()))
