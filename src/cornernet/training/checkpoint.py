"""A run's full state on the disk: whole or not at all, checked when read, the one before kept."""

from __future__ import annotations

import pickle
import random
import shutil
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cornernet.errors import CornerNetError, WeightsError
from cornernet.structures.files import atomic_path

FOLDER = "checkpoints"
_FORMAT = "cornernet-run"
_VERSION = 1
_KEPT = 2


@dataclass(kw_only=True)
class Progress:
    """How far a run is.

    Attributes:
        epoch: Epochs done.
        pictures: Pictures done of the epoch under way, over all devices.
        step: Optimiser steps done.
        skipped: Steps in a row, up to the last one, that were left out.
        validated: The last epoch that was measured.
        best: The best AP so far, in 0..1; below 0 before the first.
        best_epoch: The epoch that had it.
        window: Sums of what the next line of the logs will hold, and how many steps they are of.
    """

    epoch: int = 0
    pictures: int = 0
    step: int = 0
    skipped: int = 0
    validated: int = 0
    best: float = -1.0
    best_epoch: int = 0
    window: list[float]

    @classmethod
    def start(cls) -> Progress:
        """Before the first step."""
        return cls(window=[])


@dataclass(frozen=True, kw_only=True)
class RunState:
    """Everything a run goes on from.

    Attributes:
        progress: How far it is.
        record: The weights' record, the text of `config.json`.
        network: The network's entries.
        optimiser: The optimiser's state.
        average: The moving average's entries, where one is kept.
        scaler: The state of half precision's loss scale; empty without.
        generators: The states of all random generators.
    """

    progress: Progress
    record: str
    network: dict[str, Tensor]
    optimiser: dict[str, Any]
    average: dict[str, Tensor] | None
    scaler: dict[str, Any]
    generators: dict[str, Any]


def save_checkpoint(run: Path, state: RunState) -> Path:
    """Writes a checkpoint; the last but one before it goes when it is in place.

    Raises:
        CornerNetError: When it cannot be written; the ones before stay.
    """
    path = run / FOLDER / f"step-{state.progress.step:08d}.pt"
    content = {"format": _FORMAT, "version": _VERSION, **vars(state), "progress": asdict(state.progress)}
    try:
        with atomic_path(path) as temporary:
            torch.save(content, temporary)
    except (OSError, RuntimeError) as error:  # PyTorch's writer reports a full disk as a RuntimeError
        reason = " ".join(str(error).split())[:200]
        raise CornerNetError(
            f"expected to write the checkpoint {path}, got {reason}: free the place, then cornernet train "
            f"--resume {run}"
        ) from error
    for old in _newest_first(run)[_KEPT:]:
        old.unlink(missing_ok=True)
    return path


def load_checkpoint(run: Path) -> tuple[RunState, list[str]]:
    """The newest whole checkpoint of a run, and what the user should know of damaged newer ones.

    Every byte is held against its checksum, and nothing in the file is run.

    Raises:
        WeightsError: When there is no whole one.
    """
    notes: list[str] = []
    for path in _newest_first(run):
        try:
            return _read(path), notes
        except WeightsError as error:
            notes.append(str(error))
    found = f"; {notes[0]}" if notes else ""
    raise WeightsError(f"expected a checkpoint to go on from in {run / FOLDER}, found none that is whole{found}")


def has_checkpoint(run: Path) -> bool:
    """Whether a run has a checkpoint, whole or not."""
    return bool(_newest_first(run))


def clear_temporaries(run: Path) -> None:
    """Removes what a killed process was writing."""
    for path in [*run.glob("**/.*.tmp*")]:
        path.unlink(missing_ok=True)
    for path in [*run.glob("weights/.*-new")]:
        shutil.rmtree(path, ignore_errors=True)
    for old in [*run.glob("weights/.*-old")]:
        name = old.with_name(old.name[1:].removesuffix("-old"))
        if name.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(name)


def replace_folder(new: Path, name: Path) -> None:
    """Puts a folder in another's place; `clear_temporaries` mends it when it is cut short."""
    old = name.with_name(f".{name.name}-old")
    if name.exists():
        shutil.rmtree(old, ignore_errors=True)
        name.rename(old)
    new.rename(name)
    shutil.rmtree(old, ignore_errors=True)


def generator_states() -> dict[str, Any]:
    """The states of all global random generators, as plain values and tensors."""
    numpy_state: Any = np.random.get_state(legacy=False)
    numpy_state["state"]["key"] = numpy_state["state"]["key"].tolist()
    states = {"torch": torch.get_rng_state(), "python": random.getstate(), "numpy": numpy_state}
    device = torch.accelerator.current_accelerator(check_available=True)
    if device is not None:
        states["device"] = torch.get_device_module(device).get_rng_state()
    return states


def set_generators(states: dict[str, Any]) -> None:
    """Goes on with what `generator_states` gave."""
    torch.set_rng_state(states["torch"])
    random.setstate(states["python"])
    key = np.array(states["numpy"]["state"]["key"], dtype=np.uint32)
    np.random.set_state({**states["numpy"], "state": {**states["numpy"]["state"], "key": key}})
    device = torch.accelerator.current_accelerator(check_available=True)
    if device is not None and "device" in states:
        torch.get_device_module(device).set_rng_state(states["device"])


def _newest_first(run: Path) -> list[Path]:
    return sorted((run / FOLDER).glob("step-*.pt"), reverse=True)


def _read(path: Path) -> RunState:
    try:
        with zipfile.ZipFile(path) as file:
            if (damaged := file.testzip()) is not None:  # torch.load takes flipped bytes without a word
                raise WeightsError(f"{path}: expected a whole checkpoint, got a wrong checksum in {damaged}")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"{path}: expected a whole checkpoint, got a damaged one ({reason})") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT or content.get("version") != _VERSION:
        raise WeightsError(f"{path}: expected a checkpoint of a run, version {_VERSION}, got something else")
    try:
        fields = {name: content[name] for name in RunState.__dataclass_fields__ if name != "progress"}
        return RunState(progress=Progress(**content["progress"]), **fields)
    except (KeyError, TypeError) as error:
        raise WeightsError(f"{path}: expected a checkpoint of a run, got one without {error}") from error
