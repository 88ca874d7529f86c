"""Our own format: a folder with `model.safetensors` (the tensors) and `config.json` (everything else about them).

    {"format": "cornernet", "version": 1,
     "architecture": {"num_classes": 2, "stacks": 2, ...},
     "preprocessing": {"channel_order": "rgb", "mean": [...], ...},
     "classes": [{"id": 1, "name": "cat"}, {"id": 7, "name": "dog"}]}

The same two files make a repository on the Hugging Face Hub.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from cornernet.errors import ConfigError, WeightsError
from cornernet.models.config import CornerNetConfig
from cornernet.structures.classes import Classes
from cornernet.structures.files import atomic_path, write_atomic
from cornernet.weights.record import ModelRecord, Preprocessing

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
CARD = "README.md"
VERSION = 1
_LATER = {"scale"}

_LONGEST_CONFIG = 4_000_000
_T = TypeVar("_T")


def write_native(folder: Path, record: ModelRecord, state: Mapping[str, Tensor], *, card: str) -> None:
    """Writes a model's folder. The folder holds no readable model until all of it is there.

    Args:
        folder: Made when missing; a model in it is replaced, other files stay.
        record: What goes into `config.json`.
        state: Every entry of the network, under our names.
        card: The text of `README.md`, the model card.

    Raises:
        WeightsError: When the folder cannot be written; a model that was there before is then whole, or gone.
    """
    target = folder / WEIGHTS
    try:
        with atomic_path(target) as temporary:  # the long part first: a full disk shows before anything is replaced
            save_file({name: tensor.contiguous() for name, tensor in state.items()}, temporary, {"format": "pt"})
            target.unlink(missing_ok=True)  # never new words beside old weights
            write_atomic(folder / CONFIG, json.dumps(record_to_json(record), indent=2, ensure_ascii=False) + "\n")
            write_atomic(folder / CARD, card)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"expected to write a model to {folder}, got {_reason(error)}: free the place") from error


def read_native(folder: Path, weights: str = WEIGHTS) -> tuple[ModelRecord, dict[str, Tensor]]:
    """The record and the tensors of a model's folder; the tensors are read, not mapped from the file.

    Args:
        folder: Where `config.json` lies.
        weights: Name of the safetensors file in it.

    Raises:
        WeightsError: When a file is missing or damaged, or `config.json` is not exactly of the format.
    """
    missing = [name for name in (CONFIG, weights) if not (folder / name).is_file()]
    if missing:
        raise WeightsError(f"expected {CONFIG} and {weights} in the model folder {folder}, got no {missing[0]}")
    return read_record(folder / CONFIG), read_tensors(folder / weights)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file.

    They are copies: a mapped file that somebody writes to would change the network under way, and stays in memory
    beside it once the weights are folded.

    Raises:
        WeightsError: When the file is damaged: the header, the lengths and every offset are checked first.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name).clone() for name in file.keys()}
    except (SafetensorError, OSError, MemoryError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise WeightsError(
            f"expected a whole safetensors file in {path}, got a damaged one ({_reason(error)}): fetch it again"
        ) from error


def read_record(path: Path) -> ModelRecord:
    """What `config.json` holds.

    Raises:
        WeightsError: When it is not exactly of the format; the message says where.
    """
    try:
        if path.stat().st_size > _LONGEST_CONFIG:
            raise WeightsError(f"expected a {CONFIG} of a few kilobytes, got {path.stat().st_size:,} bytes in {path}")
        return record_from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError) as error:  # of which ConfigError is one
        raise WeightsError(f"expected a cornernet {CONFIG} in {path}, but: {_reason(error)}") from error


def record_to_json(record: ModelRecord) -> dict[str, Any]:
    """The object that `config.json` holds."""
    pairs = zip(record.classes.ids, record.classes.names, strict=True)
    return {
        "format": "cornernet",
        "version": VERSION,
        "architecture": asdict(record.architecture),
        "preprocessing": asdict(record.preprocessing),
        "classes": [{"id": category_id, "name": name} for category_id, name in pairs],
    }


def record_from_json(content: object) -> ModelRecord:
    """The record in what `config.json` held.

    Raises:
        ConfigError: On a missing or unknown key or a value of another type; the message says where.
    """
    top = _keys(content, "the file", ("format", "version", "architecture", "preprocessing", "classes"))
    if top["format"] != "cornernet" or top["version"] != VERSION or isinstance(top["version"], bool):
        raise ConfigError(
            f"expected format 'cornernet', version {VERSION}, got {top['format']!r}, version {top['version']!r}: "
            "convert the original again, or update cornernet"
        )
    if not isinstance(top["classes"], list):
        raise ConfigError(f"expected classes to be a list, got {type(top['classes']).__name__}")
    classes = [_keys(item, f"classes[{i}]", ("id", "name")) for i, item in enumerate(top["classes"])]
    for i, item in enumerate(classes):
        if type(item["id"]) is not int or not isinstance(item["name"], str):
            raise ConfigError(f"expected classes[{i}] to have a whole number as id and a text as name, got {item}")
    return ModelRecord(
        architecture=_build(CornerNetConfig, top["architecture"], "architecture"),
        preprocessing=_build(Preprocessing, top["preprocessing"], "preprocessing"),
        classes=Classes(tuple(item["name"] for item in classes), tuple(item["id"] for item in classes)),
    )


def _build(kind: Callable[..., _T], content: object, where: str) -> _T:
    """A dataclass from a JSON object that has exactly its fields, each of the type of its default.

    Fields that came after the first version may be absent.
    """
    defaults = {field.name: field.default for field in fields(kind)}  # type: ignore[arg-type]
    if isinstance(content, dict):
        content = {name: defaults[name] for name in _LATER & defaults.keys()} | content
    values = _keys(content, where, tuple(defaults))
    for name, default in defaults.items():
        value = values[name]
        # By `type`, as JSON's true is a whole number to `isinstance`.
        if isinstance(default, tuple):
            wanted, fits = "a list of numbers", type(value) is list and all(type(v) in (int, float) for v in value)
        elif isinstance(default, float):
            wanted, fits = "a number", type(value) in (int, float)
        else:
            wanted, fits = "a text" if isinstance(default, str) else "a whole number", type(value) is type(default)
        if not fits:
            raise ConfigError(f"expected {where}.{name} to be {wanted}, got {value!r:.80}")
    return kind(**values)


def _keys(content: object, where: str, expected: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ConfigError(f"expected {where} to be an object with {', '.join(expected)}, got {type(content).__name__}")
    for fault, names in (("no", set(expected) - set(content)), ("an unknown", set(content) - set(expected))):
        if names:
            raise ConfigError(f"expected {where} to have exactly {', '.join(expected)}, got {fault} {min(names)!r:.80}")
    return content


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
