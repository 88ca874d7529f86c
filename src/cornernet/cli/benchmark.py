"""`cornernet benchmark`: how long a model takes on this machine, stage by stage."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cornernet.cli.command import DONE, Command
from cornernet.cli.options import DeviceOptions, require_from
from cornernet.cli.progress import progress
from cornernet.errors import ConfigError, ImageError

if TYPE_CHECKING:
    from cornernet.inference.detector import Detector
    from cornernet.inference.roofline import Peaks, Work
    from cornernet.inference.timing import Source, StageTime


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions(DeviceOptions):
    """Time a model on this machine: reading, preprocessing, network, decoding, soft-NMS, and the whole.

    Attributes:
        sources: Picture files, folders or patterns to time it on; a made-up picture where there are none.
        weights: A published model (see cornernet info), a checkpoint file, a folder, or a Hugging Face Hub repository.
        random: Instead of --weights, a named architecture with random weights, such as cornernet-hourglass104.
        size: Height and width of the made-up picture.
        rounds: How often everything is timed.
        warmup: Rounds before that, not counted.
        threads: CPU threads of PyTorch; its own choice by default.
        json: Write the numbers to this file, too.
    """

    sources: tuple[str, ...] = ()
    weights: str | None = None
    random: str | None = None
    size: tuple[int, ...] = (480, 640)
    rounds: int = 5
    warmup: int = 1
    threads: int | None = None
    json: Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.weights is None) == (self.random is None):
            came = "neither" if self.weights is None else "both"
            raise ConfigError(f"expected either --weights or --random, got {came}: give one of them")
        if len(self.size) != 2 or not all(1 <= side <= 65535 for side in self.size):
            shown = ",".join(map(str, self.size)) or "nothing"
            raise ConfigError(f"expected --size to be a height and a width from 1 to 65535, got {shown}")
        require_from("--rounds", self.rounds, 1)
        require_from("--warmup", self.warmup, 0)
        if self.threads is not None:
            require_from("--threads", self.threads, 1)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One stage's numbers, each for one picture.

    Attributes:
        stage: Its name.
        median_ms: Median of the rounds.
        q1_ms: First quartile.
        q3_ms: Third quartile.
        pictures_per_s: From the median.
        gflop: 10^9 operations counted.
        megabytes: 10^6 bytes moved at the least.
        least_ms: What the longer of the two takes at the device's peaks.
        reached: `least_ms` as a share of the median.
    """

    stage: str
    median_ms: float
    q1_ms: float
    q3_ms: float
    pictures_per_s: float
    gflop: float
    megabytes: float
    least_ms: float
    reached: float


def run(options: BenchmarkOptions) -> int:
    """Times, prints, writes, and returns the exit code."""
    import torch

    from cornernet.inference.machine import describe
    from cornernet.structures.files import write_atomic

    if options.threads is not None:
        torch.set_num_threads(options.threads)
    sources = find_pictures(options)
    detector = load(options)
    content = {**describe(detector.device), **asked_for(options, detector), **measure(detector, sources, options)}
    if options.json is not None:
        write_atomic(options.json, json.dumps(content, indent=2) + "\n")
    _print(content)
    return DONE


def find_pictures(options: BenchmarkOptions) -> list[Source]:
    """The picture files that were named, or a made-up picture; again and again until they fill a batch.

    Raises:
        ImageError: When what was named does not exist, or is no picture file.
    """
    from cornernet.cli.sources import find_sources
    from cornernet.inference.timing import made_up_picture

    found: list[Source] = []
    if options.sources:
        named = find_sources(options.sources)
        found = [source for source in named.pictures if isinstance(source, Path)]
        if strange := next((s for s in (*named.videos, *named.pictures) if s not in found), None):
            raise ImageError(f"{strange}: expected picture files, got a video or URL: name pictures on the disk")
    else:
        found = [made_up_picture(options.size[0], options.size[1])]
    return found * math.ceil(options.batch / len(found))


def load(options: BenchmarkOptions) -> Detector:
    """The detector to time."""
    from cornernet.inference.detector import Detector

    settings: dict[str, Any] = {
        "device": options.device,
        "dtype": options.dtype,
        "mode": options.mode,
        "max_pixels": options.max_pixels,
    }
    if options.random is not None:
        return random_detector(options.random, **settings)
    assert options.weights is not None, "the options are refused without either"
    return Detector.from_pretrained(options.weights, **settings, progress=sys.stderr.isatty())


def random_detector(architecture: str, **settings: Any) -> Detector:
    """A detector of a named architecture with random weights, always the same.

    All embeddings are equal and one class outweighs the others, so that soft-NMS has its most to do.

    Raises:
        ConfigError: On an unknown name.
    """
    import torch

    from cornernet.inference.detector import Detector
    from cornernet.models.build import build_model
    from cornernet.structures.classes import Classes
    from cornernet.weights.record import MMDETECTION, ModelRecord

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(architecture)
    state = model.heads[-1].state_dict()
    for corner in ("top_left", "bottom_right"):
        state[f"{corner}.embedding.out.weight"].zero_()
        state[f"{corner}.embedding.out.bias"].zero_()
        state[f"{corner}.heat.out.bias"][0] += 1
    classes = Classes.unnamed(model.config.num_classes)
    return Detector(
        model, ModelRecord(architecture=model.config, preprocessing=MMDETECTION, classes=classes), **settings
    )


def asked_for(options: BenchmarkOptions, detector: Detector) -> dict[str, Any]:
    """What was timed, for the record."""
    return {
        "weights": options.weights,
        "random": options.random,
        "architecture": asdict(detector.record.architecture),
        "dtype": options.dtype,
        "mode": detector.mode,
        **{name: getattr(options, name) for name in ("batch", "workers", "rounds", "warmup")},
    }


