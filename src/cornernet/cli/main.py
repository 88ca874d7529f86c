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
from cornernet.cli.command import DONE, FAILED, INTERRUPTED, USAGE, Command, say
from cornernet.cli.options import CommonOptions
from cornernet.cli.parsing import parse
from cornernet.errors import ConfigError, CornerNetError

COMMANDS = {
    "predict": "find objects in pictures and videos",
    "evaluate": "measure a model on an annotated dataset",
    "convert": "turn a checkpoint into model.safetensors and config.json",
    "info": "list the models and their weights, or tell what a checkpoint is",
}

_HELP = """usage: cornernet COMMAND [flags]

CornerNet finds objects as pairs of corners.

commands:
{commands}

options:
  -h, --help     show this help message and exit
  --version      show the version and exit

What a command takes: cornernet COMMAND --help"""


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


def _dispatch(arguments: list[str]) -> int:
    name = arguments[0] if arguments else "--help"
    if name in ("-h", "--help"):
        width = max(map(len, COMMANDS)) + 6
        print(_HELP.format(commands="\n".join(f"  {c:{width}}{text}" for c, text in COMMANDS.items())))
        return DONE if arguments else USAGE
    if name == "--version":
        print(f"cornernet {cornernet.__version__}")
        return DONE
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else "see cornernet --help"
        return _usage(f"expected a command ({', '.join(COMMANDS)}), got {name!r}: {hint}")
    command: Command = import_module(f"cornernet.cli.{name}").COMMAND
    try:
        options = parse(command.options, arguments[1:], command=name, positionals=command.positionals)
    except ConfigError as error:
        return _usage(f"{error} (cornernet {name} --help lists what there is)")
    return _run(command, options)


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
