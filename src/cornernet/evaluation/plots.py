"""An evaluation as pictures. matplotlib, an extra, is imported only when one is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cornernet.evaluation.coco_ap import Evaluation
from cornernet.evaluation.confusion import ConfusionMatrix
from cornernet.structures.figures import new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NAMED = 10  # curves that have a colour and a name each
_NUMBERED = 21  # cells a side up to which a matrix has room for numbers
_LABELLED = 150  # cells a side up to which each has room for its name
_MEANS = (("IoU 0.50", "AP50", "#0072b2"), ("IoU 0.75", "AP75", "#d55e00"), ("IoU 0.50:0.95", "AP", "#222222"))


def plot_pr_curves(evaluation: Evaluation, path: Path) -> None:
    """Draws precision over recall: the means over classes on the left, each class at IoU 0.50 on the right.

    Up to ten classes have each its colour and name; of more, the five best and the five worst by AP50, the others grey.

    Args:
        evaluation: What `evaluate_boxes` gave.
        path: The picture's name; its suffix (.png, .svg, .pdf) decides the format.

    Raises:
        MissingExtraError: Without matplotlib (extra `plots`).
        OSError: When the file cannot be written.
    """
    figure = new_figure((13, 5.6))
    left, right = figure.subplots(1, 2)
    _draw_means(left, evaluation)
    _draw_classes(right, evaluation)
    for axes in (left, right):
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
        axes.grid(alpha=0.25, linewidth=0.6)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    save_figure(figure, path)


def plot_confusion(matrix: ConfusionMatrix, path: Path) -> None:
    """Draws the confusion matrix, each row as shares of what was annotated of that class.

    The last column shows missed boxes, the last row how the false detections spread over the classes. Up to twenty
    classes the shares stand in the cells as numbers too.

    Args:
        matrix: What `confusion_matrix` gave.
        path: The picture's name; its suffix (.png, .svg, .pdf) decides the format.

    Raises:
        MissingExtraError: Without matplotlib (extra `plots`).
        OSError: When the file cannot be written.
    """
    shares = matrix.normalized()
    count = len(shares)
    side = float(np.clip(0.62 * count, 3.2, 16))
    figure = new_figure((side + 3, side + 2))
    axes = figure.subplots()
    _draw_cells(axes, shares)
    _label_cells(axes, [_shortened(name) for name in (*matrix.names, "background")], side)
    axes.set(xlabel="detected", ylabel="annotated")
    axes.set_title(f"share of each row (IoU {matrix.iou:g}, score {matrix.score:g})")
    save_figure(figure, path)


def _draw_cells(axes: Axes, shares: NDArray[np.float64]) -> None:
    from matplotlib.colors import PowerNorm

    count = len(shares)
    # The root spreads the low shares, where confusions lie; what never happened stays white.
    norm = PowerNorm(0.5, vmin=0, vmax=1)
    image = axes.imshow(np.ma.masked_equal(shares, 0), cmap="Blues", norm=norm, interpolation="nearest")
    axes.figure.colorbar(image, ax=axes, shrink=0.6, pad=0.02, ticks=[0, 0.01, 0.05, 0.1, 0.25, 0.5, 1])
    if count <= _LABELLED:
        edges = np.arange(count - 1) + 0.5
        axes.set_xticks(edges, minor=True)
        axes.set_yticks(edges, minor=True)
        axes.grid(which="minor", color="#dddddd", linewidth=0.4)
    for draw in (axes.axhline, axes.axvline):  # sets the background apart
        draw(count - 1.5, color="#666666", linewidth=1)
    if count <= _NUMBERED:
        for row, column in np.argwhere(shares >= 0.005):
            share = shares[row, column]
            color = "white" if share > 0.4 else "black"
            axes.text(column, row, f"{share:.2f}", ha="center", va="center", fontsize=8, color=color)


def _label_cells(axes: Axes, names: list[str], side: float) -> None:
    """Names along both sides (each `side` inches): every one, or every so many where they would not fit."""
    last = len(names) - 1
    step = -(-len(names) // _LABELLED)
    shown = [*range(0, last - step // 2, step), last]
    labels = [names[i] for i in shown]
    size = float(np.clip(72 * side / len(names) * 0.65, 5, 10))
    axes.set_xticks(shown, labels, rotation=90, fontsize=size, parse_math=False)
    axes.set_yticks(shown, labels, fontsize=size, parse_math=False)
    axes.tick_params(which="both", length=0)


def _draw_means(axes: Axes, evaluation: Evaluation) -> None:
    known = ~np.isnan(evaluation.precision[0, 0])  # classes with boxes; there is always one
    means = evaluation.precision[:, :, known].mean(axis=2)
    for (label, key, color), curve in zip(_MEANS, means, strict=True):
        text = f"{label}   {key} {evaluation.stats[key]:.3f}"
        axes.plot(evaluation.recall, curve, color=color, linewidth=2.2, label=text)
    axes.set_title(f"mean of {known.sum()} classes" if known.sum() > 1 else "1 class")
    axes.legend(loc="best", framealpha=0.9)


def _draw_classes(axes: Axes, evaluation: Evaluation) -> None:
    from matplotlib import colormaps

    rows = [(row, curve) for row, curve in zip(evaluation.classes, evaluation.precision[0].T, strict=True) if row.boxes]
    rows.sort(key=lambda pair: -pair[0].ap50)
    few = len(rows) <= _NAMED
    named = [*range(len(rows))] if few else [*range(_NAMED // 2), *range(len(rows) - _NAMED // 2, len(rows))]
    for i in set(range(len(rows))) - set(named):
        axes.plot(evaluation.recall, rows[i][1], color="#bbbbbb", linewidth=0.6, alpha=0.7)
    colors = colormaps["tab10"]
    lines = [axes.plot(evaluation.recall, rows[i][1], color=colors(n), linewidth=1.6)[0] for n, i in enumerate(named)]
    labels = [f"{_shortened(rows[i][0].name)}  {rows[i][0].ap50:.3f}" for i in named]
    title = "AP50" if few else "AP50, five best and worst"
    legend = axes.legend(lines, labels, title=title, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)
    axes.set_title("classes at IoU 0.50")


def _shortened(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:23]}…"
