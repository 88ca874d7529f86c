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
from lightning.fabric.accelerators.accelerator import Accelerator
from lightning.fabric.plugins.precision.amp import MixedPrecision
from lightning.fabric.strategies.ddp import DDPStrategy
from lightning.fabric.strategies.single_device import SingleDeviceStrategy

from cornernet.errors import ConfigError
from cornernet.training.options import Precision
from cornernet.training.recipe import Recipe

_LIGHTNINGS = ("cpu", "cuda", "mps")  # what Lightning has classes for
_MIXED: dict[str, Any] = {"bf16": "bf16-mixed", "fp16": "16-mixed"}
_WAIT = timedelta(minutes=10)  # how long a process waits for the others, of which one may be saving


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What to train on.

    Attributes:
        device: "auto", "cpu", "cuda", "cuda:1", "mps" or any other accelerator that PyTorch knows.
        devices: How many of them on each machine.
        nodes: How many machines; torchrun or SLURM start the processes there.
    """

    device: str = "auto"
    devices: int = 1
    nodes: int = 1


class AnyAccelerator(Accelerator):
    """The machine's accelerator by PyTorch's device-neutral interface, for kinds that Lightning has no class for."""

    def setup_device(self, device: torch.device) -> None:
        """Makes it this process's device."""
        torch.accelerator.set_device_index(device.index or 0)

    def teardown(self) -> None:
        """There is nothing to undo."""

    @staticmethod
    def parse_devices(devices: Any) -> list[int]:
        """Indices of that many devices, or those that are listed."""
        return devices if isinstance(devices, list) else list(range(int(devices)))

    @staticmethod
    def get_parallel_devices(devices: list[int]) -> list[torch.device]:
        """The devices of these indices."""
        return [torch.device(_current_kind(), index) for index in devices]

    @staticmethod
    def auto_device_count() -> int:
        """All there are."""
        return torch.accelerator.device_count()

    @staticmethod
    def is_available() -> bool:
        """Whether the machine has one."""
        return torch.accelerator.is_available()

    @staticmethod
    def name() -> str:
        """What Lightning calls it in messages."""
        return "accelerator"


def launch(recipe: Recipe, machine: Machine) -> Fabric:
    """Starts the other processes, or joins them; every process goes on from here.

    Raises:
        ConfigError: When a device cannot be had.
    """
    # Lightning's advertisements and advice are not for the users of a finished program.
    for name in ("lightning", "lightning.fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\.")
    try:
        fabric = _fabric(recipe.train.precision, machine)
    except (RuntimeError, ValueError) as error:  # Lightning's word for a device that is not there
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"expected {machine.devices} of device {machine.device!r} here, but: {reason}") from error
    fabric.launch()
    fabric.seed_everything(recipe.train.seed, verbose=False)
    return fabric


def _fabric(precision: Precision, machine: Machine) -> Fabric:
    kind, _, index = (_current_kind() if machine.device == "auto" else machine.device).partition(":")
    accelerator = kind if kind in _LIGHTNINGS else AnyAccelerator()
    if kind not in _LIGHTNINGS and kind != _current_kind():
        raise ValueError(f"this machine's accelerator is {_current_kind()}")
    if machine.devices * machine.nodes > 1:
        strategy: Any = DDPStrategy(timeout=_WAIT)
    elif isinstance(accelerator, AnyAccelerator):
        strategy = SingleDeviceStrategy(torch.device(kind, int(index or 0)))
    else:
        strategy = "auto"
    return Fabric(
        accelerator=accelerator,
        devices=[int(index)] if index else machine.devices,
        num_nodes=machine.nodes,
        strategy=strategy,
        plugins=[] if precision == "32" else [MixedPrecision(_MIXED[precision], kind)],
    )


def _current_kind() -> str:
    device = torch.accelerator.current_accelerator(check_available=True)
    return device.type if device else "cpu"


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether PyTorch says that memory is full; on a CPU it does so by a plain RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def is_lost_process(error: RuntimeError) -> bool:
    """Whether another process of the run is gone or does not answer; gloo says so by a plain RuntimeError."""
    return isinstance(error, dist.DistError) or "gloo" in str(error)
