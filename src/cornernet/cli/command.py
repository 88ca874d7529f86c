"""What a command is, and how it ends."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cornernet.cli.options import CommonOptions

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: done; something failed; the arguments cannot be used; interrupted."""


@dataclass(frozen=True)
class Command:
    """What the module of a command says of it.

    Attributes:
        options: Its options dataclass.
        run: Does the work; what it returns is the exit code.
        positionals: Fields of `options` whose values are given without a flag.
    """

    options: type[CommonOptions]
    run: Callable[[Any], int]
    positionals: tuple[str, ...] = ()


@dataclass(frozen=True)
class Group:
    """Commands under one name; each is the module of its own name in the group's package.

    Attributes:
        text: What they have in common.
        commands: Their names, each with what it does in a line.
    """

    text: str
    commands: Mapping[str, str]


def say(message: str) -> None:
    """Prints a message for the user; standard output is for results alone."""
    print(f"cornernet: {message}", file=sys.stderr)
