"""`cornernet convert`: any checkpoint to our own format."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from cornernet.cli.command import DONE, Command
from cornernet.cli.options import CommonOptions


@dataclass(frozen=True, kw_only=True)
class ConvertOptions(CommonOptions):
    """Turn a checkpoint into model.safetensors, config.json and a README.md that can be shared.

    Attributes:
        source: A checkpoint of MMDetection or Princeton, a folder in our format, or a published model's name.
        target: Folder to write to.
        overwrite: Write to a folder that holds something; only the three files are replaced.
    """

    source: str
    target: Path
    overwrite: bool = False


def run(options: ConvertOptions) -> int:
    """Converts, and returns the exit code."""
    from cornernet.weights.convert import convert

    print(convert(options.source, options.target, overwrite=options.overwrite, progress=sys.stderr.isatty()))
    return DONE


COMMAND = Command(options=ConvertOptions, run=run, positionals=("source", "target"))
