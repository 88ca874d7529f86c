"""A small network's weights, made in the test."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cornernet.models.config import CornerNetConfig
from cornernet.weights.architecture import expected_shapes


def random_state(config: CornerNetConfig, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.tensor(7) if name.endswith("num_batches_tracked") else torch.randn(shape, generator=generator)
        for name, shape in expected_shapes(config).items()
    }


@pytest.fixture(scope="session")
def small_config() -> CornerNetConfig:
    return CornerNetConfig(
        num_classes=3,
        channels=(4, 6, 8),
        blocks=(1, 2, 1),
        stem_channels=5,
        feature_channels=7,
        pool_channels=3,
        head_channels=9,
        embedding_channels=2,
    )


@pytest.fixture(scope="session")
def small_state(small_config: CornerNetConfig) -> dict[str, Tensor]:
    """Under our names. Shared by all tests: do not write into the tensors."""
    return random_state(small_config)
