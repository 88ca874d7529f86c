"""From one picture's array to its boxes with Hourglass-104, against MMDetection in the same run.

python -m benchmarks.predict --reference DIR    (DIR/venv/bin/python has MMDetection 3.3.0)

All load the same made-up weights and predict in turn, each in a process of its own, so that a busy machine slows all
and peak memory is each one's own. Ours also runs without Winograd's algorithm, and on the tighter canvas and, where the
processor can, in bfloat16: these two give slightly other boxes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import torch

from benchmarks.report import save
from benchmarks.worker import Worker
from cornernet import build_model
from cornernet.errors import ConfigError
from cornernet.inference.machine import describe
from cornernet.inference.prepare import choose_dtype
from cornernet.models.cornernet import CornerNet
from cornernet.weights.keymaps import to_mmdetection

OURS, REFERENCE = "cornernet", "MMDetection"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", type=Path, help="folder whose venv has MMDetection")
    parser.add_argument("--size", type=int, nargs=2, default=(480, 640), help="height and width in pixels")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="where to write the result")
    options = parser.parse_args()
    here = Path(__file__).parent
    ours = [sys.executable, str(here / "predict_worker.py")]
    commands = {
        OURS: (ours, ["or127", "float32", "winograd"]),
        "mode eager": (ours, ["or127", "float32", "eager"]),
        "canvas multiple128": (ours, ["multiple128", "float32", "winograd"]),
    }
    with suppress(ConfigError):  # a processor without its instructions
        choose_dtype("bfloat16", torch.device("cpu"))
        commands["bfloat16"] = (ours, ["or127", "bfloat16", "eager"])
    if options.reference:
        theirs = [str(options.reference / "venv" / "bin" / "python"), str(here / "reference_worker.py")]
        commands[REFERENCE] = (theirs, [])
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "hourglass104.pth"
        torch.save({"meta": {}, "state_dict": to_mmdetection(made_up_network().state_dict())}, checkpoint)
        arguments = [str(checkpoint), *map(str, options.size), str(options.threads)]
        workers = {name: Worker([*program, *arguments, *own]) for name, (program, own) in commands.items()}
        for worker in workers.values():
            worker.ask()  # the first one warms up
        rounds = [{name: worker.ask() for name, worker in workers.items()} for _ in range(options.rounds)]
        for worker in workers.values():
            worker.close()
    result = summary(rounds, {name: worker.ready for name, worker in workers.items()})
    print(json.dumps(result, indent=1))
    save(
        options.json,
        {
            **describe(torch.device("cpu")),
            "threads": options.threads,
            "picture": list(options.size),
            "programs": result,
        },
    )


def made_up_network() -> CornerNet:
    """Hourglass-104 with random weights that finds many boxes."""
    torch.manual_seed(0)
    model = build_model("cornernet-hourglass104")
    picture = (255 * torch.rand(1, 3, 511, 767) - 116) / 57  # like the one that is timed
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.momentum = 1.0
        model.train().all_stacks(picture)  # statistics of a picture, without which activations have no bounds
        for norm in norms:
            norm.momentum = 0.1
        maps = model.eval()(picture)
        head = model.heads[-1]
        for corner, heat in ((head.top_left, maps.tl_heat), (head.bottom_right, maps.br_heat)):
            # Some corners stand out, and the first class among the others, in which every corner is one.
            corner.heat.out.weight.copy_((corner.heat.out.weight / heat[0, 0].std())[:1].expand(80, -1, -1, -1))
            corner.heat.out.bias[0] += 1
            for branch in (corner.embedding, corner.offset):  # every pair is accepted: soft-NMS has its most to do
                branch.out.weight.zero_()
    return model


def summary(rounds: list[dict[str, dict[str, object]]], versions: dict[str, object]) -> dict[str, object]:
    """Median, spread and peak of each, and the ratio of each round's pair."""

    def seconds(name: str) -> list[float]:
        return [float(str(r[name]["seconds"])) for r in rounds]

    table: dict[str, object] = {
        name: {
            "version": version,
            "median_s": round(statistics.median(seconds(name)), 4),
            "min_s": round(min(seconds(name)), 4),
            "max_s": round(max(seconds(name)), 4),
            "peak_mib": round(max(float(str(r[name]["peak_mib"])) for r in rounds)),
            "boxes": rounds[-1][name]["n"],
            "scores": rounds[-1][name]["scores"],
        }
        for name, version in versions.items()
    }
    if REFERENCE in versions:
        table["times_faster_median"] = {
            name: round(statistics.median(a / b for a, b in zip(seconds(REFERENCE), seconds(name), strict=True)), 3)
            for name in versions
            if name != REFERENCE
        }
    return table


if __name__ == "__main__":
    main()
