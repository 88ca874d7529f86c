"""COCO's box AP and AR: the twelve numbers, each class's, and the curves behind them.

The counting is hotcoco's, which nothing else here imports; the tests hold it against pycocotools.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import hotcoco
import numpy as np
from numpy.typing import NDArray

from cornernet.errors import ConfigError
from cornernet.evaluation.tables import GroundTruth, Results, read_ground_truth, read_results

_AREAS = ("all", "small", "medium", "large")
_IOUS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
_IOU_50, _IOU_75 = _IOUS.index(0.5), _IOUS.index(0.75)


@dataclass(frozen=True)
class Metric:
    """What one of the twelve numbers is measured over.

    Attributes:
        name: Its usual name.
        recall: Whether it is an average recall; an average precision otherwise.
        iou: The one IoU threshold it takes, or None for the mean of 0.50:0.95.
        area: Which objects: all, small (below 32 x 32 pixels), medium, large (above 96 x 96).
        detections: How many detections count per picture and class, best first.
    """

    name: str
    recall: bool
    iou: float | None
    area: str
    detections: int


def coco_metrics(max_det: int = 100) -> tuple[Metric, ...]:
    """The twelve numbers in COCO's order; `max_det` is COCO's 100 in all but AR1 and AR10."""
    return (
        Metric("AP", False, None, "all", max_det),
        Metric("AP50", False, 0.5, "all", max_det),
        Metric("AP75", False, 0.75, "all", max_det),
        *(Metric(f"AP_{area}", False, None, area, max_det) for area in _AREAS[1:]),
        *(Metric(f"AR{count}", True, None, "all", count) for count in (1, 10, max_det)),
        *(Metric(f"AR_{area}", True, None, area, max_det) for area in _AREAS[1:]),
    )


@dataclass(frozen=True)
class ClassResult:
    """One class's row of the table.

    Attributes:
        name: The class's name.
        category_id: Its id in the annotations.
        pictures: How many pictures hold a box of it, crowds left out.
        boxes: How many boxes of it there are, crowds left out.
        ap: Average precision at IoU 0.50:0.95; like the next three, nan where there are no boxes to find (where
            pycocotools says -1).
        ap50: Average precision at IoU 0.50.
        ap75: Average precision at IoU 0.75.
        ar: Average recall at IoU 0.50:0.95, with the best `max_det` detections of each picture.
    """

    name: str
    category_id: int
    pictures: int
    boxes: int
    ap: float
    ap50: float
    ap75: float
    ar: float


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How well detections fit the annotations.

    Attributes:
        stats: The twelve COCO numbers in their usual order: AP, AP50, AP75, AP_small, AP_medium, AP_large, AR1, AR10,
            AR100, AR_small, AR_medium, AR_large, each in 0..1; nan where there are no boxes to find (where pycocotools
            says -1). With another `max_det`, AR100 bears that number instead. `coco_metrics` tells what each is.
        classes: One row per class, ascending by category id.
        precision: (3, 101, C) float64, precision at IoU 0.50, 0.75 and averaged over 0.50:0.95, at each of `recall`;
            nan for classes without boxes.
        recall: (101,) float64, 0 to 1 in steps of 0.01.
        pictures: How many pictures there are, with boxes or without.
        boxes: How many boxes there are to find, crowds left out.
        detections: How many detections were held against them.
        dropped: How many detections were left out, being of categories that were not annotated.
        max_det: How many detections count per picture and class, best first.
    """

    stats: Mapping[str, float]
    classes: tuple[ClassResult, ...]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    pictures: int
    boxes: int
    detections: int
    dropped: int
    max_det: int


