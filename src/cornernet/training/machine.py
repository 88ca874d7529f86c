"""The devices and processes of a run, through Lightning Fabric."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from lightning.fabric import Fabric
from lightning.fabric.strategies.ddp import DDPStrategy

from cornernet.errors import ConfigError
from cornernet.training.recipe import Recipe

_PRECISIONS: dict[str, Any] = {"32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
_WAIT = timedelta(minutes=10)  # how long a process waits for the others, of which one may be saving


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What to train on.

    Attributes:
        device: "auto", "cpu", "cuda", "mps" or another accelerator that Lightning knows.
        devices: How many of them on each machine.
        nodes: How many machines; torchrun or SLURM start the processes there.
    """

    device: str = "auto"
    devices: int = 1
    nodes: int = 1


def launch(recipe: Recipe, machine: Machine) -> Fabric:
    """Starts the other processes, or joins them; every process goes on from here.

    Raises:
        ConfigError: When a device cannot be had.
    """
    # Lightning's advertisements and advice are not for the users of a finished program.
    for name in ("lightning", "lightning.fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\\.")
    several = machine.devices * machine.nodes > 1
    try:
        fabric = Fabric(
            accelerator=machine.device,
            devices=machine.devices,
            num_nodes=machine.nodes,
            strategy=DDPStrategy(timeout=_WAIT) if several else "auto",
            precision=_PRECISIONS[recipe.train.precision],
        )
    except (RuntimeError, ValueError) as error:  # Lightning's word for a device that is not there
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"expected {machine.devices} of device {machine.device!r} here, but: {reason}") from error
    fabric.launch()
    fabric.seed_everything(recipe.train.seed, verbose=False)
    return fabric


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether PyTorch says that memory is full; on a CPU it does so by a plain RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def is_lost_process(error: RuntimeError) -> bool:
    """Whether another process of the run is gone or does not answer; gloo says so by a plain RuntimeError."""
    return isinstance(error, dist.DistError) or "gloo" in str(error)
