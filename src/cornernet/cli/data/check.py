"""`cornernet data check`: what is wrong with a dataset, before it is trained on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cornernet.cli.command import DONE, FAILED, Command, say
from cornernet.cli.options import CommonOptions, require_from
from cornernet.cli.progress import progress

if TYPE_CHECKING:
    from rich.table import Table

    from cornernet.data.findings import Report


@dataclass(frozen=True, kw_only=True)
class CheckOptions(CommonOptions):
    """Find what is wrong with a dataset's annotations and pictures; ends with 1 if any of it is an error.

    Attributes:
        data: The dataset's folder, in COCO format.
        split: Splits to look at; all by default.
        output: Folder for report.json; a new one, runs/check/NAME, by default.
        pictures: Read every picture; otherwise only whether its file is there is looked at.
        workers: Threads that read pictures.
        max_pixels: Pictures with more pixels than this count as unreadable.
    """

    data: Path
    split: tuple[str, ...] = ()
    output: Path | None = None
    pictures: bool = True
    workers: int = 4
    max_pixels: int = 100_000_000

    def __post_init__(self) -> None:
        require_from("--workers", self.workers, 1)
        require_from("--max-pixels", self.max_pixels, 1)


def run(options: CheckOptions) -> int:
    """Checks, writes and prints, and returns the exit code."""
    from cornernet.cli.output import run_folder
    from cornernet.cli.tables import print_table
    from cornernet.data.check import check_dataset
    from cornernet.data.findings import Severity
    from cornernet.structures.files import write_atomic

    report = check_dataset(
        options.data,
        options.split,
        pictures=options.pictures,
        workers=options.workers,
        max_pixels=options.max_pixels,
        progress=progress,
    )
    path = run_folder(options.output, "check", options.data.resolve().name) / "report.json"
    write_atomic(path, json.dumps(report.to_json(), indent=1) + "\n")
    print_table(_splits_table(report))
    if report.findings:
        print_table(_findings_table(report))
    counts = ", ".join(f"{count} {severity}s" for severity in Severity if (count := report.count(severity)))
    say(f"{counts or 'nothing'} found; every finding is in {path}")
    return DONE if report.usable else FAILED


def _splits_table(report: Report) -> Table:
    from rich.table import Table

    table = Table(title=str(report.root))
    for header in ("split", "pictures", "boxes", "categories"):
        table.add_column(header, justify="left" if header == "split" else "right")
    for split in report.splits:
        table.add_row(split.split, f"{split.pictures}", f"{split.boxes}", f"{len(split.classes)}")
    return table


def _findings_table(report: Report) -> Table:
    """Findings counted by kind and split, the gravest first."""
    from rich.markup import escape
    from rich.table import Table

    from cornernet.data.findings import Severity

    groups: dict[tuple[Severity, str, str], list[str]] = {}
    for finding in report.findings:
        groups.setdefault((finding.severity, finding.split, finding.kind), []).append(finding.message)
    table = Table()
    for header in ("", "split", "found", "times", "first"):
        table.add_column(header, justify="right" if header == "times" else "left", overflow="fold")
    colors = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "default"}
    for severity in Severity:
        for (grave, split, kind), messages in groups.items():
            if grave is severity:
                cells = (severity, escape(split), kind, str(len(messages)), escape(messages[0]))
                table.add_row(*cells, style=colors[severity])
    return table


COMMAND = Command(options=CheckOptions, run=run, positionals=("data",))
