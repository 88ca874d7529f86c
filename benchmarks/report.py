"""How every benchmark writes its results."""

from __future__ import annotations

import json
from pathlib import Path

from cornernet.structures.files import write_atomic


def save(path: Path | None, result: dict[str, object]) -> None:
    """Writes the result as JSON, whole or not at all; nothing without a path."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(result, indent=1) + "\n")
