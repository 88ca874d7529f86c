"""Reading PyTorch's files (`.pth`, `.pt`, `.pkl`; zip or the format before torch 1.6) without running anything in them.

Such a file is a pickle, and a pickle may name any function to be called. Here `torch.load(weights_only=True)` does the
reading, always. MMDetection's files also name classes of mmengine and numpy (loss histories, random states): for these
an inert stand-in is offered, which keeps nothing and does nothing. Every other name is refused, with the name.
"""

from __future__ import annotations

import pickle
import pickletools
import re
import threading
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO, Any

import torch

from cornernet.errors import WeightsError

STATE_KEYS = ("state_dict", "model_state_dict", "model", "network", "ema_state_dict")
"""Where training programs keep the state dict in their checkpoint, the likeliest first."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a file holds.

    Attributes:
        entries: The state dict as it stands in the file, values unchecked.
        meta: MMDetection's `meta`, or empty. Its values are whatever the file says: check each type.
    """

    entries: Mapping[str, object]
    meta: Mapping[str, object] = field(default_factory=dict)


class _Inert:
    """Stands in for a foreign class or function: takes any arguments, keeps none, does nothing."""

    def __new__(cls, *_: object) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


class _InertMapping:
    """Stands in for a foreign dict class: torch.load fills nothing but plain dicts."""

    def __new__(cls, *_: object) -> OrderedDict[Any, Any]:  # type: ignore[misc]
        return OrderedDict()


_STAND_INS = (
    (re.compile(r"(mmengine|mmcv|addict)(\.\w+)*\.\w*Dict|collections\.defaultdict"), _InertMapping),
    (re.compile(r"(mmengine|mmcv|mmdet)(\.\w+)*\.[A-Z]\w*"), _Inert),  # classes; functions are not what a file keeps
    (re.compile(r"numpy\.(ndarray|dtype|dtypes\.\w+|_?core\.multiarray\.(_reconstruct|scalar))"), _Inert),
    # HistoryBuffer keeps a table of its own methods, a defaultdict the type of its values.
    (re.compile(r"builtins\.(getattr|list|dict|tuple|int|float|str|bool)"), _Inert),
    (re.compile(r"pathlib\.\w*Path|argparse\.Namespace|datetime\.(datetime|timedelta)"), _Inert),
)
_LEFT_TO_TORCH = re.compile(r"torch\..+|collections\.(OrderedDict|Counter)|_codecs\.encode|builtins\.(set|bytearray)")
"""Names on which `torch.load` decides by its own list."""

_LOADING = threading.Lock()
"""The list of stand-ins is the process's, not the call's."""


def read_pickle(path: Path) -> Checkpoint:
    """The state dict and `meta` of a PyTorch file; tensors are read, not mapped from the file.

    Raises:
        WeightsError: When the file is no checkpoint, is damaged, has no state dict, or names anything beyond tensors,
            plain Python values and the foreign classes known to be harmless.
        OSError: When it cannot be read at all.
    """
    names = _names(path)
    stand_ins = [(stand_in, name) for name in names if (stand_in := _stand_in(name))]
    refused = sorted(name for name in names if not _stand_in(name) and not _LEFT_TO_TORCH.fullmatch(name))
    if refused:
        raise _refusal(path, ", ".join(refused[:3]))
    try:
        with _LOADING, torch.serialization.safe_globals(stand_ins):  # type: ignore[arg-type]
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=False)
    except OSError:
        raise
    except Exception as error:  # the bytes are anyone's: whatever the reader stumbles over, the file is at fault
        if wanted := re.search(r"GLOBAL (\S+)", str(error)):
            raise _refusal(path, wanted[1]) from error
        raise _damaged(path, error) from error
    return _checkpoint(path, content)


def _stand_in(name: str) -> type[_Inert] | type[_InertMapping] | None:
    return next((stand_in for pattern, stand_in in _STAND_INS if pattern.fullmatch(name)), None)