def measure(detector: Detector, sources: list[Source], options: BenchmarkOptions) -> dict[str, Any]:
    """Times, peaks of memory, and rooflines."""
    import torch

    from cornernet.inference.machine import peak_device_bytes, peak_process_bytes
    from cornernet.inference.roofline import Peaks, measure_copy, measure_flop
    from cornernet.inference.timing import WHOLE, plan, stage_work, time_stages, time_whole

    device, dtype, cpu = detector.device, detector.dtype, torch.device("cpu")
    batches = plan(detector, sources, options.batch)
    # A graph is recorded when its canvas comes the second time: two rounds go by before.
    warmup = options.warmup if detector.mode in ("eager", "winograd") else max(2, options.warmup)
    repeats = {"rounds": options.rounds, "warmup": warmup}
    with progress("rounds", 2 * (options.rounds + warmup)) as step:
        whole = time_whole(detector, sources, batch=options.batch, workers=options.workers, **repeats, step=step)
        memory = {"process": peak_process_bytes(), "device": peak_device_bytes(device)}  # before peaks need some
        before = measure_flop(device, dtype)
        times = {**time_stages(detector, batches, **repeats, step=step), WHOLE: whole}
    # Measured again, since what else a machine does comes and goes.
    peaks = Peaks(flop=max(before, measure_flop(device, dtype)), moved=measure_copy(device))
    host = peaks if device == cpu else Peaks(flop=math.inf, moved=measure_copy(cpu))
    return {
        "pictures": len(sources),
        "sizes": sorted({p.picture for b in batches for p in b.placements}),
        "canvases": sorted({p.canvas for b in batches for p in b.placements}),
        "peak_memory_bytes": memory,
        "peaks": {"flop_per_s": peaks.flop, "bytes_per_s": peaks.moved, "host_bytes_per_s": host.moved},
        "stages": [asdict(row) for row in rows(times, stage_work(detector, batches), len(sources), peaks, host)],
    }


def rows(times: dict[str, StageTime], works: dict[str, Work], pictures: int, peaks: Peaks, host: Peaks) -> list[Row]:
    """A row for each stage, and for the whole, whose least time is its longest stage's, since stages overlap.

    Args:
        times: Of each stage, and of the whole last.
        works: Of each stage, for all pictures.
        pictures: How many these are.
        peaks: Of the device.
        host: Of the CPU, which reads.
    """
    from cornernet.inference.roofline import Work
    from cornernet.inference.timing import WHOLE

    least = {stage: (host if stage == "reading" else peaks).seconds(work) / pictures for stage, work in works.items()}
    works = {**works, WHOLE: sum(works.values(), Work())}
    least[WHOLE] = max(least.values())
    found = []
    for stage, time in times.items():
        low, median, high = time.quartiles
        found.append(
            Row(
                stage=stage,
                median_ms=1e3 * median,
                q1_ms=1e3 * low,
                q3_ms=1e3 * high,
                pictures_per_s=1 / median,
                gflop=works[stage].flop / pictures / 1e9,
                megabytes=works[stage].moved / pictures / 1e6,
                least_ms=1e3 * least[stage],
                reached=least[stage] / median,
            )
        )
    return found


def _print(content: dict[str, Any]) -> None:
    from rich.table import Table

    from cornernet.cli.tables import print_table

    stages = content["stages"]
    total = sum(row["median_ms"] for row in stages[:-1])
    table = Table(title="one picture's time, stage by stage")
    for header in ("stage", "median ms", "quartiles", "share", "pictures/s", "GFLOP", "MB", "least ms", "reached"):
        table.add_column(header, justify="left" if header == "stage" else "right")
    for row in stages:
        if row is stages[-1]:
            table.add_section()
        table.add_row(
            row["stage"],
            f"{row['median_ms']:.2f}",
            f"{row['q1_ms']:.2f} - {row['q3_ms']:.2f}",
            f"{row['median_ms'] / total:.1%}",
            f"{row['pictures_per_s']:.1f}",
            f"{row['gflop']:.1f}" if row["gflop"] else "",
            f"{row['megabytes']:.2f}",
            f"{row['least_ms']:.3f}",
            f"{row['reached']:.1%}",
        )
    print_table(table)
    for name, value in _facts(content).items():
        print(f"{name:12}  {value}")


def _facts(content: dict[str, Any]) -> dict[str, str]:
    """What was timed and where, in words."""
    sizes = [f"{height} x {width}" for height, width in content["sizes"]]
    shown = sizes[0] if len(sizes) == 1 else f"{len(sizes)} sizes, {sizes[0]} to {sizes[-1]}"
    peaks = content["peaks"]
    memory = {name: f"{value / 2**20:.0f} MiB" for name, value in content["peak_memory_bytes"].items() if value}
    return {
        "model": content["weights"] or f"{content['random']} with random weights",
        "pictures": f"{content['pictures']} ({shown}), {content['batch']} at once",
        "network": f"{content['dtype']}, mode {content['mode']}",
        "device": f"{content['device']}, {content['threads']} CPU threads",
        "peaks": f"{peaks['flop_per_s'] / 1e12:.2f} TFLOP/s, {peaks['bytes_per_s'] / 1e9:.1f} GB/s, measured just now",
        "peak memory": ", ".join(f"{name} {value}" for name, value in memory.items()) or "not known on this system",
        "versions": f"cornernet {content['cornernet']}, PyTorch {content['torch']}, Python {content['python']}",
        "rounds": f"{content['rounds']} after {content['warmup']} to warm up, {content['date']}",
    }


COMMAND = Command(options=BenchmarkOptions, run=run, positionals=("sources",))
