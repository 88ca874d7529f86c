"""The training loop: epochs of steps, measured and saved, stopped and gone on with at any step."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from cornernet.data.batches import Batch, EpochSampler, TrainingLoader
from cornernet.data.photometric import colour_and_normalise
from cornernet.errors import CornerNetError
from cornernet.models.cornernet import CornerNet
from cornernet.training.average import WeightAverage
from cornernet.training.checkpoint import Progress
from cornernet.training.guard import Statistics, explain_nonfinite, is_fatal
from cornernet.training.module import TERMS, mean_over_processes
from cornernet.training.recipe import Recipe
from cornernet.training.schedule import lr_factor
from cornernet.weights.record import ModelRecord

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]


@dataclass(frozen=True, kw_only=True)
class Session:
    """What a process trains with.

    Attributes:
        fabric: Device, processes and precision.
        recipe: The recipe as resolved.
        record: What travels with the weights.
        network: The network itself.
        module: Network and losses, wrapped for the device and the other processes.
        optimiser: Wrapped likewise.
        loader: Batches of this process.
        sampler: What chooses their pictures.
        average: The weights' moving average, where one is kept.
        progress: How far the run is.
    """

    fabric: Fabric
    recipe: Recipe
    record: ModelRecord
    network: CornerNet
    module: nn.Module
    optimiser: Any
    loader: TrainingLoader
    sampler: EpochSampler
    average: WeightAverage | None
    progress: Progress

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of an epoch; batches that do not make a whole one are left out."""
        return self.sampler.batches // self.recipe.train.accumulate

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.steps_per_epoch * self.recipe.schedule.epochs

    @property
    def global_batch(self) -> int:
        """Pictures of a step, over all processes."""
        return self.recipe.train.batch * self.recipe.train.accumulate * self.fabric.world_size

    @property
    def base_lr(self) -> float:
        """The learning rate for this run's global batch: linear in it."""
        return self.recipe.optimiser.lr * self.global_batch / self.recipe.optimiser.base_batch

    def weights(self) -> dict[str, Tensor]:
        """The entries to measure and give out: the average's, where there is one."""
        return self.average.state if self.average else self.network.state_dict()


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """What is known after a step.

    Attributes:
        step: Optimiser steps done.
        values: Means of the losses and the gradient's norm over the last steps; epoch, lr, speed and memory.
        whole: Whether they are over all the steps that make a line of the logs.
        seconds_left: How long training will go on at this speed.
    """

    step: int
    values: dict[str, float]
    whole: bool
    seconds_left: float


