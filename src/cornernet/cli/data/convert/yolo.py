"""`cornernet data convert yolo`: a YOLO dataset to COCO format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cornernet.cli.command import DONE, Command
from cornernet.cli.data.convert.options import ConversionOptions, report
from cornernet.cli.progress import progress


@dataclass(frozen=True, kw_only=True)
class YoloOptions(ConversionOptions):
    """Convert a YOLO dataset, of boxes or outlines, to COCO format.

    Attributes:
        source: The dataset's folder, with data.yaml or classes.txt; or its YAML file.
    """

    source: Path


def run(options: YoloOptions) -> int:
    """Converts, and returns the exit code."""
    from cornernet.data.convert_yolo import convert_yolo

    report(convert_yolo(options.source, options.target, link=options.link, progress=progress))
    return DONE


COMMAND = Command(options=YoloOptions, run=run, positionals=("source", "target"))
