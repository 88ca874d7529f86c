"""`cornernet data convert voc`: a Pascal VOC dataset to COCO format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cornernet.cli.command import DONE, Command
from cornernet.cli.data.convert.options import ConversionOptions, report
from cornernet.cli.progress import progress


@dataclass(frozen=True, kw_only=True)
class VocOptions(ConversionOptions):
    """Convert a Pascal VOC dataset to COCO format.

    Attributes:
        source: The folder with Annotations in it, such as VOCdevkit/VOC2012.
        skip_difficult: Leave out objects that are marked as difficult.
    """

    source: Path
    skip_difficult: bool = False


def run(options: VocOptions) -> int:
    """Converts, and returns the exit code."""
    from cornernet.data.convert_voc import convert_voc

    report(
        convert_voc(
            options.source,
            options.target,
            skip_difficult=options.skip_difficult,
            link=options.link,
            progress=progress,
        )
    )
    return DONE


COMMAND = Command(options=VocOptions, run=run, positionals=("source", "target"))
