"""What the conversions share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cornernet.cli.command import say
from cornernet.cli.options import CommonOptions

if TYPE_CHECKING:
    from cornernet.data.convert import Conversion


@dataclass(frozen=True, kw_only=True)
class ConversionOptions(CommonOptions):
    """What is written.

    Attributes:
        target: Folder to write to; new or empty.
        link: Link the pictures instead of copying them; both names are then one file, on one drive.
    """

    target: Path
    link: bool = False


def report(conversion: Conversion) -> None:
    """Prints the folder, and tells what is in it."""
    print(conversion.folder)
    for split, count in conversion.pictures.items():
        say(f"{split}: {count} pictures, {conversion.boxes[split]} boxes")
    say(f"classes: {', '.join(conversion.classes.names)}")
    if conversion.dropped:
        say(f"{conversion.dropped} boxes have no area inside their picture, and were left out")
    if conversion.clipped:
        say(f"{conversion.clipped} boxes reached beyond their picture, and were clipped to it")