def evaluate_boxes(
    ground_truth: dict[str, Any], results: Sequence[dict[str, Any]], *, max_det: int = 100
) -> Evaluation:
    """Holds detections against annotations as the COCO challenge does.

    Args:
        ground_truth: COCO's `images`, `annotations` and `categories`. Boxes without `area` get their own; those with
            `iscrowd` count neither as missed nor, where detections lie in them, as false.
        results: COCO result entries: `image_id`, `category_id`, `bbox` xywh in pixels, `score`. None at all gives
            zeros; those of categories that were not annotated are dropped, and counted.
        max_det: How many detections count per picture and class, best first. COCO's 100, or more where pictures hold
            more objects than that.

    Raises:
        DatasetError: When the annotations hold no boxes, results name unknown pictures, or either is malformed.
        ConfigError: When `max_det` is not above 10, which AR10 takes.
    """
    if max_det <= 10:
        raise ConfigError(f"expected max_det above 10, since AR10 is among the numbers, got {max_det}: leave it at 100")
    truth = read_ground_truth(ground_truth)
    found = read_results(results, truth)
    precision, recall = _count(truth, found, max_det)
    return Evaluation(
        stats=_stats(precision, recall, max_det),
        classes=_class_results(truth, precision[:, :, :, 0, -1], recall[:, :, 0, -1]),
        precision=_curves(precision[:, :, :, 0, -1]),
        recall=np.linspace(0, 1, precision.shape[1]),
        pictures=len(truth.image_ids),
        boxes=int((~truth.crowd).sum()),
        detections=len(found.scores),
        dropped=found.dropped,
        max_det=max_det,
    )


def _count(truth: GroundTruth, found: Results, max_det: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Precision (T, R, C, A, M) and recall (T, C, A, M), -1 without boxes.

    T the 10 IoU thresholds, R the 101 recalls, C classes, A the areas (all, small, medium, large), M the three counts
    of detections (1, 10, `max_det`).
    """
    annotations = zip(
        truth.images.tolist(),
        truth.labels.tolist(),
        truth.boxes.tolist(),
        truth.areas.tolist(),
        truth.crowd.tolist(),
        strict=True,
    )
    dataset = hotcoco.COCO(
        {
            "images": [{"id": i + 1} for i in range(len(truth.image_ids))],
            "categories": [{"id": c + 1, "name": str(c)} for c in range(len(truth.classes))],
            "annotations": [
                {"id": n, "image_id": i + 1, "category_id": c + 1, "bbox": box, "area": area, "iscrowd": int(crowd)}
                for n, (i, c, box, area, crowd) in enumerate(annotations, start=1)
            ],
        }
    )
    rows = np.column_stack([found.images + 1, found.boxes, found.scores, found.labels + 1])
    counter = hotcoco.COCOeval(dataset, dataset.load_res(rows), "bbox")
    counter.params.max_dets = [1, 10, max_det]
    counter.evaluate()
    counter.accumulate()
    assert counter.eval is not None  # accumulate() has filled it
    return counter.eval["precision"], counter.eval["recall"]


def _mean(values: NDArray[np.float64]) -> float:
    """The mean without the -1 of classes that have no boxes; nan where none is left."""
    values = values[values > -1]
    return float(values.mean()) if values.size else float("nan")


def _stats(precision: NDArray[np.float64], recall: NDArray[np.float64], max_det: int) -> dict[str, float]:
    counts = (1, 10, max_det)
    stats = {}
    for metric in coco_metrics(max_det):
        values = (recall if metric.recall else precision)[
            ..., _AREAS.index(metric.area), counts.index(metric.detections)
        ]
        stats[metric.name] = _mean(values if metric.iou is None else values[_IOUS.index(metric.iou)])
    return stats


def _class_results(
    truth: GroundTruth, precision: NDArray[np.float64], recall: NDArray[np.float64]
) -> tuple[ClassResult, ...]:
    """Rows from the precision (T, R, C) and recall (T, C) of all areas together."""
    single = ~truth.crowd
    count = len(truth.classes)
    boxes = np.bincount(truth.labels[single], minlength=count)
    pairs = np.unique(np.stack([truth.images[single], truth.labels[single]]), axis=1)  # each picture once per class
    pictures = np.bincount(pairs[1], minlength=count)
    return tuple(
        ClassResult(
            name=name,
            category_id=category_id,
            pictures=int(pictures[c]),
            boxes=int(boxes[c]),
            ap=_mean(precision[:, :, c]),
            ap50=_mean(precision[_IOU_50, :, c]),
            ap75=_mean(precision[_IOU_75, :, c]),
            ar=_mean(recall[:, c]),
        )
        for c, (name, category_id) in enumerate(zip(truth.classes.names, truth.classes.ids, strict=True))
    )


def _curves(precision: NDArray[np.float64]) -> NDArray[np.float64]:
    """Precision (T, R, C) at IoU 0.50, 0.75 and its mean over all, (3, R, C), nan without boxes."""
    curves = np.stack([precision[_IOU_50], precision[_IOU_75], precision.mean(axis=0)])
    curves[:, :, precision[0, 0] < 0] = np.nan
    return curves
