"""What has become slower or larger between two folders of results: `python -m benchmarks.compare OLD NEW`.

Only what machines agree on is compared: how many times faster than the baseline of the same run, how many copies a call
takes, the share of the roofline reached, and peak memory. Exits with 1 where any is worse by more than `--tolerance`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

MORE_IS_BETTER = ("ratio", "reached", "times_faster")
BASELINES = ("cummax", "portable", "composed")  # other ways of corner pooling, each in copies as ours is
LESS_IS_BETTER = ("clones", "peak_mib", "peak_gb", "process_mib", "device_mib")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, help="folder of JSON files")
    parser.add_argument("new", type=Path, help="folder of JSON files")
    parser.add_argument("--tolerance", type=float, default=0.15, help="change that counts as noise")
    options = parser.parse_args()
    worse = list(regressions(read(options.old), read(options.new), options.tolerance))
    table = Table("benchmark", "number", "old", "new", "worse by", title=f"{len(worse)} numbers are worse")
    for name, (before, after, change) in worse:
        benchmark, _, number = name.partition("/")
        table.add_row(benchmark, number, f"{before:.3g}", f"{after:.3g}", f"{100 * change:.0f} %")
    Console(width=140).print(table)
    return 1 if worse else 0


def read(folder: Path) -> dict[str, float]:
    """Every number of a folder's results that is compared, by file and place."""
    found: dict[str, float] = {}
    for path in sorted(folder.glob("*.json")):
        found |= {f"{path.stem}/{place}": number for place, number in numbers(json.loads(path.read_text("utf-8")))}
    return found


def numbers(content: Any, place: str = "", name: str = "") -> Iterator[tuple[str, float]]:
    """The numbers to compare, each with its place; an item of a list is known by its texts and counts, not its turn."""
    if isinstance(content, dict):
        for key, value in content.items():
            inherited = name if name.startswith("times_faster") else key
            yield from numbers(value, f"{place} {key}".strip(), inherited)
    elif isinstance(content, list):
        for item in content:
            if isinstance(item, dict):
                if str(item.get("task")).startswith(BASELINES):
                    continue
                known = " ".join(str(v) for v in item.values() if isinstance(v, str | int))
                yield from numbers(item, f"{place} {known}".strip())
    elif isinstance(content, int | float) and _direction(name):
        yield place, float(content)


def regressions(
    old: dict[str, float], new: dict[str, float], tolerance: float
) -> Iterator[tuple[str, tuple[float, float, float]]]:
    """What is worse by more than `tolerance`, a share of the old number: old, new and that share."""
    for place in old.keys() & new.keys():
        before, after = old[place], new[place]
        change = (after - before) / before if before else 0.0
        worse = -_direction(place.rpartition(" ")[2] if "times_faster" not in place else "times_faster") * change
        if worse > tolerance:
            yield place, (before, after, worse)


def _direction(name: str) -> int:
    """1 where more is better, -1 where less is, 0 for what is not compared."""
    if name.startswith(MORE_IS_BETTER):
        return 1
    return -1 if name in LESS_IS_BETTER else 0


if __name__ == "__main__":
    sys.exit(main())
