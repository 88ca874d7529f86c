"""A training step, from a batch of uint8 pictures to changed weights: `python -m benchmarks.training_step`.

The steps are the training loop's own: colours, network, targets, losses, gradients, clipping, Adam. Each way runs in a
process of its own, and all take turns, so that a busy machine slows them alike and peak memory is each one's own. The
baseline is PyTorch's plain Adam, with the host asking after each step whether it was finite.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.data_path import write_dataset
from benchmarks.report import save, show
from benchmarks.worker import Worker
from cornernet.inference.machine import describe
from cornernet.inference.prepare import choose_device
from cornernet.training.recipe import load_recipe

PLAIN = "plain Adam, the host asks after each step"
OURS = "as cornernet train does it"
COLUMNS = {
    "way": "{way}",
    "median ms": "{median_ms:.0f}",
    "fastest - slowest": "{fastest_ms:.0f} - {slowest_ms:.0f}",
    "pictures/s": "{pictures_per_s:.2f}",
    "times faster": "{times_faster:.2f}",
    "peak GB": "{peak_gb:.2f}",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", help="the published 8 x 6 recipe; small on a CPU")
    parser.add_argument("--batch", type=int, help="pictures a step; the recipe's without it")
    parser.add_argument("--device")
    parser.add_argument("--steps", type=int, default=5, help="steps of one round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--bf16", action="store_true", help="bf16 autocast as well, with and without checkpointing")
    parser.add_argument("--compile", action="store_true", help="torch.compile as well, which takes minutes to begin")
    parser.add_argument("--json", type=Path, help="where to write the result")
    options = parser.parse_args()
    device = choose_device(options.device)
    published = "cornernet_hourglass104_8xb6-210e-mstest_coco"
    options.recipe = options.recipe or ("small" if device.type == "cpu" else published)
    options.batch = options.batch or load_recipe(options.recipe).train.batch
    half = ["train.precision=bf16"] if options.bf16 else []
    ways = {PLAIN: [], OURS: [], "+ checkpointing": ["train.checkpointing=true"]}
    if options.bf16:
        ways |= {"bf16": half, "bf16 + checkpointing": [*half, "train.checkpointing=true"]}
    if options.compile:
        ways[f"{'bf16 ' * options.bf16}+ compile"] = [*half, "train.compile=true"]
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(Path(folder), None, options.batch)
        script = str(Path(__file__).parent / "training_step_worker.py")
        shared = [folder, options.recipe, str(device), str(options.threads), str(options.steps)]
        shared.append(f"train.batch={options.batch}")
        workers = {}
        for name, changes in ways.items():
            plain = ["plain"] if name == PLAIN else ["ours"]
            workers[name] = Worker([sys.executable, script, *plain, *shared, *changes])
        for worker in workers.values():
            worker.ask()  # warms up
        found = [{name: worker.ask() for name, worker in workers.items()} for _ in range(options.rounds)]
        for worker in workers.values():
            worker.close()
    rows = [row(name, found, options.batch) for name in ways]
    show(rows, COLUMNS, f"{options.recipe}, {options.batch} pictures a step, on {device}")
    setting = {name: getattr(options, name) for name in ("recipe", "batch", "steps", "rounds", "threads")}
    save(options.json, describe(device) | setting | {"ways": rows})


def row(name: str, found: list[dict[str, dict[str, object]]], batch: int) -> dict[str, object]:
    """One way's numbers; the ratio is the median of the rounds' own."""
    seconds = [float(str(r[name]["seconds"])) for r in found]
    plain = [float(str(r[PLAIN]["seconds"])) for r in found]
    return {
        "way": name,
        "median_ms": 1e3 * statistics.median(seconds),
        "fastest_ms": 1e3 * min(seconds),
        "slowest_ms": 1e3 * max(seconds),
        "pictures_per_s": batch / statistics.median(seconds),
        "times_faster": statistics.median(a / b for a, b in zip(plain, seconds, strict=True)),
        "peak_gb": max(float(str(r[name]["peak_gb"])) for r in found),
    }


if __name__ == "__main__":
    main()
