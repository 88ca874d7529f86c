"""How near each stage, and each part of the network, comes to what the device can do: `python -m benchmarks.roofline`.

The stages are those of `cornernet benchmark`. The parts of the network are timed in the prepared network itself, the
device waited for before and after each; `rest` is what the whole network takes beyond them when nothing is waited for
in between (additions and upsampling, less what waiting costs). Weights are random. In mode winograd, the default where
`Detector` has it, convolutions take fewer operations than are counted, so that more than the whole may be reached.
"""

from __future__ import annotations

import argparse
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.report import save, show
from cornernet.cli.benchmark import BenchmarkOptions, find_pictures, load, measure
from cornernet.inference.machine import describe
from cornernet.inference.prepare import Mode, choose_device, choose_dtype, choose_mode, prepare
from cornernet.inference.roofline import Peaks, Work, WorkCounter, measure_flop, synchronize
from cornernet.models.build import build_model
from cornernet.models.config import CornerNetConfig
from cornernet.models.cornernet import CornerNet

COLUMNS = {
    "ms": "{median_ms:.2f}",
    "GFLOP": "{gflop:.1f}",
    "MB": "{megabytes:.2f}",
    "least ms": "{least_ms:.3f}",
    "reached": "{share}",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="cornernet-hourglass104")
    parser.add_argument("--size", type=int, nargs=2, default=(480, 640), help="height and width of the picture")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--device")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--mode", choices=("eager", "winograd"), help="parts cannot be timed in a graph")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="where to write the result")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    device = choose_device(given.device)
    usual = choose_mode(None, device, choose_dtype(given.dtype, device))
    mode: Mode = given.mode or ("winograd" if usual == "winograd" else "eager")
    options = BenchmarkOptions(
        random=given.architecture, size=tuple(given.size), batch=given.batch, device=given.device, dtype=given.dtype,
        mode=mode, rounds=given.rounds,
    )  # fmt: skip
    detector = load(options)
    stages = measure(detector, find_pictures(options), options)
    canvas = torch.randn(given.batch, 3, *stages["canvases"][0]).to(detector.device, detector.dtype)
    canvas = canvas.contiguous(memory_format=torch.channels_last)
    times = part_times(detector._pipeline.network, canvas, given.rounds)
    works = part_works(detector.record.architecture, canvas)
    flop = max(stages["peaks"]["flop_per_s"], measure_flop(detector.device, detector.dtype))
    peaks = Peaks(flop=flop, moved=stages["peaks"]["bytes_per_s"])
    parts = [row(name, times[name], works[name], peaks, given.batch) for name in works]
    for first, rows in (("stage", stages["stages"]), ("part", parts)):
        # What has no work to count has no share of it either.
        shown = [{**r, "share": f"{r['reached']:.1%}" if r["least_ms"] else ""} for r in rows]
        show(shown, {first: f"{{{first}}}", **COLUMNS}, "for one picture")
    setting = {name: getattr(given, name) for name in ("architecture", "batch", "dtype", "rounds")} | {"mode": mode}
    save(given.json, describe(detector.device) | setting | stages | {"parts": parts})


def parts_of(config: CornerNetConfig) -> list[tuple[str, str]]:
    """Patterns of module names, each with the part it belongs to; every convolution is in one of them."""
    depth = len(config.channels) - 1
    levels = {level: r"hourglasses\.\d+" + r"\.inner" * level for level in range(depth + 1)}
    return [
        ("stem", "stem"),
        *((levels[level] + r"\.(up|low_in|low_out)", f"hourglasses, level {level}") for level in range(depth)),
        (levels[depth], "hourglasses, coarsest"),
        (r"(outs|merge_stems|merge_outs|inters)\.\d+", "behind the hourglasses"),
        (r"heads\.\d+\.\w+\.pool", "corner pooling modules"),
        (r"heads\.\d+\.\w+\.heat", "heat branches"),
        (r"heads\.\d+\.\w+\.(embedding|offset)", "embedding and offset branches"),
    ]


def hook(network: CornerNet, before: Callable[[], None], after: Callable[[str], None]) -> list[Any]:
    """Calls around each part of a network; `after` is given the part's name. Returns what removes the calls again."""
    handles = []
    for name, module in network.named_modules():
        for pattern, part in parts_of(network.config):
            if re.fullmatch(pattern, name):
                handles.append(module.register_forward_pre_hook(lambda *_: before()))
                handles.append(module.register_forward_hook(lambda *_, part=part: after(part)))
    return handles


def part_times(network: CornerNet, canvas: torch.Tensor, rounds: int) -> dict[str, float]:
    """Seconds of each part of a batch's way through the network, medians of the rounds."""
    found: list[dict[str, float]] = []
    start = 0.0

    def before() -> None:
        nonlocal start
        synchronize(canvas.device)
        start = time.perf_counter()

    def after(part: str) -> None:
        synchronize(canvas.device)
        found[-1][part] = found[-1].get(part, 0.0) + time.perf_counter() - start

    with torch.inference_mode():
        for _ in range(rounds + 1):
            before()
            network(canvas)
            synchronize(canvas.device)
            whole = time.perf_counter() - start
            found.append({})
            handles = hook(network, before, after)
            network(canvas)
            for handle in handles:
                handle.remove()
            found[-1]["rest"] = whole - sum(found[-1].values())
            found[-1]["network"] = whole
    return {part: statistics.median(times[part] for times in found[1:]) for part in found[0]}


def part_works(config: CornerNetConfig, canvas: torch.Tensor) -> dict[str, Work]:
    """The work of each part, counted on the meta device."""
    meta = torch.device("meta")
    with meta:
        network = prepare(build_model(config), meta, canvas.dtype)
    found: dict[str, Work] = {part: Work() for _, part in parts_of(config)}
    start = Work()

    def before() -> None:
        nonlocal start
        start = counter.work

    def after(part: str) -> None:
        found[part] += Work(flop=counter.work.flop - start.flop, moved=counter.work.moved - start.moved)

    hook(network, before, after)
    with torch.no_grad(), WorkCounter() as counter:
        network(canvas.to(meta))
    counted = sum(found.values(), Work())
    assert counted == counter.work, "every convolution belongs to one part"
    return {**found, "rest": Work(), "network": counter.work}


def row(name: str, seconds: float, work: Work, peaks: Peaks, batch: int) -> dict[str, Any]:
    """One part's numbers, for one picture of the batch."""
    return {
        "part": name,
        "median_ms": 1e3 * seconds / batch,
        "gflop": work.flop / batch / 1e9,
        "megabytes": work.moved / batch / 1e6,
        "least_ms": 1e3 * peaks.seconds(work) / batch,
        "bound_by": "operations" if work.flop / peaks.flop > work.moved / peaks.moved else "memory",
        "reached": peaks.seconds(work) / seconds,
    }


if __name__ == "__main__":
    main()
