"""Values from YAML or a command line, as the type that a field is annotated with."""

from __future__ import annotations

from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from cornernet.errors import ConfigError

_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}


def convert(value: Any, kind: Any, where: str) -> Any:
    """`value` as a `kind`, when it is one without guessing.

    Args:
        value: What YAML read, or the text of a command line. Numbers may be text too: YAML takes 5e-4 for one.
        kind: bool, int, float, str, Path, a Literal of texts, such a type or None, or a tuple of such types.
        where: The field's name, for the error.

    Raises:
        ConfigError: When it is not.
    """
    if get_origin(kind) in (Union, UnionType):
        if value is None or value in ("null", "none", ""):
            return None
        (kind,) = (k for k in get_args(kind) if k is not NoneType)
    if get_origin(kind) is tuple:
        return _tuple(value, kind, where)
    if get_origin(kind) is Literal:
        # A precision of 32 is a number to YAML.
        if str(value) in get_args(kind) and not isinstance(value, bool):
            return str(value)
        raise ConfigError(f"expected {where} to be one of {', '.join(get_args(kind))}, got {value!r:.80}")
    converted = _scalar(value, kind)
    if converted is None:
        raise ConfigError(f"expected {where} to be {_WORDS[kind]}, got {value!r:.80}")
    return converted


def _tuple(value: Any, kind: Any, where: str) -> tuple[Any, ...]:
    kinds = get_args(kind)
    if isinstance(value, str):
        value = [part for part in value.strip("[]() ").replace(",", " ").split() if part]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        value = [value]
    if not isinstance(value, list | tuple):
        raise ConfigError(f"expected {where} to be a list, got {value!r:.80}")
    if Ellipsis not in kinds and len(value) != len(kinds):
        raise ConfigError(f"expected {where} to be {len(kinds)} values, got {len(value)}")
    each = [kinds[0]] * len(value) if Ellipsis in kinds else kinds
    return tuple(convert(v, k, f"each of {where}") for v, k in zip(value, each, strict=True))


def _scalar(value: Any, kind: Any) -> Any:
    """None when it is not of the kind."""
    if kind is bool:
        words = {"true": True, "false": False}
        return value if isinstance(value, bool) else words.get(str(value).lower())
    if isinstance(value, bool) or value is None:
        return None
    if kind in (str, Path):
        return kind(value) if isinstance(value, str | Path) else str(value) if kind is str else None
    try:
        number = float(value) if not isinstance(value, int) else value
    except (TypeError, ValueError):
        return None
    if kind is float:
        return float(number)
    return int(number) if number == number and abs(number) < 2**63 and int(number) == number else None
