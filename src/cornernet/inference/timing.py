"""How long each stage of a detector takes: the pipeline's own steps one by one, then the whole of it, overlapped."""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from cornernet.data.images import read_image
from cornernet.inference.detector import Detector
from cornernet.inference.geometry import Placement, View
from cornernet.inference.roofline import Work, batch_work, synchronize
from cornernet.inference.stream import Read, window_size

STAGES = ("reading", "preprocessing", "network", "decoding", "soft-NMS", "to the host")
"""The stages in their order; the last undoes the geometry and copies the boxes."""

WHOLE = "predict"
"""`Detector.predict` over many pictures: all stages, with reading beside the network."""

MAX_DET = 100  # what `Detector.predict` keeps of a picture unless asked otherwise

Source = Path | bytes


@dataclass(frozen=True)
class Batch:
    """Pictures of one canvas size, which go through the network at once.

    Attributes:
        sources: Where they are read from.
        placements: Where each lies on its canvas.
    """

    sources: tuple[Source, ...]
    placements: tuple[Placement, ...]


@dataclass(frozen=True)
class StageTime:
    """The time of one stage.

    Attributes:
        seconds: Seconds a picture, the mean of each round.
    """

    seconds: tuple[float, ...]

    @property
    def quartiles(self) -> tuple[float, float, float]:
        """First quartile, median and third quartile of the rounds."""
        if len(self.seconds) == 1:
            return (self.seconds[0],) * 3
        low, median, high = statistics.quantiles(self.seconds, n=4, method="inclusive")
        return low, median, high


def plan(detector: Detector, sources: Sequence[Source], batch: int) -> list[Batch]:
    """The sources in batches of one canvas size each, smallest canvas first; each is read once for its size.

    Raises:
        ImageError: When a picture cannot be read.
    """
    placed = []
    for source in sources:
        height, width, _ = read_image(source, max_pixels=detector.max_pixels).shape
        placed += [(placement, source) for placement in detector._pipeline.placements((height, width), [View()])]
    placed.sort(key=lambda pair: pair[0].canvas)
    batches = []
    for _, group in itertools.groupby(placed, key=lambda pair: pair[0].canvas):
        members = list(group)
        for start in range(0, len(members), batch):
            placements, names = zip(*members[start : start + batch], strict=True)
            batches.append(Batch(names, placements))
    return batches


def time_stages(
    detector: Detector, batches: Sequence[Batch], *, rounds: int, warmup: int, step: Callable[[], None] = lambda: None
) -> dict[str, StageTime]:
    """The time of each stage alone: the device is waited for before and after it, and pictures are read one by one.

    Args:
        detector: Whose stages.
        batches: What to look at in each round, from `plan`.
        rounds: How often.
        warmup: Rounds before that, not counted.
        step: Called after each round.
    """
    pictures = sum(len(batch.sources) for batch in batches)
    found: list[dict[str, float]] = []
    for _ in range(warmup + rounds):
        taken = dict.fromkeys(STAGES, 0.0)
        for batch in batches:
            _one_by_one(detector, batch, taken)
        found.append(taken)
        step()
    return {stage: StageTime(tuple(taken[stage] / pictures for taken in found[warmup:])) for stage in STAGES}


def time_whole(
    detector: Detector,
    sources: Sequence[Source],
    *,
    batch: int,
    workers: int,
    rounds: int,
    warmup: int,
    step: Callable[[], None] = lambda: None,
) -> StageTime:
    """The time of `Detector.stream`, which `predict` is made of, over the pictures again and again without a pause.

    It gives pictures in windows, so a round is as many windows as hold all pictures: with batches of more than one
    these may be more pictures than there are.

    Args:
        detector: Which.
        sources: What to look at, in this order.
        batch: Pictures that go through the network at once.
        workers: Threads that read ahead.
        rounds: How often.
        warmup: Rounds before that, not counted.
        step: Called after each round.
    """
    window = window_size(batch)
    pictures = math.ceil(len(sources) / window) * window
    repeated = itertools.islice(itertools.cycle(sources), (warmup + rounds) * pictures)
    found = detector.stream(repeated, max_det=MAX_DET, batch=batch, workers=workers)
    ends = [time.perf_counter()]
    for _ in range(warmup + rounds):
        for _ in itertools.islice(found, pictures):
            pass
        ends.append(time.perf_counter())
        step()
    seconds = [(end - start) / pictures for start, end in itertools.pairwise(ends)]
    return StageTime(tuple(seconds[warmup:]))


def stage_work(detector: Detector, batches: Sequence[Batch]) -> dict[str, Work]:
    """The work of each stage in one round, a lower bound: see `cornernet.inference.roofline`.

    Reading reads the file and writes the pixels; what decompressing takes is not counted.
    """
    total = dict.fromkeys(STAGES, Work())
    for batch in batches:
        files = sum(len(s) if isinstance(s, bytes) else s.stat().st_size for s in batch.sources)
        pixels = sum(3 * p.picture[0] * p.picture[1] for p in batch.placements)
        total["reading"] += Work(moved=files + pixels)
        works = batch_work(
            detector.record.architecture, batch.placements, detector.dtype, detector._pipeline.decoding.pairs
        )
        for stage, work in works.items():
            total[stage] += work
    return total


def made_up_picture(height: int, width: int, seed: int = 0) -> bytes:
    """A JPEG about as large as a photograph's of that size: colours that change slowly, and some noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (max(1, height // 32), max(1, width // 32), 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    noise = rng.integers(-8, 9, (height, width, 3), dtype=np.int16)
    good, data = cv2.imencode(".jpg", np.clip(smooth + noise, 0, 255).astype(np.uint8))
    assert good, "OpenCV encodes 8-bit pictures of any size that a JPEG can have"
    return data.tobytes()


def _one_by_one(detector: Detector, batch: Batch, taken: dict[str, float]) -> None:
    """Adds the seconds of each stage for one batch to `taken`."""
    with torch.inference_mode():
        stages = _run(detector, batch)
        synchronize(detector.device)
        start = time.perf_counter()
        for stage in stages:
            synchronize(detector.device)
            end = time.perf_counter()
            taken[stage] += end - start
            start = end


def _run(detector: Detector, batch: Batch) -> Iterator[str]:
    """Does what `Detector.predict` does with a batch, and names each stage when it is done."""
    pipeline = detector._pipeline
    reads = [Read(s, read_image(s, max_pixels=detector.max_pixels), None) for s in batch.sources]
    pictures = [read.picture for read in reads if read.picture is not None]
    yield "reading"
    placements = pipeline.placed(pictures, View())
    canvases = pipeline.canvases(pictures, placements)
    yield "preprocessing"
    maps = pipeline.maps(canvases)
    yield "network"
    pairs = pipeline.pairs(maps, placements)
    yield "decoding"
    kept = pipeline.kept(pairs, MAX_DET)
    yield "soft-NMS"
    detector._detections(pipeline.on_pictures(maps, pairs, kept, placements), reads, conf=0.0)
    yield "to the host"
