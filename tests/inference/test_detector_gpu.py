"""The detector on a GPU: every way to run it gives the CPU's boxes."""

import numpy as np
import pytest
import torch

from cornernet.inference.detector import Detector
from cornernet.models.build import build_model
from cornernet.models.config import CornerNetConfig
from cornernet.structures.classes import Classes
from cornernet.weights.record import MMDETECTION, ModelRecord

pytestmark = pytest.mark.gpu

SMALL = CornerNetConfig(
    num_classes=2, channels=(32, 48), blocks=(1, 1), stem_channels=16, feature_channels=32, pool_channels=16,
    head_channels=32,
)  # fmt: skip
RECORD = ModelRecord(architecture=SMALL, preprocessing=MMDETECTION, classes=Classes(("cat", "dog"), (17, 18)))


def detector(**options):
    torch.manual_seed(0)
    model = build_model(SMALL)
    for corner in (model.heads[-1].top_left, model.heads[-1].bottom_right):
        corner.heat.out.weight.data.mul_(20)  # scores that differ from cell to cell
    return Detector(model, RECORD, **options)


def pictures():
    rng = np.random.default_rng(0)
    sizes = [(60, 90), (200, 150), (60, 90), (200, 150), (60, 90), (61, 100), (200, 151)] * 2
    return [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for height, width in sizes]


@pytest.fixture(scope="module")
def expected():
    return detector(device="cpu").predict(pictures())


@pytest.mark.parametrize("mode", ["eager", "graph", "compile"])
@pytest.mark.parametrize("batch", [1, 2])
def test_boxes_are_the_cpus(expected, mode, batch):
    on_gpu = detector(device="cuda", mode=mode)
    for _ in range(2):  # graphs are recorded in the first pass
        for found, want in zip(on_gpu.predict(pictures(), batch=batch), expected, strict=True):
            assert len(found) == len(want)
            np.testing.assert_allclose(found.scores, want.scores, atol=1e-4)
            near = np.abs(found.boxes[:, None] - want.boxes[None]).max(-1).min(1)
            assert (near < 0.05).mean() > 0.97  # equal scores may come in another order


def test_flips_and_scales(expected):
    options = {"tta": True, "scales": (0.75, 1.0)}
    want = detector(device="cpu").predict(pictures()[:3], **options)
    for found, there in zip(detector(device="cuda").predict(pictures()[:3], **options), want, strict=True):
        np.testing.assert_allclose(found.scores, there.scores, atol=1e-4)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_near(expected, dtype):
    for found, want in zip(detector(device="cuda", dtype=dtype).predict(pictures()), expected, strict=True):
        assert abs(found.scores[0] - want.scores[0]) < 0.05


def test_maps_of_a_graph_are_not_overwritten():
    on_gpu = detector(device="cuda", mode="graph")
    first, second, third = [picture for picture in pictures() if picture.shape == (60, 90, 3)][:3]
    on_gpu.predict([first, first])
    kept = on_gpu.corner_maps(second)
    before = kept.maps.tl_heat.clone()
    on_gpu.corner_maps(third)
    assert torch.equal(kept.maps.tl_heat, before)
