"""The training loop: epochs of steps, measured and saved, stopped and gone on with at any step."""

from __future__ import annotations

import math
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
from cornernet.inference.machine import peak_device_bytes, peak_process_bytes
from cornernet.models.cornernet import CornerNet
from cornernet.training.average import WeightAverage
from cornernet.training.checkpoint import Progress
from cornernet.training.guard import Stepper, explain_nonfinite, is_fatal
from cornernet.training.module import TERMS, mean_over_processes
from cornernet.training.recipe import Recipe
from cornernet.training.schedule import lr_factor
from cornernet.weights.record import ModelRecord


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
        values: Means of the losses and the gradient's norm over the last steps that were read; epoch, lr, speed and
            memory.
        whole: Whether they are over all the steps that make a line of the logs.
        seconds_left: How long training will go on at this speed.
    """

    step: int
    values: dict[str, float]
    whole: bool
    seconds_left: float


@dataclass(frozen=True)
class _Made:
    """A step that was made, or left out, on the device: what came of it is not known on the host yet.

    Attributes:
        step: Its number, from 1.
        values: (6,) the four losses, the gradient's norm, and 1 where all are finite.
        names: The pictures' files.
    """

    step: int
    values: Tensor
    names: list[str]


class Epoch:
    """The steps of the epoch under way, from where the run is to its end.

    Iterating makes a step each time; the run can be saved between two, after `settle`. On an accelerator the host does
    not wait for a step: it reads the losses of all steps since the last line of the logs at once.

    Args:
        session: What to train with.
        say: Takes a line for the user.
    """

    def __init__(self, session: Session, *, say: Callable[[str], None]) -> None:
        self._session = session
        self._say = say
        self._stepper = Stepper(session.network, session.optimiser, session.recipe.train)
        self._reads_every_step = reads_every_step(self._stepper, session.fabric.device)
        self._made: list[_Made] = []
        self._means = dict.fromkeys((*TERMS, "grad_norm"), 0.0)
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
        self.settle()

    def settle(self) -> None:
        """Reads from the device what came of the steps made since it was last read.

        Raises:
            CornerNetError: When too many of them in a row were left out.
        """
        made, self._made = self._made, []
        if not made:
            return
        for step, values in zip(made, torch.stack([step.values for step in made]).tolist(), strict=True):
            self._account(step, values)

    def _step(self, batches: Iterator[Batch]) -> LogLine:
        session, train, progress = self._session, self._session.recipe.train, self._session.progress
        lr = session.base_lr * lr_factor(session.recipe.schedule, progress.step, session.steps_per_epoch)
        for group in session.optimiser.param_groups:
            group["lr"] = lr
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
        # The gradients are shared between processes, the losses are not.
        finite = mean_over_processes((norm.isfinite() & terms.isfinite().all()).float()) == 1
        self._stepper.step(finite)
        progress.step += 1
        progress.pictures += session.global_batch
        if session.average:
            session.average.update(progress.step)
        self._done += 1
        self._made.append(_Made(progress.step, torch.cat([terms, torch.stack([norm, finite.float()])]), names))
        if self._reads_every_step or self._done == 1 or self._ends_line():
            self.settle()
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

    def _account(self, made: _Made, values: list[float]) -> None:
        """Adds a step to the line of the logs, or tells of its being left out; stops when there were too many."""
        train, progress = self._session.recipe.train, self._session.progress
        *losses_and_norm, finite = values
        if finite:
            progress.skipped = 0
            progress.window = [a + b for a, b in zip(progress.window or [0.0] * 6, values, strict=True)]
            return
        progress.skipped += 1
        terms = losses_and_norm[:4]
        text = explain_nonfinite(terms, made.names, step=made.step, epoch=progress.epoch + 1, skipped=progress.skipped)
        if is_fatal(progress.skipped, train):
            raise CornerNetError(text)
        if train.precision != "fp16" or not all(math.isfinite(term) for term in terms):
            self._say(text.partition(": lower")[0] + ": the step is left out")

    def _ends_line(self) -> bool:
        step = self._session.progress.step
        return step % self._session.recipe.run.log_steps == 0 or step == self._session.total_steps

    def _line(self, lr: float) -> LogLine:
        session, progress = self._session, self._session.progress
        *sums, count = progress.window or [0.0] * 6
        if count:
            self._means = {name: value / count for name, value in zip(self._means, sums, strict=True)}
        speed = self._done * session.global_batch / (time.monotonic() - self._began)
        whole = count > 0 and self._ends_line()
        if whole:
            progress.window = []
        return LogLine(
            step=progress.step,
            values={
                "epoch": progress.epoch + 1,
                **self._means,
                "lr": lr,
                "pictures_per_second": speed,
                **memory(session.fabric.device),
            },
            whole=whole,
            seconds_left=(session.total_steps - progress.step) * session.global_batch / speed,
        )


def reads_every_step(stepper: Stepper, device: torch.device) -> bool:
    """Whether the host knows of every step at once: where it waits for it anyway."""
    return stepper.waits or device.type == "cpu"


def memory(device: torch.device) -> dict[str, float]:
    """The most memory so far: of tensors on the accelerator, or else of this process, where the system tells."""
    peak = peak_process_bytes() if device.type == "cpu" else peak_device_bytes(device)
    return {} if peak is None else {"memory_gb": peak / 1e9}


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
