"""The weights that a run gives out, in our own format: `weights/best` and `weights/last`."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from cornernet.training.checkpoint import replace_folder
from cornernet.training.guard import check_finite
from cornernet.weights.convert import model_card
from cornernet.weights.load import LoadedWeights
from cornernet.weights.native import write_native
from cornernet.weights.record import ModelRecord

FOLDER = "weights"


def write_weights(run: Path, name: str, state: Mapping[str, Tensor], record: ModelRecord) -> Path:
    """Writes `weights/NAME` of a run; what was there before goes when the new folder is whole.

    Raises:
        WeightsError: When it cannot be written.
        CornerNetError: When an entry is not finite.
    """
    check_finite(state)
    target = run / FOLDER / name
    new = target.with_name(f".{name}-new")
    shutil.rmtree(new, ignore_errors=True)
    entries = {key: tensor.detach().cpu() for key, tensor in state.items()}
    loaded = LoadedWeights(record=record, state=entries, origin="cornernet")
    write_native(new, record, entries, card=model_card(loaded, None))
    replace_folder(new, target)
    return target
