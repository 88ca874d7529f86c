"""The one door to weights: a published name, a file, a folder or a hub repository, to a checked state dict."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from cornernet.errors import WeightsError
from cornernet.models.config import CornerNetConfig
from cornernet.structures.classes import Classes
from cornernet.weights.architecture import expected_shapes, read_architecture
from cornernet.weights.download import check_named_hash, fetch, fetch_hub
from cornernet.weights.keymaps import CORNERNET, detect_naming, to_ours
from cornernet.weights.native import CONFIG, WEIGHTS, read_native, read_tensors
from cornernet.weights.pickles import Checkpoint, read_pickle
from cornernet.weights.record import ModelRecord
from cornernet.weights.recorded import read_classes, read_preprocessing
from cornernet.weights.state import CLASS_LAYERS, check_shapes, clean, with_counters
from cornernet.weights.zoo import PUBLISHED

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FILE_SUFFIXES = (".pth", ".pt", ".pkl", ".safetensors", ".bin", ".ckpt")


@dataclass(frozen=True, kw_only=True)
class LoadedWeights:
    """A checkpoint that fits the network it describes.

    Attributes:
        record: Architecture, preprocessing and classes.
        state: The network's entries under our names, float32 (batch norm's counters int64) on the CPU.
        origin: Whose naming the file had: "cornernet", "mmdetection" or "princeton".
        left_out: Entries of the network that are not in `state`, because another class count was asked for.
    """

    record: ModelRecord
    state: dict[str, Tensor]
    origin: str
    left_out: tuple[str, ...] = ()


def load_weights(source: str | Path, *, num_classes: int | None = None, progress: bool = True) -> LoadedWeights:
    """Reads a checkpoint of any known kind. Nothing in it is run, and nothing about it is guessed.

    Args:
        source: A file (MMDetection's, Princeton's, ours), a folder in our format, a published checkpoint's name, or
            "user/name" on the Hugging Face Hub; what exists on the disk wins.
        num_classes: The class count wanted; when it is not the checkpoint's, the layers that depend on it are left out.
        progress: Whether a download draws a progress bar on stderr.

    Raises:
        WeightsError: When the checkpoint cannot be had, is damaged or unsafe, or belongs to another model.
    """
    path = _locate(source, progress)
    try:
        loaded = _read(path)
    except OSError as error:
        raise WeightsError(f"expected to read the weights in {path}, got {error.strerror or error}") from error
    own = loaded.record.architecture.num_classes
    return loaded if num_classes in (None, own) else _without_class_layers(loaded, num_classes)


def _locate(source: str | Path, progress: bool) -> Path:
    """The path of what `source` names, downloaded when it is not here yet."""
    path, name = Path(source).expanduser(), str(source)
    if path.exists():
        return path
    if isinstance(source, str):
        if published := PUBLISHED.get(name):
            return fetch(published.url, sha256_prefix=published.sha256_prefix, progress=progress)
        if _HUB_ID.fullmatch(name) and not name.endswith(_FILE_SUFFIXES):
            return fetch_hub(name)
    if isinstance(source, Path) or name.endswith(_FILE_SUFFIXES) or len(path.parts) > 1:
        raise WeightsError(f"expected a weights file or folder at {path}, got nothing there: check the path")
    near = difflib.get_close_matches(name.lower(), PUBLISHED, n=1, cutoff=0.0)[0]
    raise WeightsError(
        f"expected a file, a folder, a hub repository 'user/name' or one of {', '.join(PUBLISHED)}, got {name!r}: "
        f"did you mean {near!r}?"
    )


def _read(path: Path) -> LoadedWeights:
    if path.is_dir():
        return _native(path)
    check_named_hash(path)
    if _is_safetensors(path):
        if (path.parent / CONFIG).is_file():
            return _native(path.parent, path.name)
        return _foreign(Checkpoint(entries=read_tensors(path)))
    return _foreign(read_pickle(path))


def _is_safetensors(path: Path) -> bool:
    """By its content: eight bytes of length, then a JSON object; or by its name, when it is too short to tell."""
    with path.open("rb") as file:
        head = file.read(9)
    return head[8:] == b"{" or path.suffix == ".safetensors"


def _native(folder: Path, weights: str = WEIGHTS) -> LoadedWeights:
    record, entries = read_native(folder, weights)
    config, state = _whole(to_ours(clean(entries), CORNERNET))
    if config != record.architecture:
        differs = next(key for key, value in vars(config).items() if value != getattr(record.architecture, key))
        raise WeightsError(
            f"expected {differs} = {getattr(record.architecture, differs)} as {folder / CONFIG} says, got weights "
            f"with {getattr(config, differs)}: the two files do not belong together"
        )
    return LoadedWeights(record=record, state=state, origin=CORNERNET.origin)


def _foreign(checkpoint: Checkpoint) -> LoadedWeights:
    naming = detect_naming(checkpoint.entries)
    config, state = _whole(to_ours(clean(checkpoint.entries), naming))
    record = ModelRecord(
        architecture=config,
        preprocessing=read_preprocessing(naming.origin, checkpoint.meta),
        classes=read_classes(checkpoint.meta, config.num_classes),
    )
    return LoadedWeights(record=record, state=state, origin=naming.origin)


def _whole(state: dict[str, Tensor]) -> tuple[CornerNetConfig, dict[str, Tensor]]:
    """The architecture, and the state of the whole network, batch norm's counters filled in."""
    config = read_architecture({name: tuple(tensor.shape) for name, tensor in state.items()})
    expected = expected_shapes(config)
    state = with_counters(state, expected)
    check_shapes(state, expected)
    return config, state


def _without_class_layers(loaded: LoadedWeights, num_classes: int) -> LoadedWeights:
    left_out = tuple(name for name in loaded.state if name.endswith(CLASS_LAYERS))
    record = replace(
        loaded.record,
        architecture=replace(loaded.record.architecture, num_classes=num_classes),
        classes=Classes.unnamed(num_classes),
    )
    state = {name: tensor for name, tensor in loaded.state.items() if name not in left_out}
    return replace(loaded, record=record, state=state, left_out=left_out)
