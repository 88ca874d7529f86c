"""How every benchmark prints and writes its results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

from cornernet.structures.files import write_atomic


def save(path: Path | None, result: dict[str, object]) -> None:
    """Writes the result as JSON, whole or not at all; nothing without a path."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(result, indent=1) + "\n")


def show(rows: Sequence[Mapping[str, object]], columns: Mapping[str, str], title: str = "") -> None:
    """Prints a table.

    Args:
        rows: What to print, a line each.
        columns: Each column's heading, and how it stands in the row, such as "{median_ms:.1f}".
        title: What stands above.
    """
    first, *others = columns
    table = Table(Column(first), *(Column(name, justify="right") for name in others), title=title)
    for row in rows:
        table.add_row(*(form.format_map(row) for form in columns.values()))
    Console(width=140).print(table)
