"""`cornernet train`: from an annotated dataset to a detector and its numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cornernet.cli.command import DONE, USAGE, Command, say
from cornernet.cli.options import CommonOptions, require_from
from cornernet.errors import ConfigError

if TYPE_CHECKING:
    from cornernet.training.recipe import Recipe
    from cornernet.training.run import Outcome

_LATEST = "latest"
_RUNS = Path("runs", "train")
_GOING_ON = ("data", "device", "devices", "nodes", "workers", "epochs", "debug", "resume")


@dataclass(frozen=True, kw_only=True)
class TrainCommandOptions(CommonOptions):
    """Train a detector; each field of the recipe is a flag too, as in --optimiser.lr 1e-3 (see --print-config).

    Attributes:
        recipe: A recipe's name, such as small, finetune or that of a published run, or a YAML file.
        data: The dataset's folder, in COCO format.
        weights: What to start from: a published model, a checkpoint, a folder or a hub repository; random by default.
        resume: Go on with a run that was cut short: its folder, or its name in runs/train; the latest by default.
        output: Folder to write to; a new one, runs/train/RECIPE, by default.
        device: Where to train, such as cpu, cuda, mps or xpu; the machine's accelerator, or else the CPU, by default.
        devices: Devices to train on, on each machine.
        nodes: Machines to train on; torchrun or SLURM start the processes.
        batch: Pictures a device takes at once, a number, or auto for as many as fit; the recipe's by default.
        accumulate: Batches that make a step.
        precision: What the network computes in; the losses are always float32.
        epochs: How often every picture is seen.
        ema: Keep a moving average of the weights, and give that out.
        compile: Compile network, targets and losses: minutes at the start; meant for accelerators.
        workers: Processes that read ahead on each device; 0 reads in the training process.
        seed: Fixes weights, order and augmentation.
        changes: Fields of the recipe, as SECTION.FIELD=VALUE.
        print_config: Print the recipe as it would be, a file for --recipe, and stop.
    """

    recipe: str | None = None
    data: Path | None = None
    weights: str | None = None
    resume: str | None = field(default=None, metadata={"bare": _LATEST})
    output: Path | None = None
    device: str | None = None
    devices: int = 1
    nodes: int = 1
    batch: str | None = None
    accumulate: int | None = None
    precision: Literal["32", "bf16", "fp16"] | None = None
    epochs: int | None = None
    ema: bool | None = None
    compile: bool | None = None
    workers: int | None = None
    seed: int | None = None
    changes: tuple[str, ...] = field(default=(), metadata={"dotted": True})
    print_config: bool = False

    def __post_init__(self) -> None:
        if self.resume is not None:
            defaults = {name: f.default for name, f in self.__dataclass_fields__.items()}
            for name, default in defaults.items():
                if name not in _GOING_ON and getattr(self, name) != default:
                    flag = "a recipe's field" if name == "changes" else f"--{name.replace('_', '-')}"
                    raise ConfigError(f"expected --resume to go on with a run as it is, got {flag} too: leave it out")
        elif self.recipe is None:
            raise ConfigError("expected --recipe, got none: small suits a CPU, finetune starts from published weights")
        require_from("--devices", self.devices, 1)
        require_from("--nodes", self.nodes, 1)
        if self.batch not in (None, "auto") and not (self.batch.isdecimal() and int(self.batch)):
            raise ConfigError(f"expected --batch to be a whole number from 1 up, or auto, got {self.batch!r}")


def run(options: TrainCommandOptions) -> int:
    """Trains, and returns the exit code."""
    from cornernet.training.recipe import dump_recipe

    try:
        going_on = _run_to_resume(options.resume) if options.resume else None
        recipe = _recipe(options, going_on)
    except ConfigError as error:
        say(f"error: {error}")
        return USAGE
    if options.print_config:
        print(dump_recipe(recipe), end="")
        return DONE
    if recipe.data.root is None:
        raise ConfigError("expected --data, got none: give the dataset's folder")

    from cornernet.cli.output import run_folder
    from cornernet.training.machine import Machine
    from cornernet.training.run import train

    outcome = train(
        recipe,
        lambda: going_on or run_folder(options.output, "train", str(options.recipe)),
        machine=Machine(device=options.device or "auto", devices=options.devices, nodes=options.nodes),
        resume=going_on is not None,
        fit_batch=options.batch == "auto",
        say=say,
    )
    return _close(outcome)


def _recipe(options: TrainCommandOptions, going_on: Path | None) -> Recipe:
    from cornernet.training.recipe import RECIPE_FILE, load_recipe, override

    recipe = load_recipe(going_on / RECIPE_FILE if going_on else str(options.recipe))
    batch = None if options.batch == "auto" else options.batch
    short = {
        "data.root": options.data.resolve() if options.data else None,
        "data.workers": options.workers,
        "schedule.epochs": options.epochs,
        "train.weights": options.weights,
        "train.batch": batch,
        "train.accumulate": options.accumulate,
        "train.precision": options.precision,
        "train.ema": options.ema,
        "train.compile": options.compile,
        "train.seed": options.seed,
    }
    recipe = override(recipe, [f"{name}={value}" for name, value in short.items() if value is not None])
    return override(recipe, options.changes)


def _run_to_resume(name: str) -> Path:
    """The folder of the run that is meant.

    Raises:
        ConfigError: When there is none.
    """
    from cornernet.training.checkpoint import has_checkpoint

    if name == _LATEST:
        runs = [run for run in _RUNS.glob("*") if has_checkpoint(run)]
        if not runs:
            raise ConfigError(f"expected a run in {_RUNS} to go on with, found none: name its folder behind --resume")
        return max(runs, key=lambda run: (run / "checkpoints").stat().st_mtime)
    for folder in (Path(name), _RUNS / name):
        if has_checkpoint(folder):
            return folder
    raise ConfigError(f"expected the folder of a run with checkpoints behind --resume, got {name!r}")


def _close(outcome: Outcome) -> int:
    """The numbers, and what to do next; on one process of the run alone."""
    if outcome.folder is None:
        return DONE
    if outcome.signal:
        say(f"stopped; the run is saved: cornernet train --resume {outcome.folder} goes on with it")
        return 128 + outcome.signal
    if outcome.evaluation is not None:
        from cornernet.cli.tables import print_table
        from cornernet.evaluation.report import summary_table

        print_table(summary_table(outcome.evaluation))
    best = outcome.folder / "weights" / "best"
    say(f"the files are in {outcome.folder}; now: cornernet predict PICTURES --weights {best}")
    return DONE


COMMAND = Command(options=TrainCommandOptions, run=run)
