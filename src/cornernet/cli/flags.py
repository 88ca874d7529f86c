"""The fields of an options dataclass as the flags of a command: how each is spelled, read and described."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

_SYMBOLS: dict[Any, str] = {bool: "true|false", int: "N", float: "X", Path: "PATH", str: "NAME"}


@dataclass(frozen=True, kw_only=True)
class Flag:
    """One option.

    Attributes:
        name: The field's name, with underscores.
        type: Its type as annotated: bool, int, float, str, Path or a Literal, such a type or None, or a tuple of them.
        default: Its default; `MISSING` where there is none.
        text: What the class's docstring says of it.
        group: The heading it stands under in the help.
        positional: Whether its value is given without a flag.
        bare: What the flag means when no value follows it; None where one must.
        dotted: Whether it gathers the flags with a dot in their names, as NAME=VALUE texts.
    """

    name: str
    type: Any
    default: Any
    text: str
    group: str
    positional: bool
    bare: str | None = None
    dotted: bool = False

    @property
    def spelling(self) -> str:
        """As a user types it."""
        return self.name.upper() if self.positional else f"--{self.name.replace('_', '-')}"

    @property
    def many(self) -> bool:
        """Whether it takes a list."""
        return get_origin(self.type) is tuple

    @property
    def switch(self) -> bool:
        """Whether it is on or off."""
        return self.value_type is bool

    @property
    def optional(self) -> bool:
        """Whether None is a value of its own."""
        return NoneType in get_args(self.type)

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is MISSING

    @property
    def value_type(self) -> Any:
        """The type of its value, or of each in a list."""
        inner = [t for t in get_args(self.type) if t not in (NoneType, Ellipsis)]
        return self.type if get_origin(self.type) is Literal or not inner else inner[0]

    @property
    def choices(self) -> tuple[str, ...]:
        """The words it takes; none where any value may stand."""
        return get_args(self.value_type) if get_origin(self.value_type) is Literal else ()

    @property
    def symbol(self) -> str:
        """What stands for its value in the help."""
        if self.positional:
            return self.spelling
        one = "|".join(self.choices) or _SYMBOLS[self.value_type]
        return f"{one},..." if self.many else one

    @property
    def help(self) -> str:
        """Its line in the help, with the default."""
        negation = f"--no-{self.name.replace('_', '-')}"
        note = f" (on; {negation} turns it off)" if self.switch and self.default else ""
        if self.required:
            note = " (required)"
        elif not self.switch and self.default not in (None, ()):
            values = self.default if isinstance(self.default, tuple) else (self.default,)
            note = f" (default: {','.join(f'{v:g}' if isinstance(v, float) else str(v) for v in values)})"
        return (self.text.rstrip(".") + note).replace("%", "%%")

    def goes_on(self, token: str) -> bool:
        """Whether a token behind a list belongs to it; a file's name behind `--scales 0.5 1` does not."""
        if self.choices:
            return set(token.split(",")) <= set(self.choices)
        return self.value_type in (int, float) and re.fullmatch(r"[\d.,]*\d[\d.,]*", token) is not None


def flags_of(options: type[Any], positionals: tuple[str, ...] = ()) -> list[Flag]:
    """The flags of an options dataclass, those of its bases last, each base under the first line of its docstring.

    Args:
        options: The dataclass; each field is described in the `Attributes` of the class that defines it, and its
            metadata may say what is `bare` or `dotted`.
        positionals: Fields whose values are given without a flag.
    """
    hints = get_type_hints(options)
    defined = {f.name: f for f in fields(options)}
    found: list[Flag] = []
    for cls in options.__mro__[:-1]:
        text = inspect.getdoc(cls) or ""
        heading = "arguments" if cls is options else text.split("\n", 1)[0].rstrip(".").lower()
        for name, help_text in _attributes(text):
            found.append(
                Flag(
                    name=name,
                    type=hints[name],
                    default=defined[name].default,
                    text=help_text,
                    group=heading,
                    positional=name in positionals,
                    **defined[name].metadata,
                )
            )
    return found


def _attributes(docstring: str) -> Iterator[tuple[str, str]]:
    """Names and texts of a docstring's `Attributes` section (google convention)."""
    section = re.search(r"^Attributes:\n((?: {4}.*\n?|\n)*)", docstring, re.MULTILINE)
    for entry in re.finditer(r"^ {4}(\w+): ((?:.|\n {8})*)", section[1] if section else "", re.MULTILINE):
        yield entry[1], " ".join(entry[2].split())
