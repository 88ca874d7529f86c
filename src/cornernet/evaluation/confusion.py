"""Which classes are taken for which: a confusion matrix of detections against annotated boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cornernet.errors import ConfigError
from cornernet.evaluation.tables import GroundTruth, Results, read_ground_truth, read_results


@dataclass(frozen=True, eq=False)
class ConfusionMatrix:
    """Counts of (annotated class, detected class).

    Attributes:
        counts: (C + 1, C + 1) int64, rows what was annotated, columns what was detected. The last row holds the
            detections where nothing was annotated (false ones), the last column the boxes nobody found (missed ones).
        names: The C class names, ascending by category id.
        iou: The overlap from which a detection is taken to mean a box.
        score: The score below which detections were left out.
    """

    counts: NDArray[np.int64]
    names: tuple[str, ...]
    iou: float
    score: float

    def normalized(self) -> NDArray[np.float64]:
        """(C + 1, C + 1) float64: each row divided by its sum, a row without counts 0."""
        shares: NDArray[np.float64] = self.counts / np.maximum(self.counts.sum(axis=1, keepdims=True), 1)
        return shares


def confusion_matrix(
    ground_truth: dict[str, Any], results: Sequence[dict[str, Any]], *, iou: float = 0.5, score: float = 0.3
) -> ConfusionMatrix:
    """Pairs detections with annotated boxes whatever their classes, and counts the pairs.

    In each picture the detections choose in order of score (the earlier entry first where scores are equal): each takes
    the box it overlaps most among those not yet taken, if by `iou` at least. A detection left over that lies in a crowd
    of its own class, by `iou` of its own area at least, is not counted; nor are crowds.

    Args:
        ground_truth: COCO's `images`, `annotations` and `categories`.
        results: COCO result entries: `image_id`, `category_id`, `bbox` xywh in pixels, `score`; those of categories
            that were not annotated are dropped.
        iou: Least intersection over union of a pair, above 0 and at most 1.
        score: Least score of a detection that takes part.

    Raises:
        DatasetError: As in `evaluate_boxes`.
        ConfigError: When `iou` is out of its range.
    """
    if not 0 < iou <= 1:
        raise ConfigError(f"expected iou above 0 and at most 1, got {iou}")
    truth = read_ground_truth(ground_truth)
    found = read_results(results, truth)
    rows, columns = _match(truth, found, iou, score)
    size = len(truth.classes) + 1
    counts = np.bincount(rows * size + columns, minlength=size * size).reshape(size, size)
    return ConfusionMatrix(counts.astype(np.int64), truth.classes.names, iou, score)


def _match(truth: GroundTruth, found: Results, iou: float, score: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The annotated and the detected class, C for neither, of all that counts."""
    background = len(truth.classes)
    annotated = np.full(len(found.scores), background)  # the class of the box each detection takes
    counted = found.scores >= score
    missed = ~truth.crowd

    order = np.argsort(-found.scores, kind="stable")
    pictures = len(truth.image_ids)
    by_picture = zip(
        _group(order[counted[order]], found.images, pictures),
        _group(np.flatnonzero(~truth.crowd), truth.images, pictures),
        _group(np.flatnonzero(truth.crowd), truth.images, pictures),
        strict=True,
    )
    for detections, boxes, crowds in by_picture:
        by, taken = _pair(found.boxes[detections], truth.boxes[boxes], iou)
        annotated[detections[by]] = truth.labels[boxes[taken]]
        missed[boxes[taken]] = False
        if crowds.size:
            left = np.delete(detections, by)
            counted[left[_in_crowd(truth, crowds, found, left, iou)]] = False

    rows = np.concatenate([annotated[counted], truth.labels[missed]])
    columns = np.concatenate([found.labels[counted], np.full(missed.sum(), background)])
    return rows, columns


def _group(rows: NDArray[np.int64], images: NDArray[np.int64], count: int) -> list[NDArray[np.int64]]:
    """`rows` split by picture 0..count-1, each part in its given order."""
    rows = rows[np.argsort(images[rows], kind="stable")]
    return np.split(rows, np.searchsorted(images[rows], np.arange(1, count)))


def _pair(detections: NDArray[np.float64], boxes: NDArray[np.float64], least: float) -> tuple[list[int], list[int]]:
    """Which detections take which boxes; (n, 4) xywh best first, (m, 4) xywh."""
    overlap = _intersection(detections, boxes)
    union = _area(detections)[:, None] + _area(boxes)[None] - overlap
    iou = np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
    by: list[int] = []
    taken: list[int] = []
    for row in np.flatnonzero((iou >= least).any(axis=1)).tolist():
        best = int(iou[row].argmax())
        if iou[row, best] >= least:
            by.append(row)
            taken.append(best)
            iou[:, best] = -1
    return by, taken


def _in_crowd(
    truth: GroundTruth, crowds: NDArray[np.int64], found: Results, detections: NDArray[np.int64], least: float
) -> NDArray[np.bool_]:
    """(n,) whether each detection lies in a crowd of its class, by `least` of its own area."""
    boxes = found.boxes[detections]
    overlap = _intersection(boxes, truth.boxes[crowds])
    area = _area(boxes)[:, None]
    inside = (overlap >= least * area) & (area > 0)
    same = found.labels[detections][:, None] == truth.labels[crowds][None]
    result: NDArray[np.bool_] = (inside & same).any(axis=1)
    return result


def _area(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return boxes[:, 2] * boxes[:, 3]


def _intersection(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, m) areas common to the xywh boxes a (n, 4) and b (m, 4)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, :2] + a[:, None, 2:], b[None, :, :2] + b[None, :, 2:])
    sides = np.maximum(high - low, 0)
    areas: NDArray[np.float64] = sides[..., 0] * sides[..., 1]
    return areas
