"""A whole training run: begun or gone on with, trained, measured, saved and reported on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch.distributed as dist
from torch import Tensor

from cornernet.data.coco import CocoDataset
from cornernet.errors import ConfigError, CornerNetError
from cornernet.evaluation.coco_ap import Evaluation
from cornernet.structures.figures import require_plots
from cornernet.structures.files import write_atomic
from cornernet.training.checkpoint import (
    RunState,
    clear_temporaries,
    generator_states,
    has_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from cornernet.training.data import Splits, open_splits
from cornernet.training.display import open_display
from cornernet.training.guard import check_finite
from cornernet.training.logs import Log, check_trackers, open_logs
from cornernet.training.loop import Epoch, LogLine, Session
from cornernet.training.machine import Machine, is_lost_process, is_out_of_memory, launch
from cornernet.training.recipe import RECIPE_FILE, Recipe, dump_recipe
from cornernet.training.report import write_detections, write_report
from cornernet.training.setup import Say, open_session
from cornernet.training.signals import StopRequest, listening
from cornernet.training.validation import Validation, make_detector, validate
from cornernet.training.weights import write_weights
from cornernet.weights.native import record_to_json


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        folder: Where its files are; None on processes that write none, whose other fields mean nothing.
        evaluation: The best weights' numbers on the validation split, where there is one.
        best_epoch: The epoch they are of.
        signal: The signal that ended it; 0 when it is done.
    """

    folder: Path | None
    evaluation: Evaluation | None
    best_epoch: int
    signal: int


def train(
    recipe: Recipe,
    folder: Callable[[], Path],
    *,
    machine: Machine,
    resume: bool = False,
    fit_batch: bool = False,
    say: Say,
) -> Outcome:
    """Trains a detector as a recipe says.

    Args:
        recipe: The recipe; `data.root` names the dataset.
        folder: Gives the folder to write to. Called on the process of rank 0 alone, but on all when a run goes on.
        machine: What to train on.
        resume: Whether to go on with the run in that folder.
        fit_batch: Whether the batch is to be the largest that fits the device.
        say: Takes a line for the user.

    Raises:
        CornerNetError: When anything of it cannot be used, a checkpoint cannot be written, or losses stay non-finite.
    """
    require_plots()
    check_trackers(recipe.run.trackers)
    splits = open_splits(recipe.data)
    fabric = launch(recipe, machine)
    chief: Say = say if fabric.is_global_zero else _ignore
    for note in splits.notes():
        chief(note)
    with listening() as stop:
        try:
            state = None
            if resume:
                state, notes = load_checkpoint(folder())
                for note in notes:
                    chief(note)
            session = open_session(fabric, recipe, splits.train, state=state, fit_batch=fit_batch, say=chief)
            run = _Run(session, splits, stop, folder() if fabric.is_global_zero else None, resume=resume)
            return run.go()
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise _out_of_memory(recipe) from error
            if is_lost_process(error):
                raise CornerNetError(
                    "expected all processes of the run to last, but one is gone: see what it said; "
                    "cornernet train --resume goes on"
                ) from error
            raise


def _ignore(_: str) -> None:
    """What the other processes have to say, rank 0 says."""


def _out_of_memory(recipe: Recipe) -> CornerNetError:
    height, width = recipe.augment.size
    return CornerNetError(
        f"the device's memory is full with {recipe.train.batch} pictures of {height} x {width}: lower --batch (and "
        "raise --accumulate), or use --train.checkpointing true, --precision bf16 or a smaller --augment.size"
    )


