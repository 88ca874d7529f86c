"""The command `cornernet`: finds the command that was named, and turns whatever happens into an exit code.

0: done. 1: something failed. 2: the arguments cannot be used. 130: interrupted.
"""

from __future__ import annotations

import difflib
import io
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

import cornernet
from cornernet.cli.command import DONE, FAILED, INTERRUPTED, USAGE, Command, Group, say
from cornernet.cli.options import CommonOptions
from cornernet.cli.parsing import parse
from cornernet.errors import ConfigError, CornerNetError

COMMANDS = {
    "predict": "find objects in pictures and videos",
    "train": "train a detector on an annotated dataset",
    "evaluate": "measure a model on an annotated dataset",
    "benchmark": "time a model on this machine, stage by stage",
    "convert": "turn a checkpoint into model.safetensors and config.json",
    "info": "list the models and their weights, or tell what a checkpoint is",
    "data": "draw, check, describe, view and convert datasets",
}

_HELP = """usage: {program} COMMAND [flags]

{text}

commands:
{commands}

options:
{options}

What a command takes: {program} COMMAND --help"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: The arguments; those of the process if None.

    Returns:
        The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names may hold what the terminal cannot show
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()  # a pipe that is closed shows itself here, not while Python ends
        return code
    except SystemExit as stop:  # --help, --print-config
        return stop.code if isinstance(stop.code, int) else DONE
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # whoever read the results has enough of them
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def find(words: Sequence[str]) -> tuple[list[str], Command | Group]:
    """The command that words begin with, or the group in which they stop naming one; and the words that name it."""
    path: list[str] = []
    found: Command | Group = Group(text="CornerNet finds objects as pairs of corners.", commands=COMMANDS)
    while isinstance(found, Group) and len(words) > len(path) and words[len(path)] in found.commands:
        path.append(words[len(path)])
        found = import_module(".".join(["cornernet.cli", *path])).COMMAND
    return path, found


def _dispatch(arguments: list[str]) -> int:
    if arguments[:1] == ["--version"]:
        print(f"cornernet {cornernet.__version__}")
        return DONE
    path, found = find(arguments)
    rest = arguments[len(path) :]
    if isinstance(found, Group):
        return _within(found, " ".join(["cornernet", *path]), rest)
    name = " ".join(path)
    try:
        options = parse(found.options, rest, command=name, positionals=found.positionals)
    except ConfigError as error:
        return _usage(f"{error} (cornernet {name} --help lists what there is)")
    return _run(found, options)


def _within(group: Group, program: str, rest: list[str]) -> int:
    """Answers words that name no command of the group: with its help, or with what there is."""
    if rest and rest[0] not in ("-h", "--help"):
        near = difflib.get_close_matches(rest[0], group.commands, n=1)
        hint = f"did you mean {near[0]}?" if near else f"see {program} --help"
        return _usage(f"expected a command ({', '.join(group.commands)}), got {rest[0]!r}: {hint}")
    options = {"-h, --help": "show this help message and exit"}
    if program == "cornernet":
        options["--version"] = "show the version and exit"
    width = max(map(len, [*group.commands, *options])) + 4
    lists = {
        key: "\n".join(f"  {name:{width}}{text}" for name, text in lines.items())
        for key, lines in (("commands", group.commands), ("options", options))
    }
    print(_HELP.format(program=program, text=group.text, **lists))
    return DONE if rest else USAGE


def _run(command: Command, options: CommonOptions) -> int:
    debug = options.debug or os.environ.get("CORNERNET_DEBUG", "") not in ("", "0")
    try:
        return command.run(options)
    except BrokenPipeError:
        raise
    except (CornerNetError, OSError, MemoryError, RuntimeError) as error:
        message = _explain(error)
        if message is None:
            raise  # our own fault: the traceback helps to mend it
        if debug:
            traceback.print_exc()
        say(f"error: {message}")
        return FAILED


def _explain(error: Exception) -> str | None:
    """What to tell the user of an error; None when it is none of theirs."""
    if _is_out_of_memory(error):
        return "the device's memory is full: lower --batch, use fewer or smaller --scales, or run with --device cpu"
    if isinstance(error, CornerNetError | OSError):
        return " ".join(str(error).split())
    return None


def _is_out_of_memory(error: Exception) -> bool:
    torch = sys.modules.get("torch")
    return (
        isinstance(error, MemoryError)
        or (torch is not None and isinstance(error, torch.OutOfMemoryError))
        or "DefaultCPUAllocator" in str(error)  # PyTorch's word for it on a CPU is a plain RuntimeError
    )


def _usage(message: str) -> int:
    say(f"error: {message}")
    return USAGE
