"""`cornernet data stats`: a dataset in numbers and histograms."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cornernet.cli.command import DONE, Command, say
from cornernet.cli.options import CommonOptions, require_from

if TYPE_CHECKING:
    from rich.table import Table

    from cornernet.data.stats import DatasetStats, Spread


@dataclass(frozen=True, kw_only=True)
class StatsOptions(CommonOptions):
    """Describe a dataset: classes, box sizes, boxes per picture, and objects that share a corner's cell.

    Attributes:
        data: The dataset's folder, in COCO format.
        split: Splits to describe, side by side; all by default.
        output: Folder for stats.json and the figures; a new one, runs/stats/NAME, by default.
        crop: Pixels that a picture's longer side is scaled to where corners are sorted into cells.
        stride: Pixels per cell.
        plots: Draw the figures; by default where matplotlib is installed.
    """

    data: Path
    split: tuple[str, ...] = ()
    output: Path | None = None
    crop: int = 511
    stride: int = 4
    plots: bool | None = None

    def __post_init__(self) -> None:
        require_from("--crop", self.crop, 1)
        require_from("--stride", self.stride, 1)


def run(options: StatsOptions) -> int:
    """Counts, writes and prints, and returns the exit code."""
    from cornernet.cli.evaluate import can_plot
    from cornernet.cli.output import run_folder
    from cornernet.cli.tables import print_table
    from cornernet.data.coco import load_coco
    from cornernet.data.layout import find_splits
    from cornernet.data.stats import describe
    from cornernet.errors import DatasetError
    from cornernet.structures.files import write_atomic

    plots = can_plot(options.plots)
    names = dict.fromkeys(options.split or find_splits(options.data))
    if not names:
        raise DatasetError(f"{options.data}: expected a dataset, found no annotations: put them at annotations/*.json")
    datasets = [load_coco(options.data, name) for name in names]
    stats = [describe(dataset, crop=options.crop, stride=options.stride) for dataset in datasets]
    folder = run_folder(options.output, "stats", options.data.resolve().name)
    write_atomic(folder / "stats.json", json.dumps({s.split: asdict(s) for s in stats}, indent=1) + "\n")
    if plots:
        from cornernet.data.stats_plots import plot_stats

        for dataset, numbers in zip(datasets, stats, strict=True):
            plot_stats(dataset, numbers, folder / f"{numbers.split}.png")
    for dataset in datasets:
        for line in dataset.problems.lines():
            say(f"{dataset.split}: {line}")
    print_table(_numbers_table(stats))
    print_table(_class_table(stats))
    say(f"the files are in {folder}")
    return DONE


def _numbers_table(stats: Sequence[DatasetStats]) -> Table:
    """A column for each split."""
    rows = [
        ("pictures", [f"{s.pictures}" for s in stats]),
        ("without boxes", [f"{s.empty}" for s in stats]),
        ("boxes", [f"{s.boxes}" for s in stats]),
        ("of crowds, not counted", [f"{s.crowd}" for s in stats]),
        ("small, medium, large", [" ".join(_share(n, s.boxes) for n in (s.small, s.medium, s.large)) for s in stats]),
    ]
    for text, name in (
        ("box side sqrt(w x h), pixels", "side"),
        ("box width, pixels", "width"),
        ("box height, pixels", "height"),
        ("box width / height", "aspect"),
        ("boxes per picture", "per_picture"),
        ("picture width", "picture_width"),
        ("picture height", "picture_height"),
    ):
        rows.append((text, [_spread(getattr(s, name)) for s in stats]))
    for text, name in (
        ("sharing a top-left cell", "top_left"),
        ("  of the same class", "top_left_same_class"),
        ("sharing a bottom-right cell", "bottom_right"),
        ("  of the same class", "bottom_right_same_class"),
        ("sharing both, same class", "both_same_class"),
    ):
        counts = [(getattr(s.collisions, name), s.boxes) for s in stats]
        rows.append((text, [f"{n} ({_share(n, total)})" for n, total in counts]))
    return _table("where values are spread: least | 5 % | median | 95 % | most", [s.split for s in stats], rows)


def _class_table(stats: Sequence[DatasetStats]) -> Table:
    """Boxes and the pictures they are on, a row for each class, the most frequent first."""
    total: dict[tuple[int, str], int] = {}
    for numbers in stats:
        for c in numbers.classes:
            total[c.id, c.name] = total.get((c.id, c.name), 0) + c.boxes
    by_split = [{(c.id, c.name): c for c in s.classes} for s in stats]
    rows = []
    for key in sorted(total, key=lambda key: -total[key]):
        found = [classes.get(key) for classes in by_split]
        rows.append((f"{key[1]} (id {key[0]})", [f"{c.boxes} on {c.pictures}" if c else "-" for c in found]))
    return _table("boxes of each class, and pictures they are on", [s.split for s in stats], rows)


def _table(title: str, splits: Sequence[str], rows: Sequence[tuple[str, list[str]]]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title)
    table.add_column("")
    for split in splits:
        table.add_column(escape(split), justify="right")
    for name, cells in rows:
        table.add_row(escape(name), *cells)
    return table


def _share(count: int, total: int) -> str:
    return f"{100 * count / total:.1f} %" if total else "-"


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    return " | ".join(f"{v:.4g}" for v in (spread.least, spread.p5, spread.median, spread.p95, spread.most))


COMMAND = Command(options=StatsOptions, run=run, positionals=("data",))
