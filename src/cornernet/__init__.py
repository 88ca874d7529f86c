"""CornerNet for today's PyTorch: a detector that finds a box as a pair of corners.

Importing this package is cheap: each public name is loaded when it is first used, and PyTorch with it.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cornernet.errors import (
        ConfigError,
        CornerNetError,
        DatasetError,
        ImageError,
        MissingExtraError,
        WeightsError,
    )
    from cornernet.inference.detector import Detector
    from cornernet.models.build import build_model
    from cornernet.models.config import CornerNetConfig
    from cornernet.structures.classes import Classes
    from cornernet.structures.detections import Detections
    from cornernet.structures.maps import CornerMaps
    from cornernet.weights.record import ModelRecord, Preprocessing

__version__ = version("cornernet")

_HOME = {
    "Classes": "structures.classes",
    "ConfigError": "errors",
    "CornerMaps": "structures.maps",
    "CornerNetConfig": "models.config",
    "CornerNetError": "errors",
    "DatasetError": "errors",
    "Detections": "structures.detections",
    "Detector": "inference.detector",
    "ImageError": "errors",
    "MissingExtraError": "errors",
    "ModelRecord": "weights.record",
    "Preprocessing": "weights.record",
    "WeightsError": "errors",
    "build_model": "models.build",
}

__all__ = [
    "Classes",
    "ConfigError",
    "CornerMaps",
    "CornerNetConfig",
    "CornerNetError",
    "DatasetError",
    "Detections",
    "Detector",
    "ImageError",
    "MissingExtraError",
    "ModelRecord",
    "Preprocessing",
    "WeightsError",
    "__version__",
    "build_model",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'cornernet' has no attribute {name!r}")
    return getattr(import_module(f"cornernet.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
