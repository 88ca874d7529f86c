"""A split's numbers as one figure. matplotlib, an extra, is imported only when it is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cornernet.data.coco import CocoDataset
from cornernet.data.stats import LARGE_AREA, SMALL_AREA, BoxTable, DatasetStats
from cornernet.structures.figures import new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOR, _SECOND = "#0072b2", "#d55e00"
_MOST_CLASSES = 20  # bars that have room for their names
_BINS = 30


def plot_stats(dataset: CocoDataset, stats: DatasetStats, path: Path) -> None:
    """Draws six panels: classes, box sizes, boxes per picture, aspect ratios, picture sizes, corner collisions.

    Args:
        dataset: The split.
        stats: What `describe` gave of it.
        path: The picture's name; its suffix (.png, .svg, .pdf) decides the format.

    Raises:
        MissingExtraError: Without matplotlib (extra `plots`).
        OSError: When the file cannot be written.
    """
    figure = new_figure((15, 9), w_pad=0.12, h_pad=0.12)
    table = BoxTable.of(dataset)
    classes, sizes, counts, aspects, pictures, collisions = figure.subplots(2, 3).ravel()
    _draw_classes(classes, stats)
    _draw_sizes(sizes, table, stats)
    _draw_counts(counts, table)
    _draw_aspects(aspects, table)
    _draw_pictures(pictures, table)
    _draw_collisions(collisions, stats)
    for axes in (classes, sizes, counts, aspects, pictures, collisions):
        axes.grid(axis="x" if axes in (classes, collisions) else "y", alpha=0.25, linewidth=0.6)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    title = f"{dataset.root.resolve().name} {stats.split}: {stats.pictures} pictures, {stats.boxes} boxes"
    figure.suptitle(title, fontsize=14, fontweight="bold", parse_math=False)
    save_figure(figure, path)


def _draw_classes(axes: Axes, stats: DatasetStats) -> None:
    ranked = sorted(stats.classes, key=lambda c: -c.boxes)
    shown = ranked[:_MOST_CLASSES]
    bars = axes.barh(range(len(shown)), [c.boxes for c in shown], color=_COLOR)
    axes.bar_label(bars, [f"{c.boxes}" for c in shown], padding=3, fontsize=8)
    names = [c.name if len(c.name) <= 24 else f"{c.name[:23]}…" for c in shown]
    axes.set_yticks(range(len(shown)), names, parse_math=False)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    more = f", the {len(shown)} most frequent of {len(ranked)}" if len(ranked) > len(shown) else ""
    axes.set_title(f"boxes per class{more}")


def _draw_sizes(axes: Axes, table: BoxTable, stats: DatasetStats) -> None:
    sides = np.sqrt(table.sides.prod(axis=1))
    if len(sides):
        edges = np.geomspace(max(sides.min() * 0.95, 0.5), sides.max() * 1.05, _BINS + 1)
        axes.hist(sides, edges.tolist(), color=_COLOR)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
    for area in (SMALL_AREA, LARGE_AREA):
        axes.axvline(area**0.5, color=_SECOND, linewidth=1, linestyle="--")
    axes.set(xlabel="√(width x height) in pixels", ylabel="boxes")
    axes.set_title(f"box sizes: {stats.small} small, {stats.medium} medium, {stats.large} large")


def _draw_counts(axes: Axes, table: BoxTable) -> None:
    counts = table.per_picture
    if len(counts):
        step = -(-int(counts.max() + 1) // _BINS)
        edges = np.arange(0, counts.max() + step + 1, step) - 0.5
        axes.locator_params(axis="y", integer=True)
        axes.hist(counts, edges.tolist(), color=_COLOR, rwidth=0.92)
    axes.set(xlabel="boxes", ylabel="pictures")
    axes.set_title("boxes per picture")


def _draw_aspects(axes: Axes, table: BoxTable) -> None:
    if len(table.boxes):
        ratios = np.log2(table.sides[:, 0] / table.sides[:, 1])
        limit = max(1.0, float(np.abs(ratios).max()) * 1.02)
        axes.hist(ratios, np.linspace(-limit, limit, _BINS + 2).tolist(), color=_COLOR)
        ticks = np.arange(-int(limit), int(limit) + 1)
        axes.set_xticks(ticks, [f"{2**t}:1" if t >= 0 else f"1:{2**-t}" for t in ticks.tolist()])
    axes.set(xlabel="width : height", ylabel="boxes")
    axes.set_title("aspect ratios")


def _draw_pictures(axes: Axes, table: BoxTable) -> None:
    if len(table.sizes):
        sizes, counts = np.unique(table.sizes, axis=0, return_counts=True)
        area = 20 + 380 * counts / counts.max()
        axes.scatter(sizes[:, 1], sizes[:, 0], s=area, color=_COLOR, alpha=0.45, edgecolors="none")
        height, width = sizes[counts.argmax()]
        many = f"{len(sizes)}, most often" if len(sizes) > 1 else "all"
        axes.set_title(f"picture sizes: {many} {width} x {height}")
        most = sizes.max() * 1.1
        axes.set(xlim=(0, most), ylim=(0, most))
    axes.set(xlabel="width in pixels", ylabel="height in pixels", aspect="equal")


def _draw_collisions(axes: Axes, stats: DatasetStats) -> None:
    found = stats.collisions
    rows = {
        "top left": found.top_left,
        "top left, same class": found.top_left_same_class,
        "bottom right": found.bottom_right,
        "bottom right, same class": found.bottom_right_same_class,
        "both, same class": found.both_same_class,
    }
    total = max(stats.boxes, 1)
    bars = axes.barh(range(len(rows)), [100 * n / total for n in rows.values()], color=_COLOR)
    axes.bar_label(bars, [f"{n} ({100 * n / total:.2g} %)" for n in rows.values()], padding=3, fontsize=8)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()
    axes.set_xlim(0, max(1.0, 1.35 * 100 * max(rows.values()) / total))
    axes.set(xlabel="% of the boxes")
    axes.set_title(f"sharing a corner's cell ({found.cells} cells a side)")
