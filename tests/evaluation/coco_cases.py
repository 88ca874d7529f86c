"""Small datasets in COCO's form, results to hold against them, and what pycocotools makes of both."""

from __future__ import annotations

import contextlib
import copy
import io
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

Dataset = dict[str, Any]
Entries = list[dict[str, Any]]


def make_dataset(images: list[Any], categories: dict[int, str], boxes: list[tuple[Any, ...]]) -> Dataset:
    """`boxes` are (image id, category id, xywh) or (image id, category id, xywh, iscrowd)."""
    annotations = [
        {
            "id": number,
            "image_id": image,
            "category_id": category,
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": crowd[0] if crowd else 0,
        }
        for number, (image, category, box, *crowd) in enumerate(boxes, start=1)
    ]
    return {
        "images": [{"id": i, "width": 640, "height": 480} for i in images],
        "categories": [{"id": i, "name": name} for i, name in categories.items()],
        "annotations": annotations,
    }


def make_results(rows: list[tuple[Any, ...]]) -> Entries:
    """`rows` are (image id, category id, xywh, score)."""
    return [{"image_id": i, "category_id": c, "bbox": box, "score": s} for i, c, box, s in rows]


def random_case(seed: int, *, pictures: int = 12, classes: int = 4, crowds: float = 0.15) -> tuple[Dataset, Entries]:
    """Boxes of every size, crowds, ids with gaps, a picture and a class without boxes; results near and far, tied."""
    rng = np.random.default_rng(seed)
    images = [int(i) for i in rng.permutation(pictures * 5)[:pictures]]
    ids = [int(i) for i in rng.permutation(90)[:classes] + 1]
    boxes: list[tuple[Any, ...]] = []
    rows: list[tuple[Any, ...]] = []
    for image in images[1:]:
        for _ in range(rng.integers(0, 8)):
            size = rng.choice([8, 40, 150])
            box = np.array([*rng.uniform(0, 400, 2), *rng.uniform(0.5, 1.5, 2) * size])
            category = int(rng.choice(ids[:-1]))
            boxes.append((image, category, box.tolist(), int(rng.random() < crowds)))
            for _ in range(rng.integers(0, 4)):
                near = box + rng.normal(0, size / 10, 4)
                near[2:] = np.maximum(near[2:], 0.5)
                seen = category if rng.random() < 0.8 else int(rng.choice(ids))
                rows.append((image, seen, near.tolist(), float(rng.integers(0, 20) / 20)))  # twenty scores, so ties
    for image in images:
        for _ in range(rng.integers(0, 20)):
            far = [*rng.uniform(0, 500, 2).tolist(), *rng.uniform(1, 100, 2).tolist()]
            rows.append((image, int(rng.choice(ids)), far, float(rng.random())))
    boxes.append((images[-1], ids[0], [10.0, 10.0, 50.0, 40.0]))
    order = rng.permutation(len(rows))
    return make_dataset(images, {i: f"class {i}" for i in ids}, boxes), make_results([rows[i] for i in order])


def pycocotools_evaluation(dataset: Dataset, results: Entries, max_det: int = 100) -> COCOeval:
    """The accumulated counts: precision (T, R, C, A, M) and recall (T, C, A, M) under `.eval`; it needs results."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(dataset)
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(copy.deepcopy(results)), "bbox")
        evaluation.params.maxDets = [1, 10, max_det]
        evaluation.evaluate()
        evaluation.accumulate()
        if max_det == 100:  # its AP is -1 otherwise
            evaluation.summarize()
    return evaluation
