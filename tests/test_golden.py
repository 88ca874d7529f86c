"""The reference's own numbers, from checkpoint to boxes, through the doors a user takes."""

import json

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from cornernet.inference.detector import Detector
from cornernet.models.build import build_model
from cornernet.weights.keymaps import to_mmdetection
from cornernet.weights.model import load_model
from cornernet.weights.record import MMDETECTION
from synthetic import GOLDEN, TINY, TINY_CLASSES, filled_state, synthetic_image


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """The golden weights as an MMDetection 2.x file."""
    shapes = {name: tuple(t.shape) for name, t in to_mmdetection(build_model(TINY).state_dict()).items()}
    path = tmp_path_factory.mktemp("golden") / "tiny.pth"
    torch.save({"meta": {"CLASSES": TINY_CLASSES, "epoch": 210}, "state_dict": filled_state(shapes)}, path)
    return path


@pytest.fixture(scope="session")
def detector(checkpoint):
    return Detector.from_pretrained(checkpoint, device="cpu")


def test_checkpoint_says_what_it_is(checkpoint):
    model, record = load_model(checkpoint)
    assert model.config == record.architecture == TINY
    assert record.preprocessing == MMDETECTION
    assert record.classes.names == TINY_CLASSES


def test_maps_of_both_stacks(checkpoint):
    model, _ = load_model(checkpoint)
    rgb = synthetic_image(127, 255)[..., ::-1].astype(np.float32)
    images = torch.from_numpy((rgb - np.float32(MMDETECTION.mean)) / np.float32(MMDETECTION.std)).permute(2, 0, 1)[None]
    with torch.no_grad():
        stacks = model.eval().all_stacks(images)
    with np.load(GOLDEN / "tiny_maps_127x255.npz") as golden:
        assert len(golden.files) == 12
        for name in golden.files:
            field, stack = name.split(".")
            expected = golden[name]
            ours = getattr(stacks[int(stack)], field).numpy()
            assert np.abs(ours - expected).max() <= 1e-4 * (expected.max() - expected.min()), name


@pytest.mark.parametrize("mode", ["plain", "tta"])
@pytest.mark.parametrize("size", [(120, 200), (255, 255)])
def test_detections(detector, size, mode):
    golden = json.loads((GOLDEN / "tiny_detections.json").read_text())["synthetic_{}x{}_seed0".format(*size)][mode]
    found = detector.predict(np.ascontiguousarray(synthetic_image(*size)[..., ::-1]), tta=mode == "tta")
    boxes, scores, labels = np.array(golden["boxes"]), np.array(golden["scores"]), np.array(golden["labels"])
    assert len(found) == len(scores) == 100
    # One to one: the assignment that moves boxes least, then every pair within tolerance.
    cost = np.abs(found.boxes[:, None] - boxes).max(-1) + 1000 * (found.labels[:, None] != labels)
    rows, columns = linear_sum_assignment(cost + 100 * np.abs(found.scores[:, None] - scores))
    assert cost[rows, columns].max() < 0.05
    assert np.abs(found.scores[rows] - scores[columns]).max() < 1e-4
