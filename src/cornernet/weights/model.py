"""From a name or a path to a network that holds its weights."""

from __future__ import annotations

import logging
from pathlib import Path

from cornernet.models.build import build_model
from cornernet.models.cornernet import CornerNet
from cornernet.weights.architecture import empty_model
from cornernet.weights.load import load_weights
from cornernet.weights.record import ModelRecord
from cornernet.weights.state import load_state


def load_model(
    source: str | Path, *, num_classes: int | None = None, progress: bool = True
) -> tuple[CornerNet, ModelRecord]:
    """The network of a checkpoint, on the CPU, and what else travels with its weights.

    Args:
        source: As for `load_weights`.
        num_classes: Another class count than the checkpoint's; the class layers then start at random, and a warning of
            the logger "cornernet" names them.
        progress: Whether a download shows a bar.

    Raises:
        WeightsError: When the weights are missing, damaged, unsafe or another model's.
    """
    loaded = load_weights(source, num_classes=num_classes, progress=progress)
    # What is left out starts at random; else the network takes the loaded tensors themselves, without a second copy.
    make = build_model if loaded.left_out else empty_model
    model = make(loaded.record.architecture)
    load_state(model, loaded.state, left_out=loaded.left_out)
    if loaded.left_out:
        names = ", ".join(loaded.left_out)
        logging.getLogger("cornernet").warning(
            "another class count than the checkpoint's: %d entries are not loaded and start at random: %s",
            len(loaded.left_out),
            names,
        )
    return model, loaded.record
