"""From maps to boxes: decoding and soft-NMS at 80 classes on a 511 x 767 canvas, against plain forms in the same run.

python -m benchmarks.postprocess [--device cuda] [--json PATH]

Plain decoding takes the sigmoid of every cell, `max_pool2d` and one top-k over all cells; plain soft-NMS is the form
for any device, and on a GPU there is no other.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.report import save
from cornernet.corners.decode import decode
from cornernet.corners.peaks import Peaks
from cornernet.inference.machine import describe
from cornernet.ops.soft_nms import SoftNMSConfig, soft_nms
from cornernet.ops.soft_nms.portable import soft_nms_portable
from cornernet.structures.maps import CornerMaps

CLASSES, CELLS, CANVAS, PAIRS = 80, (128, 192), (511, 767), 1000

Case = tuple[dict[str, object], Callable[[], object], Callable[[], object]]


def main() -> None:
    """Times every case with one thread and two, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, nargs="+", default=(1, 2), help="how many CPU threads to try")
    parser.add_argument("--batches", type=int, nargs="+", default=(1, 8))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, help="where to write the result")
    options = parser.parse_args()
    device = torch.device(options.device)
    rows = []
    for threads in options.threads if device.type == "cpu" else (torch.get_num_threads(),):
        torch.set_num_threads(threads)
        for batch in options.batches:
            for names, plain, ours in (*decode_cases(batch, device), *soft_nms_cases(batch, device)):
                before, now = in_turn(plain, ours, options.rounds, device)
                speedup = round(statistics.median(before) / statistics.median(now), 2)
                rows.append(
                    {**names, "threads": threads, "plain": spread(before), "ours": spread(now), "ratio": speedup}
                )
    show(rows, f"ms a batch on {device}: median (fastest to slowest) of {options.rounds}")
    save(
        options.json,
        {**describe(device), "unit": "ms a batch", "rounds": options.rounds, "rows": rows},
    )


def decode_cases(batch: int, device: torch.device) -> Iterator[Case]:
    """Decoding of contiguous and of channels-last maps."""
    for layout in (torch.contiguous_format, torch.channels_last):
        maps = made_maps(batch, device, layout)
        names = {"step": "decode", "batch": batch, "input": str(layout).removeprefix("torch.").removesuffix("_format")}

        def ours(maps: CornerMaps = maps) -> object:
            return decode(maps, CANVAS)

        def plain(maps: CornerMaps = maps) -> object:
            with patch("cornernet.corners.decode.top_peaks", plain_peaks):
                return decode(maps, CANVAS)

        yield names, plain, ours


def soft_nms_cases(batch: int, device: torch.device) -> Iterator[Case]:
    """1000 pairs of many classes and, the most work, of one."""
    for classes in (CLASSES, 1):
        pairs = made_pairs(batch, classes, device)
        names = {"step": "soft-NMS", "batch": batch, "input": f"{PAIRS} pairs, {classes} class{'es' * (classes > 1)}"}

        def ours(pairs: tuple[Tensor, Tensor, Tensor] = pairs) -> object:
            return soft_nms(*pairs)

        def plain(pairs: tuple[Tensor, Tensor, Tensor] = pairs) -> object:
            return soft_nms_portable(*pairs, SoftNMSConfig(), 100)

        yield names, plain, ours


def made_maps(batch: int, device: torch.device, layout: torch.memory_format) -> CornerMaps:
    """Random maps whose heat has peaks everywhere, as a network's has."""
    generator = torch.Generator().manual_seed(0)

    def made(channels: int, spread: float, centre: float) -> Tensor:
        values = torch.randn(batch, channels, *CELLS, generator=generator) * spread + centre
        return values.to(device, memory_format=layout)

    heats, embeddings, offsets = (CLASSES, 1.0, -4.0), (1, 0.2, 0.0), (2, 0.3, 0.5)
    return CornerMaps(*(made(*kind) for kind in (heats, heats, embeddings, embeddings, offsets, offsets)))


def made_pairs(batch: int, classes: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Random boxes, scores and labels."""
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(batch, PAIRS, 2, generator=generator) * 500
    boxes = torch.cat([corner, corner + torch.rand(batch, PAIRS, 2, generator=generator) * 200], -1)
    scores = torch.rand(batch, PAIRS, generator=generator)
    labels = torch.randint(0, classes, (batch, PAIRS), generator=generator)
    return boxes.to(device), scores.to(device), labels.to(device)


def plain_peaks(heat: Tensor, k: int, window: int) -> Peaks:
    """What `top_peaks` gives, by the shortest way to write it."""
    heat = heat.sigmoid()
    peaks = heat * (heat == torch.nn.functional.max_pool2d(heat, window, 1, window // 2))
    values, index = peaks.flatten(1).topk(k)
    height, width = heat.shape[2:]
    cell = index % (height * width)
    return Peaks(values.logit(), index // (height * width), cell // width, cell % width)


def in_turn(
    plain: Callable[[], object], ours: Callable[[], object], rounds: int, device: torch.device
) -> tuple[list[float], list[float]]:
    """Milliseconds of both, taken in turn so that a busy machine slows both alike; the first round is not counted."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 1):
        for function, taken in zip((plain, ours), times, strict=True):
            start = time.perf_counter()
            function()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            taken.append((time.perf_counter() - start) * 1e3)
    return times[0][1:], times[1][1:]


def spread(times: list[float]) -> dict[str, float]:
    """Median and range."""
    return {
        "median": round(statistics.median(times), 3),
        "fastest": round(min(times), 3),
        "slowest": round(max(times), 3),
    }


def show(rows: list[dict[str, object]], title: str) -> None:
    """Prints the table."""
    table = Table(title=title)
    for name in rows[0]:
        table.add_column(name, justify="left" if name in ("step", "input") else "right")
    for row in rows:
        table.add_row(
            *(
                f"{v['median']:.2f} ({v['fastest']:.2f} to {v['slowest']:.2f})" if isinstance(v, dict) else str(v)
                for v in row.values()
            )
        )
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
