"""Runs that take a second: a network of a few thousand weights on drawn shapes of 64 pixels."""

import os
import subprocess
import sys
from pathlib import Path

from cornernet.data.synth import ShapesConfig, make_shapes
from cornernet.training.logs import read_csv
from cornernet.training.machine import Machine
from cornernet.training.recipe import Recipe, load_recipe, override
from cornernet.training.run import train

TINY = (
    "model.channels=8,8", "model.blocks=1,1", "model.stem_channels=8", "model.feature_channels=8",
    "model.pool_channels=8", "model.head_channels=8", "augment.size=64,64", "augment.border=16", "data.workers=0",
    "train.batch=2", "optimiser.base_batch=2", "optimiser.lr=0.002", "schedule.epochs=2", "schedule.warmup=5",
    "run.log_steps=1", "run.val_every=1", "run.val_batch=2", "run.drawn=2",
)  # fmt: skip
LOSSES = ("step", "det", "pull", "push", "off", "grad_norm", "lr")
CPU = Machine(device="cpu")


def shapes(folder: Path, *, train: int = 8, val: int = 3, empty: float = 0.05) -> Path:
    return make_shapes(folder, ShapesConfig(train=train, val=val, test=0, size=64, empty=empty))


def tiny(data: Path, *changes: str) -> Recipe:
    return override(load_recipe("demo"), [*TINY, f"data.root={data}", *changes])


def run_tiny(recipe: Recipe, folder: Path, *, resume: bool = False, say=lambda _: None):
    return train(recipe, lambda: folder, machine=CPU, resume=resume, say=say)


def losses(folder: Path) -> list[tuple[float, ...]]:
    return [tuple(row[name] for name in LOSSES) for row in read_csv(folder / "train.csv")]


def start(data: Path, folder: Path, *changes: str, flags: tuple[str, ...] = (), launcher: tuple[str, ...] = ()):
    """`cornernet train` as a process of its own."""
    fields = [part for change in (*TINY, *changes) for part in (f"--{change}",)]
    program = [sys.executable, *launcher, "-m", "cornernet", "train"]
    arguments = ["--recipe", "demo", "--device", "cpu", "--data", str(data), "--output", str(folder)]
    return subprocess.Popen(
        [*program, *arguments, *fields, *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