class Epoch:
    """The steps of the epoch under way, from where the run is to its end.

    Iterating makes a step each time; the run can be saved between two.

    Args:
        session: What to train with.
        say: Takes a line for the user.
    """

    def __init__(self, session: Session, *, say: Callable[[str], None]) -> None:
        self._session = session
        self._say = say
        self._statistics = Statistics(session.network)
        self._began = time.monotonic()
        self._done = 0

    def __iter__(self) -> Iterator[LogLine]:
        session = self._session
        batches_done = session.progress.pictures // (session.recipe.train.batch * session.fabric.world_size)
        first = batches_done // session.recipe.train.accumulate
        session.sampler.start_at(session.progress.epoch, first * session.recipe.train.accumulate)
        session.module.train()
        batches = _named_failures(iter(session.loader))
        for _ in range(first, session.steps_per_epoch):
            yield self._step(batches)

    def _step(self, batches: Iterator[Batch]) -> LogLine:
        session, train, progress = self._session, self._session.recipe.train, self._session.progress
        lr = session.base_lr * lr_factor(session.recipe.schedule, progress.step, session.steps_per_epoch)
        for group in session.optimiser.param_groups:
            group["lr"] = lr
        self._statistics.keep()
        total: Tensor | None = None
        names: list[str] = []
        for part in range(train.accumulate):
            batch = next(batches)
            names += batch.names
            losses = self._backward(batch, last=part == train.accumulate - 1)
            total = losses if total is None else total + losses
        assert total is not None
        terms = total / train.accumulate
        norm = session.fabric.clip_gradients(
            session.module, session.optimiser, max_norm=session.recipe.optimiser.clip, error_if_nonfinite=False
        )
        assert norm is not None
        finite = bool(norm.isfinite() & terms.isfinite().all())
        if session.fabric.world_size > 1:  # the gradients are shared, the losses are not
            finite = bool(mean_over_processes(norm.new_tensor(float(finite))) == 1)
        if finite:
            self._learn()
        else:
            self._leave_out(terms, names)
        progress.step += 1
        progress.pictures += session.global_batch
        if finite:
            values = [*terms.tolist(), float(norm), 1.0]
            progress.window = [a + b for a, b in zip(progress.window or [0.0] * 6, values, strict=True)]
        return self._line(lr)

    def _backward(self, batch: Batch, *, last: bool) -> Tensor:
        """Adds the gradients of a batch; gives its losses (4,)."""
        session = self._session
        moved = batch.to(session.fabric.device)
        images = colour_and_normalise(moved, session.record.preprocessing)
        with session.fabric.no_backward_sync(session.module, enabled=not last):  # type: ignore[arg-type]
            losses: Tensor = session.module(images, moved.boxes, moved.labels, moved.image_index)
            session.fabric.backward(losses.sum() / session.recipe.train.accumulate)
        return losses.detach()

    def _learn(self) -> None:
        session = self._session
        session.optimiser.step()
        session.optimiser.zero_grad()
        session.progress.skipped = 0
        if session.average:
            session.average.update(session.network, session.progress.step)

    def _leave_out(self, terms: Tensor, names: list[str]) -> None:
        """Goes on without this step, or stops when there were too many."""
        session = self._session
        self._statistics.restore()
        if session.recipe.train.precision == "fp16":
            session.optimiser.step()  # does not step: it lowers the loss scale
        session.optimiser.zero_grad()
        session.progress.skipped += 1
        text = explain_nonfinite(terms, names, session.progress)
        if is_fatal(session.progress.skipped, session.recipe.train):
            raise CornerNetError(text)
        if session.recipe.train.precision != "fp16" or not bool(terms.isfinite().all()):
            self._say(text.partition(": lower")[0] + ": the step is left out")

    def _line(self, lr: float) -> LogLine:
        session, progress = self._session, self._session.progress
        self._done += 1
        *sums, count = progress.window or [0.0] * 6
        means = {name: value / max(1.0, count) for name, value in zip((*TERMS, "grad_norm"), sums, strict=True)}
        speed = self._done * session.global_batch / (time.monotonic() - self._began)
        whole = count > 0 and (
            progress.step % session.recipe.run.log_steps == 0 or progress.step == session.total_steps
        )
        if whole:
            progress.window = []
        return LogLine(
            step=progress.step,
            values={"epoch": progress.epoch + 1, **means, "lr": lr, "pictures_per_second": speed, **memory()},
            whole=whole,
            seconds_left=(session.total_steps - progress.step) * session.global_batch / speed,
        )


def memory() -> dict[str, float]:
    """The most memory so far: of tensors on the accelerator, or else of this process, where the system tells."""
    device = torch.accelerator.current_accelerator(check_available=True)
    module: Any = torch.get_device_module(device) if device else None
    if hasattr(module, "max_memory_allocated"):
        return {"memory_gb": module.max_memory_allocated() / 1e9}
    if device is None and resource is not None:
        unit = 1 if sys.platform == "darwin" else 1024
        return {"memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9}
    return {}


def _named_failures(batches: Iterator[Batch]) -> Iterator[Batch]:
    """A reader process that dies ends the run with a word on it."""
    try:
        yield from batches
    except RuntimeError as error:
        if isinstance(error, CornerNetError) or "DataLoader worker" not in str(error):
            raise
        reason = " ".join(str(error).split())[:200]
        raise CornerNetError(
            f"expected reader processes to last, but one died ({reason}): is memory full? lower --workers"
        ) from error
