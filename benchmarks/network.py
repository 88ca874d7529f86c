"""The network as it is built against its prepared forms: `python -m benchmarks.network [--compile] [--json PATH]`.

Each form adds one step to the one before it. All take turns in each round, so that a busy machine slows them alike; the
ratio is the median of the rounds' own. Weights are random; the maps of every form are held against the plain one's.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.report import save, show
from cornernet.inference.cudnn import full_precision
from cornernet.inference.graphs import GraphedNetwork
from cornernet.inference.machine import describe
from cornernet.inference.prepare import choose_device, choose_dtype, prepare, runner
from cornernet.inference.roofline import synchronize
from cornernet.models.build import build_model
from cornernet.models.folded import fold
from cornernet.structures.maps import CornerMaps

PLAIN = "plain: all heads, contiguous"
COLUMNS = {
    "form": "{form}",
    "median ms": "{median_ms:.1f}",
    "quartiles": "{q1_ms:.1f} - {q3_ms:.1f}",
    "pictures/s": "{pictures_per_s:.2f}",
    "times faster": "{times_faster:.2f}",
    "largest difference": "{difference:.1e}",
}
Forms = dict[str, Callable[[], CornerMaps]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="cornernet-hourglass104")
    parser.add_argument("--size", type=int, nargs=2, default=(511, 511), help="height and width of the network's input")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--device")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--compile", action="store_true", help="torch.compile as well, which takes minutes to begin")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="where to write the result")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    dtype = choose_dtype(options.dtype, device)
    forms = make_forms(options, device, dtype)
    with torch.inference_mode(), full_precision(device, dtype):
        differences = compare(forms)
        times = in_turn(forms, options.rounds, device)
    rows = [row(name, times, options.batch) | {"difference": differences[name]} for name in forms]
    setting = {name: getattr(options, name) for name in ("architecture", "size", "batch", "dtype", "rounds")}
    title = f"{options.architecture}, {options.batch} x {options.size[0]} x {options.size[1]}, {options.dtype}"
    show(rows, COLUMNS, title)
    save(options.json, describe(device) | setting | {"forms": rows})


def make_forms(options: argparse.Namespace, device: torch.device, dtype: torch.dtype) -> Forms:
    """Name each form of the network; they share memory where they can."""
    torch.manual_seed(0)
    plain = build_model(options.architecture).eval().requires_grad_(False).to(device, dtype)
    folded = copy.deepcopy(plain)
    folded.drop_auxiliary_heads()
    fold(folded)
    prepared = prepare(copy.deepcopy(plain), device, dtype)
    images = torch.randn(options.batch, 3, *options.size).to(device, dtype)
    rows_of_pixels = images.contiguous(memory_format=torch.channels_last)
    forms: Forms = {
        PLAIN: lambda: plain.all_stacks(images)[-1],
        "+ last head only": lambda: plain(images),
        "+ batch norms folded": lambda: folded(images),
        "+ channels-last, as Detector prepares it": lambda: prepared(rows_of_pixels),
    }
    if device.type == "cpu" and dtype is torch.float32:
        transformed = runner(copy.deepcopy(prepared), "winograd", device)
        forms["+ Winograd's algorithm, as Detector runs it on a CPU"] = lambda: transformed(rows_of_pixels)
    if options.compile:
        compiled: Callable[[Tensor], CornerMaps] = torch.compile(prepared, dynamic=False)
        forms["channels-last and torch.compile"] = lambda: compiled(rows_of_pixels)
    if device.type == "cuda":
        graphed = GraphedNetwork(prepared)
        forms["channels-last as a CUDA graph, as Detector runs it"] = lambda: graphed(rows_of_pixels)
        if options.compile:
            both = GraphedNetwork(compiled)
            forms["compiled, as a CUDA graph"] = lambda: both(rows_of_pixels)
    return forms


def compare(forms: Forms) -> dict[str, float]:
    """The largest difference of any map from the plain form's, as a share of that map's range; also warms up."""
    expected = forms[PLAIN]().float()

    def difference(found: Tensor, wanted: Tensor) -> float:
        return float((found - wanted).abs().max() / (wanted.max() - wanted.min()))

    for form in forms.values():
        form()  # a graph is recorded when its canvas comes again
    found = {name: form().float() for name, form in forms.items()}
    return {
        name: max(difference(getattr(maps, field), wanted) for field, wanted in vars(expected).items())
        for name, maps in found.items()
    }


def in_turn(forms: Forms, rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds of each form in each round."""
    times: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(rounds):
        for name, form in forms.items():
            synchronize(device)
            start = time.perf_counter()
            form()
            synchronize(device)
            times[name].append(time.perf_counter() - start)
    return times


def row(name: str, times: dict[str, list[float]], batch: int) -> dict[str, object]:
    """One form's numbers."""
    low, median, high = statistics.quantiles(times[name], n=4, method="inclusive")
    return {
        "form": name,
        "median_ms": 1e3 * median,
        "q1_ms": 1e3 * low,
        "q3_ms": 1e3 * high,
        "pictures_per_s": batch / median,
        "times_faster": statistics.median(a / b for a, b in zip(times[PLAIN], times[name], strict=True)),
    }


if __name__ == "__main__":
    main()
