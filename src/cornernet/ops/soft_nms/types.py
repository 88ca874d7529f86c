"""What soft-NMS takes and gives: its options, and the entries it keeps."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Literal

import torch
from torch import Tensor

from cornernet.errors import ConfigError

PRESENT_ABOVE = -0.1
"""An entry takes part when its score is above this, as in the reference; a rejected pair and padding have -1."""

ABSENT = -1.0
"""The score of an entry that never takes part, or no longer does. No decay brings it above 0."""


@dataclass(frozen=True, kw_only=True)
class SoftNMSConfig:
    """How much a box takes from the others of its class. The defaults are CornerNet's.

    Attributes:
        method: What an overlap (IoU) leaves of a score: "gaussian" `exp(-iou^2 / sigma)`; "linear" `1 - iou` from
            `iou_threshold` up; "hard" nothing from `iou_threshold` up, which is plain non-maximum suppression.
        sigma: Width of the gaussian; above 0.
        iou_threshold: From which overlap on "linear" and "hard" act; in 0..1.
        min_score: Entries whose decayed score falls below this are dropped; above 0.

    Raises:
        ConfigError: On a value outside these ranges.
    """

    method: Literal["gaussian", "linear", "hard"] = "gaussian"
    sigma: float = 0.5
    iou_threshold: float = 0.5
    min_score: float = 0.001

    def __post_init__(self) -> None:
        if self.method not in ("gaussian", "linear", "hard"):
            raise ConfigError(f"expected method to be one of gaussian, linear, hard, got {self.method!r}")
        for name in ("sigma", "min_score"):
            if not (isfinite(value := getattr(self, name)) and value > 0):
                raise ConfigError(f"expected {name} to be a number above 0, got {value!r}")
        if not 0 <= self.iou_threshold <= 1:
            raise ConfigError(f"expected iou_threshold in 0..1, got {self.iou_threshold!r}")


@dataclass(frozen=True)
class Kept:
    """The entries soft-NMS keeps of each picture, best first.

    Attributes:
        index: (N, D) int64, which of the picture's entries; -1 past the last.
        scores: (N, D) float32, their decayed scores, descending; -1 past the last.
        count: (N,) int64, how many were kept.
    """

    index: Tensor
    scores: Tensor
    count: Tensor


# Lets torch.export (and through it ONNX export) see the three tensors inside.
torch.export.register_dataclass(Kept, serialized_type_name="cornernet.Kept")