class _Run:
    """The run's way through its epochs. It can be cut short anywhere, and goes on from the last checkpoint.

    Every process takes the same way; that of rank 0, which alone has a folder, writes.
    """

    def __init__(
        self, session: Session, splits: Splits, stop: StopRequest, folder: Path | None, *, resume: bool
    ) -> None:
        self._session = session
        self._splits = splits
        self._stop = stop
        self._folder = folder
        self._logs: list[Log] = []
        if folder is not None:
            _prepare(folder, session.recipe, resume=resume)
            trackers = session.recipe.run.trackers
            self._logs = open_logs(folder, session.progress.step, trackers, asdict(session.recipe))
        self._display = open_display(
            session.recipe.schedule.epochs, session.total_steps, session.progress.step, shown=folder is not None
        )
        self._saved = time.monotonic()

    def go(self) -> Outcome:
        """Trains to the end, or until somebody stops the run."""
        try:
            done = self._epochs()
        finally:
            self._display.close()
            for log in self._logs:
                log.close()
        session, best_epoch = self._session, self._session.progress.best_epoch
        evaluation = None
        if done and self._folder is not None:
            if self._splits.val is None:
                write_weights(self._folder, "best", session.weights(), session.record)
            evaluation = write_report(self._folder, self._splits.val, drawn=session.recipe.run.drawn)
        session.fabric.barrier()
        return Outcome(self._folder, evaluation, best_epoch, self._stop.signal)

    def _epochs(self) -> bool:
        """Trains and measures epoch by epoch; False when the run must stop before the last."""
        progress = self._session.progress
        while True:
            if progress.pictures == 0 and self._due() and progress.validated < progress.epoch:
                self._measure()
            if progress.epoch >= self._session.recipe.schedule.epochs:
                return True
            if not self._epoch():
                return False

    def _due(self) -> bool:
        """Whether the epoch that has ended is one to measure."""
        epoch, last = self._session.progress.epoch, self._session.recipe.schedule.epochs
        return epoch > 0 and (epoch % self._session.recipe.run.val_every == 0 or epoch == last)

    def _epoch(self) -> bool:
        """Trains to the end of the epoch; False when the run must stop before."""
        session, progress = self._session, self._session.progress
        epoch = Epoch(session, say=self._display.say)
        for line in epoch:
            self._log(line)
            if self._stop.agreed(session.fabric.device, session.fabric.world_size, line.step):
                epoch.settle()
                self._save()
                return False
            if time.monotonic() - self._saved >= 60 * session.recipe.run.save_minutes:
                epoch.settle()
                self._save()
        progress.epoch += 1
        progress.pictures = 0
        if self._due():
            self._save()  # measuring takes its time, and may be cut short
        return True

    def _log(self, line: LogLine) -> None:
        self._display.train(line.values, line.step, line.seconds_left)
        if line.whole:
            for log in self._logs:
                log.write("train", line.step, line.values)

    def _save(self) -> None:
        """Writes a checkpoint; all processes hold the same state."""
        self._saved = time.monotonic()
        if self._folder is None:
            return
        session = self._session
        network = session.network.state_dict()
        check_finite(network)
        state = RunState(
            progress=session.progress,
            record=json.dumps(record_to_json(session.record)),
            network=network,
            optimiser=session.optimiser.state_dict(),
            average=session.average.state if session.average else None,
            scaler=session.fabric.strategy.precision.state_dict(),
            generators=generator_states(),
        )
        save_checkpoint(self._folder, state)

    def _measure(self) -> None:
        """Measures the weights of the epoch that has ended; keeps them when they are the best."""
        session, progress = self._session, self._session.progress
        weights = session.weights()
        if self._splits.val is not None:
            found = self._validate(self._splits.val, weights)
            if found is not None:
                self._judge(found)
        if self._folder is not None:
            write_weights(self._folder, "last", weights, session.record)
        progress.validated = progress.epoch
        self._save()

    def _validate(self, val: CocoDataset, weights: dict[str, Tensor]) -> Validation | None:
        session, fabric = self._session, self._session.fabric
        if fabric.world_size > 1:  # each process has batch norm statistics of its own pictures
            for tensor in weights.values():
                dist.broadcast(tensor, 0)
        seen, total = 0, -(-len(val) // fabric.world_size)

        def step() -> None:
            nonlocal seen
            seen += 1
            self._display.look(seen, total)

        options = session.recipe
        detector = make_detector(weights, session.record, device=fabric.device, max_pixels=options.data.max_pixels)
        return validate(
            detector,
            val,
            batch=options.run.val_batch,
            rank=fabric.global_rank,
            world_size=fabric.world_size,
            step=step,
        )

    def _judge(self, found: Validation) -> None:
        assert self._folder is not None
        session, progress = self._session, self._session.progress
        stats = found.evaluation.stats
        for log in self._logs:
            log.write("val", progress.step, {"epoch": progress.epoch, **stats})
        verdict = f"best {progress.best:.3f}, epoch {progress.best_epoch}"
        if stats["AP"] > progress.best:
            write_weights(self._folder, "best", session.weights(), session.record)
            write_detections(self._folder, found.results)
            progress.best, progress.best_epoch = stats["AP"], progress.epoch
            verdict = "the best so far"
        self._display.say(f"epoch {progress.epoch}: AP {stats['AP']:.3f}, AP50 {stats['AP50']:.3f} ({verdict})")


def _prepare(folder: Path, recipe: Recipe, *, resume: bool) -> None:
    if not resume and has_checkpoint(folder):
        raise ConfigError(f"expected a new folder, got {folder} with a run in it: --resume {folder} goes on with it")
    folder.mkdir(parents=True, exist_ok=True)
    clear_temporaries(folder)
    write_atomic(folder / RECIPE_FILE, dump_recipe(recipe))
