"""The sections of a recipe that are training's own: frozen dataclasses, each field documented and checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from cornernet.data.images import MAX_PIXELS
from cornernet.errors import ConfigError

Precision = Literal["32", "bf16", "fp16"]
Tracker = Literal["wandb", "mlflow"]


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Where the pictures come from.

    Attributes:
        root: The dataset's folder, in a layout that `cornernet.data.layout` knows.
        train: The split to train on; train2017 or train, whichever there is, if None.
        val: The split to choose the best weights by; val2017, val or valid if None.
        keep_empty: Whether pictures without boxes are trained on.
        workers: Processes that read ahead on each device; 0 reads in the training process.
        max_pixels: Pictures with more pixels than this are refused before they are decoded.
    """

    root: Path | None = None
    train: str | None = None
    val: str | None = None
    keep_empty: bool = False
    workers: int = 3
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        _check(self, "workers", 0)
        _check(self, "max_pixels", 1)


@dataclass(frozen=True, kw_only=True)
class OptimiserOptions:
    """Adam, and how far a step may go.

    Attributes:
        name: adam, or adamw, which decays weights apart from their gradients.
        lr: Learning rate for a global batch of `base_batch` pictures; with another batch it scales linearly.
        base_batch: Pictures per step, over all devices, that `lr` is meant for.
        betas: Adam's two averaging factors.
        weight_decay: How fast weights decay towards 0.
        clip: Gradients are scaled down to this 2-norm where theirs is larger; infinity clips nothing.
    """

    name: Literal["adam", "adamw"] = "adam"
    lr: float = 5e-4
    base_batch: int = 48
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    clip: float = 35.0

    def __post_init__(self) -> None:
        _choice(self, "name", ("adam", "adamw"))
        _check(self, "lr", 0, above=True)
        _check(self, "base_batch", 1)
        _check(self, "weight_decay", 0)
        if not self.clip > 0:
            raise ConfigError(f"expected clip above 0, got {self.clip}")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(f"expected betas as two numbers in 0..1, below 1, got {self.betas}")


@dataclass(frozen=True, kw_only=True)
class ScheduleOptions:
    """How long training lasts, and the learning rate's way.

    Attributes:
        epochs: How often every picture is seen.
        warmup: Steps over which the learning rate rises linearly.
        warmup_from: The share of the learning rate that the rise begins with.
        kind: "step" multiplies by `factor` at each of `milestones`; "cosine" falls to `final` along a half wave;
            "constant" stays.
        milestones: Epochs, from the start, at which "step" acts.
        factor: What "step" multiplies by.
        final: The share of the learning rate that "cosine" ends with.
    """

    epochs: int = 210
    warmup: int = 500
    warmup_from: float = 1 / 3
    kind: Literal["step", "cosine", "constant"] = "step"
    milestones: tuple[int, ...] = (180,)
    factor: float = 0.1
    final: float = 0.01

    def __post_init__(self) -> None:
        _check(self, "epochs", 1)
        _check(self, "warmup", 0)
        for name in ("warmup_from", "factor", "final"):
            _check(self, name, 0, high=1)
        _choice(self, "kind", ("step", "cosine", "constant"))
        if any(milestone < 1 for milestone in self.milestones):
            raise ConfigError(f"expected milestones to be epochs from 1 up, got {self.milestones}")


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """What a step is made of.

    Attributes:
        weights: What to start from: a published model, a checkpoint, a folder or a hub repository; its architecture and
            preprocessing then replace the recipe's. At random if None.
        batch: Pictures a device takes at once.
        accumulate: Batches whose gradients make one step.
        embedding_pictures: Pull and push are means over the pictures of a step, times this number. The published runs
            summed them on each device: 5, 6 or 3 pictures. A step is so the same on any number of devices.
        precision: What the network computes in; the losses are always float32. Half precisions keep float32 weights.
        seed: Fixes weights, order and augmentation.
        ema: Whether a moving average of the weights is kept, measured and given out.
        ema_decay: How much of the average stays at each step, once warm.
        compile: Whether PyTorch compiles network, targets and losses with their gradients: minutes at the start. Meant
            for accelerators: on a CPU steps take longer.
        checkpointing: Whether residual blocks compute their activations again in the backward pass: less memory, a
            third more time.
        sync_batch_norm: Whether batch norm takes its statistics over all devices.
        max_skips: Steps in a row that may be left out for a loss or gradient that is not finite; one more stops.
    """

    weights: str | None = None
    batch: int = 6
    accumulate: int = 1
    embedding_pictures: float = 6.0
    precision: Precision = "32"
    seed: int = 0
    ema: bool = False
    ema_decay: float = 0.9998
    compile: bool = False
    checkpointing: bool = False
    sync_batch_norm: bool = False
    max_skips: int = 3

    def __post_init__(self) -> None:
        for name in ("batch", "accumulate"):
            _check(self, name, 1)
        _check(self, "embedding_pictures", 0, above=True)
        _check(self, "seed", 0, high=2**32 - 1)
        _check(self, "max_skips", 0)
        _choice(self, "precision", get_args(Precision))
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f"expected ema_decay in 0..1, below 1, got {self.ema_decay}")


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What a run writes, and when.

    Attributes:
        val_every: Epochs between two looks at the validation split; the last epoch is always measured.
        val_batch: Validation pictures of one size that go through the network at once.
        save_minutes: Minutes between two checkpoints within an epoch; every epoch ends with one.
        log_steps: Steps between two lines of the logs.
        drawn: Validation pictures to draw the detections of.
        trackers: Services to log to besides CSV and TensorBoard: wandb, mlflow (extras of these names).
    """

    val_every: int = 1
    val_batch: int = 1
    save_minutes: float = 10.0
    log_steps: int = 50
    drawn: int = 8
    trackers: tuple[Tracker, ...] = ()

    def __post_init__(self) -> None:
        for name, low in (("val_every", 1), ("val_batch", 1), ("save_minutes", 0), ("log_steps", 1), ("drawn", 0)):
            _check(self, name, low)
        if unknown := set(self.trackers) - set(get_args(Tracker)):
            raise ConfigError(f"expected trackers out of {', '.join(get_args(Tracker))}, got {min(unknown)!r}")


def _check(options: Any, name: str, low: float, *, high: float = math.inf, above: bool = False) -> None:
    value = getattr(options, name)
    if not (low < value if above else low <= value) or not value <= high or not math.isfinite(value):
        wanted = f"above {low}" if above else f"of {low} or more" if high == math.inf else f"in {low}..{high}"
        raise ConfigError(f"expected {name} {wanted}, got {value}")


def _choice(options: Any, name: str, known: tuple[str, ...]) -> None:
    if getattr(options, name) not in known:
        raise ConfigError(f"expected {name} to be one of {', '.join(known)}, got {getattr(options, name)!r}")
