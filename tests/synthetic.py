"""Weights and pictures that anyone can make again, in which the golden files' numbers were taken.

Every entry of a CornerNet state dict in MMDetection's naming is a function of its name and shape, but for the 1x1
convolution that ends each branch, which `golden/tiny_last_convs.npz` holds: it was fitted, so that heatmaps,
embeddings and offsets look as a trained network's do.
"""

import zlib
from pathlib import Path

import numpy as np
import torch

from cornernet.models.config import CornerNetConfig

GOLDEN = Path(__file__).parent / "golden"
TINY = CornerNetConfig(
    num_classes=3,
    channels=(32, 32, 48, 48, 48, 64),
    blocks=(1, 1, 1, 1, 1, 1),
    stem_channels=16,
    feature_channels=32,
)
TINY_CLASSES = ("Platelets", "RBC", "WBC")


def filled(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The array of one entry; seeded by its MMDetection name."""
    g = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name.endswith("running_var"):
        return g.uniform(0.75, 1.25, shape).astype(np.float32)
    if name.endswith("running_mean"):
        return (0.1 * g.standard_normal(shape)).astype(np.float32)
    if len(shape) == 4:
        return (np.sqrt(2.0 / np.prod(shape[1:])) * g.standard_normal(shape)).astype(np.float32)
    if name.endswith("weight"):
        return ((0.3 if ".bn2." in name else 1.0) * g.uniform(0.75, 1.25, shape)).astype(np.float32)
    return (0.1 * g.standard_normal(shape)).astype(np.float32)


def filled_state(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """A whole state dict in MMDetection's naming."""
    with np.load(GOLDEN / "tiny_last_convs.npz") as fitted:
        arrays = {n: fitted[n] if n in fitted.files else filled(n, s) for n, s in shapes.items()}
    return {name: torch.from_numpy(np.asarray(array)) for name, array in arrays.items()}


def synthetic_image(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth waves with a few filled rectangles: uint8 (height, width, 3), BGR."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    waves = [np.sin(x / (7 + 3 * c + seed)) * np.cos(y / (11 - 2 * c + seed)) for c in range(3)]
    image = (127.5 + 90 * np.stack(waves, -1)).astype(np.uint8)
    g = np.random.Generator(np.random.PCG64(1000 + seed))
    for _ in range(6):
        (x0, x1), (y0, y1) = np.sort(g.integers(0, width, 2)), np.sort(g.integers(0, height, 2))
        image[y0 : y1 + 1, x0 : x1 + 1] = g.integers(0, 256, 3)
    return image
