"""What a run leaves for people: curves, PR curves, the confusion matrix and drawn validation pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from cornernet.data.coco import CocoDataset
from cornernet.data.images import read_image
from cornernet.evaluation.coco_ap import Evaluation, evaluate_boxes
from cornernet.evaluation.confusion import confusion_matrix
from cornernet.evaluation.plots import plot_confusion, plot_pr_curves
from cornernet.evaluation.report import write_class_csv, write_metrics_json
from cornernet.structures.classes import Classes
from cornernet.structures.detections import Detections
from cornernet.structures.figures import new_figure, save_figure
from cornernet.structures.files import write_atomic
from cornernet.training.logs import read_csv
from cornernet.training.module import TERMS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DETECTIONS = "detections.json"
_DRAWN_FROM = 0.3  # the least score of a box that is drawn
_LEAST_SIDE = 384  # pixels; smaller pictures are enlarged by a whole number, so that names have room


def write_detections(folder: Path, results: Sequence[dict[str, Any]]) -> None:
    """Keeps the best weights' detections on the validation split, as COCO result entries, one a line."""
    lines = ",\n".join(map(json.dumps, results))
    write_atomic(folder / DETECTIONS, f"[\n{lines}\n]\n" if results else "[]\n")


def write_report(folder: Path, val: CocoDataset | None, *, drawn: int) -> Evaluation | None:
    """Draws a run's curves and, where there are detections, what the best weights reach.

    Args:
        folder: The run's; its logs and detections are read, and `plots/`, `pictures/`, `metrics.json` and
            `per_class.csv` written.
        val: The validation split.
        drawn: How many of its pictures to draw.

    Returns:
        The best weights' numbers, where there are any.
    """
    plot_curves(folder)
    path = folder / DETECTIONS
    if val is None or not path.exists():
        return None
    results = json.loads(path.read_text(encoding="utf-8"))
    truth = val.to_coco()
    evaluation = evaluate_boxes(truth, results)
    write_metrics_json(evaluation, folder / "metrics.json")
    write_class_csv(evaluation, folder / "per_class.csv")
    (folder / "plots").mkdir(exist_ok=True)
    plot_pr_curves(evaluation, folder / "plots" / "pr_curves.png")
    plot_confusion(confusion_matrix(truth, results), folder / "plots" / "confusion_matrix.png")
    _draw(folder / "pictures", val, results, drawn)
    return evaluation


def plot_curves(folder: Path) -> None:
    """Draws `plots/losses.png` and, where AP was measured, `plots/ap.png` from a run's CSV files."""
    (folder / "plots").mkdir(exist_ok=True)
    train, val = read_csv(folder / "train.csv"), read_csv(folder / "val.csv")
    if train:
        figure, axes = _axes()
        steps = [row["step"] for row in train]
        for name in TERMS:
            axes.plot(steps, [max(row[name], 1e-6) for row in train], label=name, linewidth=1.4)
        axes.set(xlabel="step", ylabel="loss", yscale="log")
        axes.legend(frameon=False)
        save_figure(figure, folder / "plots" / "losses.png")
    if val:
        figure, axes = _axes()
        epochs = [row["epoch"] for row in val]
        for name in ("AP", "AP50", "AP75"):
            axes.plot(epochs, [row[name] for row in val], label=name, marker=".", linewidth=1.4)
        axes.set(xlabel="epoch", ylabel="average precision", ylim=(0, 1))
        axes.legend(frameon=False)
        save_figure(figure, folder / "plots" / "ap.png")


def _axes() -> tuple[Figure, Axes]:
    figure = new_figure((7.5, 4.6))
    axes: Axes = figure.subplots()
    axes.grid(alpha=0.25, linewidth=0.6)
    return figure, axes


def _draw(folder: Path, val: CocoDataset, results: Sequence[dict[str, Any]], count: int) -> None:
    """The first pictures with what was found in them."""
    of_picture: dict[Any, list[dict[str, Any]]] = {image.id: [] for image in val.images[:count]}
    for result in results:
        if result["image_id"] in of_picture and result["score"] >= _DRAWN_FROM:
            of_picture[result["image_id"]].append(result)
    for number, image in enumerate(val.images[:count]):
        times = -(-_LEAST_SIDE // min(_LEAST_SIDE, image.height, image.width))
        found = _detections(of_picture[image.id], val.classes, (image.height, image.width), times)
        pixels = cv2.resize(read_image(image.path), None, fx=times, fy=times, interpolation=cv2.INTER_NEAREST)
        picture = found.draw(np.asarray(pixels, np.uint8))
        good, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])
        if good:
            write_atomic(folder / f"{number:02d}-{image.path.stem}.jpg", data.tobytes())


def _detections(results: Sequence[dict[str, Any]], classes: Classes, size: tuple[int, int], times: int) -> Detections:
    """What was found in a picture of (height, width) pixels, as it lies in one enlarged so many times."""
    label_of = classes.label_of()
    ordered = sorted(results, key=lambda r: -r["score"])
    boxes = np.array([r["bbox"] for r in ordered], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    scores = np.array([r["score"] for r in ordered], np.float32)
    labels = np.array([label_of[r["category_id"]] for r in ordered], np.int64)
    return Detections(boxes * times, scores, labels, classes, (size[0] * times, size[1] * times))
