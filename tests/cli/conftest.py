"""A tiny model with random weights, and pictures drawn on the spot."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from cornernet.models.build import build_model
from cornernet.models.config import CornerNetConfig
from cornernet.structures.classes import Classes
from cornernet.weights.native import write_native
from cornernet.weights.record import MMDETECTION, ModelRecord

TINY = CornerNetConfig(
    num_classes=3, stacks=1, channels=(8, 8), blocks=(1, 1), stem_channels=4, feature_channels=8, pool_channels=4,
    head_channels=8,
)  # fmt: skip


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a narrow network with the classes circle (id 2), square (5), cross (7)."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    record = ModelRecord(
        architecture=TINY, preprocessing=MMDETECTION, classes=Classes(("circle", "square", "cross"), (2, 5, 7))
    )
    write_native(folder, record, build_model(TINY).state_dict(), card="")
    return folder


@pytest.fixture
def draw():
    """A function that writes a picture of noise at a path, and gives its pixels (RGB)."""

    def write(path: Path, height: int = 40, width: int = 60, seed: int = 0) -> np.ndarray:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())
        return pixels[:, :, ::-1]

    return write
