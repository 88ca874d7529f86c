"""Tables on standard output: as wide as the terminal, or wide enough for a file or another program."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table

_FILE_WIDTH = 160


def print_table(table: Table) -> None:
    """Prints a table, in colour only on a terminal."""
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else _FILE_WIDTH).print(table)
