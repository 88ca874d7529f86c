"""What every benchmark says of the machine it ran on, and how it writes its results."""

from __future__ import annotations

import datetime
import json
import platform
from pathlib import Path

import torch

import cornernet
from cornernet.structures.files import write_atomic


def environment(threads: int) -> dict[str, object]:
    """Date, versions and device."""
    cuda = torch.cuda.is_available()
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cornernet": cornernet.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name() if cuda else f"CPU {platform.machine()}, {threads} threads",
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def save(path: Path | None, result: dict[str, object]) -> None:
    """Writes the result as JSON, whole or not at all; nothing without a path."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(result, indent=1) + "\n")
