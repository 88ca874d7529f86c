"""What a measurement says of the machine it was taken on."""

from __future__ import annotations

import datetime
import platform
from contextlib import suppress
from pathlib import Path

import cv2
import torch

import cornernet


def describe(device: torch.device) -> dict[str, str | int]:
    """Date (UTC), versions, system and device, as strings and numbers that JSON can hold."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cornernet": cornernet.__version__,
        "torch": torch.__version__,
        "opencv": cv2.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": device_name(device),
        "device_type": device.type,
        "cpu": cpu_name(),
        "threads": torch.get_num_threads(),
    }


def device_name(device: torch.device) -> str:
    """What the maker calls the device, or its type where PyTorch does not know."""
    if device.type == "cpu":
        return cpu_name()
    ask = getattr(torch.get_device_module(device), "get_device_name", None)
    return str(ask(device)) if ask is not None else device.type


def cpu_name() -> str:
    """The processor and the widest instructions PyTorch uses on it."""
    name = platform.processor() or platform.machine()
    with suppress(OSError):  # Linux knows it by its model
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"


def peak_process_bytes() -> int | None:
    """The most memory the process has held so far; None where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024


def peak_device_bytes(device: torch.device) -> int | None:
    """The most memory tensors have held on an accelerator so far; None for the CPU, or where PyTorch does not count."""
    if device.type == "cpu":
        return None
    try:
        return int(torch.accelerator.max_memory_allocated(device)) or None
    except (RuntimeError, NotImplementedError, AttributeError):  # each backend refuses in its own way
        return None
