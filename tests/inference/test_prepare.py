"""How a network is readied and run: choices, and every way held against the plain network."""

import copy

import numpy as np
import pytest
import torch

from cornernet.errors import ConfigError
from cornernet.inference.detector import Detector
from cornernet.inference.prepare import choose_mode, prepare, runner
from cornernet.models.build import build_model
from cornernet.models.config import CornerNetConfig
from cornernet.models.winograd_conv import WinogradConv
from cornernet.structures.classes import Classes
from cornernet.weights.record import MMDETECTION, ModelRecord

CPU = torch.device("cpu")
WIDE = CornerNetConfig(
    num_classes=2, channels=(128, 128), blocks=(1, 1), stem_channels=16, feature_channels=128, pool_channels=128,
    head_channels=128,
)  # fmt: skip


@pytest.fixture(scope="module")
def wide():
    """A network wide enough for Winograd, with scores that differ from cell to cell."""
    torch.manual_seed(0)
    model = build_model(WIDE).eval().requires_grad_(False)
    for corner in (model.heads[-1].top_left, model.heads[-1].bottom_right):
        corner.heat.out.weight.mul_(20)
    return model


def test_modes(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    cuda, single, half = torch.device("cuda"), torch.float32, torch.bfloat16
    assert choose_mode(None, CPU, single) == "winograd"
    assert choose_mode(None, CPU, half) == "eager"
    assert choose_mode(None, cuda, single) == choose_mode(None, cuda, half) == "graph"
    assert choose_mode(None, torch.device("mps"), single) == "eager"
    assert choose_mode("compile", CPU, single) == "compile"
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert choose_mode(None, CPU, single) == "eager"
    assert choose_mode("winograd", CPU, single) == "winograd"
    assert choose_mode("eager", CPU, single) == choose_mode("eager", cuda, single) == "eager"


@pytest.mark.parametrize(
    ("mode", "device", "dtype", "message"),
    [
        ("graph", "cpu", torch.float32, "expected a CUDA device for mode graph, got cpu"),
        ("winograd", "cuda", torch.float32, "expected float32 on the CPU for mode winograd, got float32 on cuda"),
        ("winograd", "cpu", torch.bfloat16, "expected float32 on the CPU for mode winograd, got bfloat16 on cpu"),
        ("fast", "cpu", torch.float32, "expected a mode out of eager, winograd, graph, compile, got 'fast'"),
    ],
)
def test_modes_that_cannot_be_had(mode, device, dtype, message):
    with pytest.raises(ConfigError, match=message):
        choose_mode(mode, torch.device(device), dtype)


@pytest.mark.parametrize("mode", ["eager", "winograd"])
@pytest.mark.parametrize("size", [(255, 255), (255, 383), (201, 333), (63, 127)])
def test_preparing_changes_no_map(wide, mode, size):
    network = runner(prepare(copy.deepcopy(wide), CPU, torch.float32), mode, CPU)
    assert any(isinstance(m, WinogradConv) for m in network.modules()) is (mode == "winograd")
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = wide(images)
        found = network(images)
    for name, wanted in vars(expected).items():
        assert (getattr(found, name) - wanted).abs().max() <= 1e-5 * (wanted.max() - wanted.min()), name
    assert len(wide.heads) == 2


def test_winograd_gives_the_boxes_of_the_direct_form(wide):
    record = ModelRecord(architecture=WIDE, preprocessing=MMDETECTION, classes=Classes(("cat", "dog"), (17, 18)))
    picture = np.random.default_rng(0).integers(0, 256, (250, 250, 3), dtype=np.uint8)
    plain, ours = (
        Detector(copy.deepcopy(wide), record, device="cpu", mode=mode).predict(picture, tta=True)
        for mode in ("eager", "winograd")
    )
    assert len(plain) == len(ours) == 100
    assert np.allclose(plain.scores, ours.scores, atol=1e-5)
    assert np.abs(plain.boxes - ours.boxes).max() < 1e-2