def _refusal(path: Path, wanted: str) -> WeightsError:
    return WeightsError(
        f"expected only tensors and plain values in {path}, but it wants to run {wanted}: refused, nothing was run; "
        "if you trust its source, save the model's state_dict() alone and use that"
    )


def _damaged(path: Path, error: Exception) -> WeightsError:
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    return WeightsError(f"expected a whole PyTorch checkpoint in {path}, got a damaged one ({reason}): fetch it again")


def _names(path: Path) -> set[str]:
    """Everything a file names to be called or built, found without unpickling."""
    head = _head(path)
    if head.startswith(_ZIP):
        return set(_named(BytesIO(_zipped_pickle(path)), path))
    if not head.startswith(b"\x80"):
        raise WeightsError(f"expected a PyTorch or safetensors checkpoint in {path}, got {_kind(head)}")
    with path.open("rb") as file:
        names = set(_named(file, path))
        for _ in range(4 if head.startswith(_LEGACY) else 0):
            names |= set(_named(file, path))
        return names


_ZIP = b"PK\x03\x04"
_LEGACY = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
"""How files before torch 1.6 begin; four more pickles follow, then the raw numbers."""


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(512)


def _kind(head: bytes) -> str:
    text = head.lstrip().lower()
    if not head:
        return "an empty file: fetch it again"
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "a web page: the download went to an error or login page, fetch the file itself"
    if text.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer: run git lfs pull"
    if head.startswith(b"PK"):
        return "a cut-off zip file: the download is incomplete, fetch it again"
    return f"a file that starts with {head[:16]!r}"


def _zipped_pickle(path: Path) -> bytes:
    """`data.pkl` of a zip file, of which torch.save stores every member as it is."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise WeightsError(
                    f"expected {path} as torch.save writes it, got a compressed zip file: unpack it first"
                )
            found = [member for member in members if PurePosixPath(member.filename).name == "data.pkl"]
            if len(found) != 1:
                raise WeightsError(
                    f"expected one data.pkl in {path}, got a zip file with {len(found)}: not a checkpoint"
                )
            return archive.read(found[0])
    except WeightsError:
        raise
    except Exception as error:  # as above
        raise _damaged(path, error) from error


def _named(file: IO[bytes], path: Path) -> Iterator[str]:
    """What the next pickle in the file names, as `torch.load` spells it; the file is left behind its end."""
    strings = ["", ""]  # from protocol 4 on, module and name are the last two strings on the stack
    try:
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name in ("GLOBAL", "INST"):
                yield _todays(str(argument))
            elif opcode.name == "STACK_GLOBAL":
                yield ".".join(strings)
            elif isinstance(argument, str):
                strings = [strings[1], argument]
    except Exception as error:  # as above
        raise _damaged(path, error) from error


def _todays(argument: str) -> str:
    """Module and name, joined, under the names Python 3 gave them; protocol 2 writes those of Python 2."""
    module, _, name = argument.partition(" ")
    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
    return f"{module}.{name}"


def _checkpoint(path: Path, content: object) -> Checkpoint:
    """The state dict in what was loaded, wherever training programs put it."""
    if not isinstance(content, dict):
        raise WeightsError(f"expected a state dict in {path}, got {_type(content)}: save the model's state_dict()")
    meta = content.get("meta")
    state: dict[object, object] = next(
        (content[key] for key in STATE_KEYS if isinstance(content.get(key), dict)), content
    )
    # An averaged model counts its updates beside the weights.
    entries = {str(name): value for name, value in state.items() if name != "steps"}
    if not any(isinstance(value, torch.Tensor) for value in entries.values()):
        held = ", ".join(map(repr, list(entries)[:5])) or "nothing"
        raise WeightsError(f"expected a state dict with tensors in {path}, got one that holds {held}")
    return Checkpoint(entries=entries, meta=meta if isinstance(meta, dict) else {})


def _type(content: object) -> str:
    return "one bare tensor" if isinstance(content, torch.Tensor) else type(content).__name__.lstrip("_")
