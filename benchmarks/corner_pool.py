"""Corner pooling against `clone` and `torch.cummax`: `python -m benchmarks.corner_pool [--json PATH]`.

All contestants of a layout and direction take turns in each round, so that what else the machine does falls on all of
them alike. Times are medians with the middle half's width; ratios are to `clone` of the same tensor in the same rounds.
Where the sum of two directions is an operator of its own, it is timed against two poolings and an addition.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.report import save
from cornernet.inference.machine import describe
from cornernet.ops.corner_pool import Direction, corner_pool, corner_pool_sum, operators, portable

DIRECTIONS: tuple[Direction, ...] = ("top", "left", "bottom", "right")
LAYOUTS = {"channels-last": torch.channels_last, "contiguous": torch.contiguous_format}
CORNERS: tuple[tuple[Direction, Direction], ...] = (("top", "left"), ("bottom", "right"))
# Maps read and written; a clone's are two. Backward passes are of two directions, four maps each; the sum pools again.
SUM_PASSES = {"sum forward": 5, "composed sum forward": 7, "sum both": 5 + 4 + 8, "composed sum both": 7 + 8}
BACKENDS = ("corner_pool", "portable", "cummax")
Task = Callable[[], object]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timing:
    """One task's time: the median, the width of the middle half, and the median as a multiple of `clone`'s."""

    layout: str
    direction: str
    task: str
    median_ms: float
    spread_ms: float
    clones: float


def cummax(x: Tensor, direction: Direction) -> Tensor:
    """The usual way to write corner pooling, differentiable."""
    axis = -2 if direction in ("top", "bottom") else -1
    if direction in ("top", "left"):
        return x.flip(axis).cummax(axis).values.flip(axis)
    return x.cummax(axis).values


def tasks(x: Tensor, grad: Tensor, direction: Direction) -> dict[str, Task]:
    """Name each thing to time; the portable form under the operator's rules has its own backward as well."""
    leaf = x.detach().requires_grad_()
    pooled = corner_pool(x, direction)

    def with_backward(pool: Callable[[Tensor, Direction], Tensor]) -> Task:
        return lambda: torch.autograd.grad(pool(leaf, direction), leaf, grad)

    def portable_both() -> None:
        portable.forward(x, direction)
        portable.backward(grad, x, pooled, direction)

    return {
        "clone": x.clone,
        "corner_pool forward": lambda: corner_pool(x, direction),
        "corner_pool both": with_backward(corner_pool),
        "portable forward": lambda: portable.forward(x, direction),
        "portable both": portable_both,
        "cummax forward": lambda: cummax(x, direction),
        "cummax both": with_backward(cummax),
    }


def sum_tasks(first: Tensor, second: Tensor, grad: Tensor, directions: tuple[Direction, Direction]) -> dict[str, Task]:
    """Name each thing to time of a sum of two directions."""
    leaves = [x.detach().requires_grad_() for x in (first, second)]

    def composed(first: Tensor, second: Tensor) -> Tensor:
        return corner_pool(first, directions[0]) + corner_pool(second, directions[1])

    def at_once(first: Tensor, second: Tensor) -> Tensor:
        return corner_pool_sum(first, second, directions)

    return {
        "clone": first.clone,
        "sum forward": lambda: at_once(first, second),
        "composed sum forward": lambda: composed(first, second),
        "sum both": lambda: torch.autograd.grad(at_once(*leaves), leaves, grad),
        "composed sum both": lambda: torch.autograd.grad(composed(*leaves), leaves, grad),
    }


def measure(named: dict[str, Task], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Run every task once a round and return its times in milliseconds."""
    times: dict[str, list[float]] = {name: [] for name in named}
    for warm in range(-2, rounds):
        for name, task in named.items():
            _wait(device)
            start = time.perf_counter()
            task()
            _wait(device)
            if warm >= 0:
                times[name].append((time.perf_counter() - start) * 1e3)
    return times


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def timings(args: argparse.Namespace) -> list[Timing]:
    """Measure every task in every layout and direction, and the sums where they are an operator of their own."""
    device, found = torch.device(args.device), []
    for layout, memory_format in LAYOUTS.items():
        x, other = (
            torch.randn(args.shape, device=device, dtype=getattr(torch, args.dtype))
            .relu()
            .contiguous(memory_format=memory_format)
            for _ in range(2)
        )
        named = {direction: tasks(x, torch.randn_like(x), direction) for direction in DIRECTIONS}
        if device.type in operators.SUMMED_AT_ONCE:
            named |= {" + ".join(pair): sum_tasks(x, other, torch.randn_like(x), pair) for pair in CORNERS}
        for direction, group in named.items():
            times = measure(group, args.rounds, device)
            clone = statistics.median(times["clone"])
            for name, taken in times.items():
                low, median, high = statistics.quantiles(taken, n=4)
                found.append(
                    Timing(
                        layout=layout,
                        direction=direction,
                        task=name,
                        median_ms=median,
                        spread_ms=high - low,
                        clones=median / clone,
                    )
                )
    return found


def table(found: list[Timing], title: str) -> Table:
    """Lay out the ratios to `clone`: a line for each layout and direction, and the median of a layout's four."""
    names = [f"{backend} {part}" for backend in BACKENDS for part in ("forward", "both")]
    shown = Table("layout", "direction", "clone, ms", *names, title=title)
    for layout in LAYOUTS:
        for direction in DIRECTIONS:
            line = {t.task: t for t in found if (t.layout, t.direction) == (layout, direction)}
            clone = f"{line['clone'].median_ms:.2f} ± {line['clone'].spread_ms:.2f}"
            shown.add_row(layout, direction, clone, *(f"{line[name].clones:.1f}" for name in names))
        medians = [statistics.median(t.clones for t in found if (t.layout, t.task) == (layout, n)) for n in names]
        shown.add_row(layout, "median", "", *(f"{m:.1f}" for m in medians), style="bold", end_section=True)
    return shown


def sums_table(sums: list[Timing]) -> Table:
    """Lay out the sums' ratios to `clone`, each with the share of its bandwidth that is reached."""
    shown = Table(
        "layout", "directions", *SUM_PASSES, title="sums of two directions, in clones (of a clone's bandwidth)"
    )
    for layout, directions in dict.fromkeys((t.layout, t.direction) for t in sums):
        line = {t.task: t.clones for t in sums if (t.layout, t.direction) == (layout, directions)}
        cells = (f"{line[name]:.2f} ({passes / 2 / line[name]:.0%})" for name, passes in SUM_PASSES.items())
        shown.add_row(layout, directions, *cells)
    return shown


def main() -> None:
    """Measure, print the table, and write the JSON where it was asked for."""
    parser = argparse.ArgumentParser(description="Corner pooling against clone and torch.cummax.")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--shape", type=int, nargs=4, default=(1, 128, 128, 128), metavar=("N", "C", "H", "W"))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    found = timings(args)
    title = f"corner pooling of {'x'.join(map(str, args.shape))} {args.dtype} on {args.device}, in clones"
    Console(width=140).print(table(found, title))
    if sums := [t for t in found if t.task in SUM_PASSES]:
        Console(width=140).print(sums_table(sums))
    settings = {"shape": list(args.shape), "dtype": args.dtype, "rounds": args.rounds}
    save(
        args.json, describe(torch.device(args.device)) | settings | {"timings": [dataclasses.asdict(t) for t in found]}
    )


if __name__ == "__main__":
    main()
