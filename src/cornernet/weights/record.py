"""What travels with a set of weights: architecture, preprocessing, classes. Without all three, boxes are wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cornernet.errors import ConfigError
from cornernet.models.config import CornerNetConfig
from cornernet.structures.classes import Classes


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How a picture becomes the network's input. The defaults are MMDetection's.

    Attributes:
        channel_order: Order of the colour channels the network takes.
        mean: Per channel, in `channel_order`, on the 0..255 scale.
        std: Per channel, likewise.
        border: What surrounds the picture on its canvas: the mean colour (0 once normalised) or black.
        canvas: Sides of the canvas: "or127" is `side | 127`, what the published results were measured with;
            "multiple128" the next multiple of 128, up to a third fewer pixels, whose results differ slightly.
        scale: What every picture is resized by first, in training and at test time: below 1 for large objects in
            large pictures, which a network finds sooner and faster when they are smaller.

    Raises:
        ConfigError: On a standard deviation that is not positive, a scale outside 0.1..4 or an unknown word.
    """

    channel_order: Literal["rgb", "bgr"] = "rgb"
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    border: Literal["mean", "black"] = "mean"
    canvas: Literal["or127", "multiple128"] = "or127"
    scale: float = 1.0

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            value = tuple(float(v) for v in getattr(self, name))
            if len(value) != 3 or (name == "std" and min(value) <= 0):
                raise ConfigError(f"expected {name} to be three {'positive ' * (name == 'std')}numbers, got {value}")
            object.__setattr__(self, name, value)
        if not 0.1 <= self.scale <= 4:
            raise ConfigError(f"expected scale in 0.1..4, got {self.scale}")
        for name, allowed in (
            ("channel_order", ("rgb", "bgr")),
            ("border", ("mean", "black")),
            ("canvas", ("or127", "multiple128")),
        ):
            if getattr(self, name) not in allowed:
                raise ConfigError(f"expected {name} to be one of {', '.join(allowed)}, got {getattr(self, name)!r}")


MMDETECTION = Preprocessing()
PRINCETON = Preprocessing(
    channel_order="bgr",
    mean=(104.01362025, 114.03422265, 119.9165958),
    std=(73.6027665, 69.8908145, 70.9150767),
    border="black",
)


@dataclass(frozen=True, kw_only=True)
class ModelRecord:
    """Everything but the tensors: what `config.json` holds.

    Attributes:
        architecture: The network the weights fit.
        preprocessing: How pictures were fed to it in training.
        classes: Class names and original category ids, in label order.

    Raises:
        ConfigError: When classes and architecture disagree on their count.
    """

    architecture: CornerNetConfig
    preprocessing: Preprocessing
    classes: Classes

    def __post_init__(self) -> None:
        if len(self.classes) != self.architecture.num_classes:
            raise ConfigError(
                f"expected one name for each of {self.architecture.num_classes} classes, got {len(self.classes)}"
            )
