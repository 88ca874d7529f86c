"""Timing with a clock that only the stages move: what is counted where, and that the stages are those of `predict`."""

import itertools

import cv2
import numpy as np
import pytest
import torch

from cornernet.data.images import read_image
from cornernet.errors import ImageError
from cornernet.inference import timing
from cornernet.inference.detector import Detector
from cornernet.inference.pipeline import Pipeline
from cornernet.inference.stream import window_size
from cornernet.inference.timing import STAGES, StageTime, made_up_picture, plan, stage_work, time_stages, time_whole
from cornernet.models.build import build_model
from cornernet.models.config import CornerNetConfig
from cornernet.structures.classes import Classes
from cornernet.weights.record import MMDETECTION, ModelRecord

NARROW = CornerNetConfig(
    num_classes=2, channels=(8, 8), blocks=(1, 1), stem_channels=4, feature_channels=8, pool_channels=4, head_channels=8
)
RECORD = ModelRecord(architecture=NARROW, preprocessing=MMDETECTION, classes=Classes(("cat", "dog"), (17, 18)))


@pytest.fixture(scope="module")
def detector():
    torch.manual_seed(0)
    return Detector(build_model(NARROW), RECORD, device="cpu")


class Clock:
    """Seconds that pass only when a stage says so."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """Each stage takes its own time, in seconds: a different power of two for each, times the pictures it is given."""
    clock = Clock()
    monkeypatch.setattr(timing, "time", clock)

    def slow(owner, name, seconds, pictures):
        plain = getattr(owner, name)

        def run(*args, **kwargs):
            clock.now += seconds * pictures(*args, **kwargs)
            return plain(*args, **kwargs)

        monkeypatch.setattr(owner, name, run)

    slow(timing, "read_image", 1, lambda *_, **__: 1)
    slow(Pipeline, "canvases", 2, lambda _, pictures, __: len(pictures))
    slow(Pipeline, "maps", 4, lambda _, canvases: len(canvases))
    slow(Pipeline, "pairs", 8, lambda _, maps, __: len(maps.tl_heat))
    slow(Pipeline, "kept", 16, lambda _, pairs, __: len(pairs.scores))
    slow(Detector, "_detections", 32, lambda _, result, reads, conf: len(reads))
    return clock


def test_each_stage_gets_its_own_time(detector, clock):
    sources = [made_up_picture(60, 90), made_up_picture(150, 40), made_up_picture(61, 95)]
    batches = plan(detector, sources, 2)
    steps = []
    times = time_stages(detector, batches, rounds=3, warmup=2, step=lambda: steps.append(clock.now))
    assert list(times) == list(STAGES)
    assert [times[stage].seconds for stage in STAGES] == [(s,) * 3 for s in (1, 2, 4, 8, 16, 32)]
    assert len(steps) == 5
    assert np.diff(steps) == pytest.approx([63 * 3] * 4)


def test_the_whole_takes_the_stages_but_reading(detector, clock):
    """Reading goes on beside it: its thread reads through another door than the one that is slow here."""
    sources = [made_up_picture(60, 90), made_up_picture(150, 40), made_up_picture(61, 95)]
    steps = []
    whole = time_whole(detector, sources, batch=1, workers=1, rounds=2, warmup=1, step=lambda: steps.append(clock.now))
    assert whole.seconds == (62, 62)
    assert steps == [62 * 3, 62 * 6, 62 * 9]


def test_rounds_of_the_whole_are_whole_windows(detector, clock):
    """Five pictures in batches of two come in windows of eight: a round is one of these."""
    assert window_size(2) == 8
    taken = []
    sources = [made_up_picture(60, 90, seed=i) for i in range(5)]
    whole = time_whole(detector, sources, batch=2, workers=1, rounds=2, warmup=0, step=lambda: taken.append(clock.now))
    assert whole.seconds == (62, 62)
    assert taken == [62 * 8, 62 * 16]


def test_the_stages_are_those_of_predict(detector, monkeypatch):
    found = []
    plain = Detector._detections
    monkeypatch.setattr(Detector, "_detections", lambda *args, **kw: found.append(plain(*args, **kw)) or found[-1])
    source = made_up_picture(60, 90)
    time_stages(detector, plan(detector, [source], 1), rounds=1, warmup=0)
    ((staged,),) = found
    predicted = detector.predict(source)
    assert len(predicted) == 100
    for name in ("boxes", "scores", "labels"):
        assert np.array_equal(getattr(staged, name), getattr(predicted, name)), name
    assert staged.image_size == predicted.image_size == (60, 90)


def test_batches_hold_one_canvas_size_each(detector, tmp_path):
    sizes = [(60, 90), (150, 40), (61, 95), (60, 90), (1, 1), (150, 44)]
    sources = [tmp_path / f"{i}.png" for i in range(len(sizes))]
    for path, size in zip(sources, sizes, strict=True):
        cv2.imwrite(str(path), np.zeros((*size, 3), np.uint8))
    batches = plan(detector, sources, 3)
    assert [len(b.sources) for b in batches] == [3, 1, 2]
    assert [{p.canvas for p in b.placements} for b in batches] == [{(127, 127)}, {(127, 127)}, {(255, 127)}]
    assert sorted(itertools.chain.from_iterable(b.sources for b in batches)) == sources
    for batch in batches:
        assert [p.picture for p in batch.placements] == [sizes[sources.index(s)] for s in batch.sources]
    assert plan(detector, [], 3) == []


def test_a_picture_that_cannot_be_read_is_named(detector, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_text("not a picture")
    with pytest.raises(ImageError, match=r"bad\.jpg"):
        plan(detector, [bad], 1)


def test_quartiles():
    assert StageTime((3.0,)).quartiles == (3.0, 3.0, 3.0)
    assert StageTime((1.0, 2.0)).quartiles == (1.25, 1.5, 1.75)
    assert StageTime((5.0, 1.0, 3.0, 2.0, 4.0)).quartiles == (2.0, 3.0, 4.0)


def test_work_of_a_round(detector):
    """Counted by hand from the sizes, but for the network, which has a test of its own."""
    source = made_up_picture(60, 90)
    one = stage_work(detector, plan(detector, [source], 1))
    assert list(one) == list(STAGES)
    cells = 32 * 32  # of a canvas of 127 x 127
    assert one["reading"].moved == len(source) + 60 * 90 * 3
    assert one["preprocessing"].moved == 60 * 90 * 3 + 127 * 127 * 3 * 4
    assert one["decoding"].moved == 2 * 2 * cells * 4
    assert one["soft-NMS"].moved == 1000 * 28
    assert one["to the host"].moved == 2 * cells * 4
    assert [stage for stage in STAGES if one[stage].flop] == ["network"]
    three = stage_work(detector, plan(detector, [source] * 3, 1))
    for stage in STAGES:
        assert three[stage].flop == 3 * one[stage].flop
        assert three[stage].moved == 3 * one[stage].moved
    together = stage_work(detector, plan(detector, [source] * 3, 3))
    assert together["network"].flop == three["network"].flop
    assert together["network"].moved < three["network"].moved  # the weights are read once


def test_made_up_pictures_are_pictures():
    for size in ((1, 1), (31, 65), (480, 640)):
        assert read_image(made_up_picture(*size)).shape == (*size, 3)
    assert made_up_picture(50, 70) == made_up_picture(50, 70) != made_up_picture(50, 70, seed=1)
    assert 0.1 < len(made_up_picture(480, 640)) / (480 * 640) < 0.6  # bytes a pixel; photographs have some 0.2 to 0.6
