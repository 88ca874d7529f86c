"""`make bench`: every benchmark in turn, results as JSON under benchmarks/results/DATE/."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
from pathlib import Path

NAMES = ("corner_pool", "postprocess", "data_path", "predict", "network", "roofline", "training_step", "folder")
REFERENCED = ("data_path", "predict")


def main() -> int:
    """Runs each benchmark in a process of its own; `CORNERNET_REFERENCE` names a folder with MMDetection, if any."""
    folder = Path(__file__).parent / "results" / datetime.datetime.now(datetime.UTC).date().isoformat()
    failed = []
    for name in NAMES:
        command = [sys.executable, "-m", f"benchmarks.{name}", "--json", str(folder / f"{name}.json")]
        if name in REFERENCED and (reference := os.environ.get("CORNERNET_REFERENCE")):
            command += ["--reference", reference]
        print(f"== {name}", flush=True)
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
