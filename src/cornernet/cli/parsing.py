"""From a command's arguments to its options dataclass.

jsonargparse checks types, reads configuration files and prints both help and configuration. Before it sees them, the
arguments are put into one form: an unknown flag is answered with the nearest right one, `--max_det` means
`--max-det`, lists may be written `0.5,1` or `0.5 1`, a flag that is on or off needs no value, and the command line
wins over the configuration file wherever in it `--config` stands.
"""

from __future__ import annotations

import argparse
import difflib
import re
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from jsonargparse import ArgumentParser

from cornernet.cli.flags import Flag, flags_of
from cornernet.errors import ConfigError

T = TypeVar("T")

_OWN = {"help", "print_config"}  # the parser's own flags without a value


def parse(options: type[T], argv: Sequence[str], *, command: str, positionals: tuple[str, ...] = ()) -> T:
    """The options that a command's arguments ask for.

    Args:
        options: The command's options dataclass; its fields are the flags, its docstring the help.
        argv: The arguments behind the command's name.
        command: The command's name.
        positionals: Fields whose values are given without a flag; the last may be a list, which takes what is left.

    Raises:
        ConfigError: On arguments or a configuration file that cannot be used.
        SystemExit: With 0 once the help or the configuration is printed, when that is asked for.
    """
    flags = flags_of(options, positionals)
    argv, dotted = _without_dotted(argv) if any(flag.dotted for flag in flags) else (argv, ())
    given, rest = _one_form(argv, {flag.name: flag for flag in flags})
    if rest and not positionals:
        raise ConfigError(f"expected flags alone, got {rest[0]!r}")
    # Without positionals on the command line they may come from the file; argparse would overwrite them with nothing.
    parser = _make_parser(options, flags, command, as_flags=not rest and any(g.startswith("--config=") for g in given))
    try:
        values = vars(parser.parse_args([*given, "--", *rest] if rest else given))
    except argparse.ArgumentError as error:
        raise ConfigError(_plain(str(error), flags)) from None
    values = {flag.name: dotted if flag.dotted else values[flag.name] for flag in flags}
    for flag in flags:
        if flag.required and values[flag.name] in (None, [], ()):
            meaning = f"{flag.text[0].lower()}{flag.text[1:].rstrip('.')}"
            raise ConfigError(f"expected {flag.spelling}, got none: give {meaning}")
        if values[flag.name] is None and not flag.optional:
            raise ConfigError(f"expected {flag.spelling} to be {_meaning(flag)}, got null")
        if flag.many:
            values[flag.name] = tuple(values[flag.name])
    return options(**values)


def _make_parser(options: type[Any], flags: list[Flag], command: str, *, as_flags: bool) -> ArgumentParser:
    own_print = any(flag.name == "print_config" for flag in flags)  # the command has a configuration of its own
    parser = ArgumentParser(
        prog=f"cornernet {command}",
        description=(options.__doc__ or "").split("\n\n")[0],
        exit_on_error=False,
        allow_abbrev=False,
        print_config=None if own_print else "--print-config",
        formatter_class=_Formatter,
    )
    groups: dict[str, Any] = {}
    for flag in flags:
        group = groups.get(flag.group) or groups.setdefault(flag.group, parser.add_argument_group(flag.group))
        default = None if flag.required else flag.default
        if flag.dotted:
            continue
        if flag.switch:
            group.add_argument(
                flag.spelling, type=bool, nargs="?", default=default, help=flag.help, metavar="true|false"
            )
        elif flag.positional and not as_flags:
            kind = {"type": flag.value_type, "nargs": "*"} if flag.many else {"type": flag.type, "nargs": "?"}
            group.add_argument(flag.name, help=flag.help, metavar=flag.symbol, **kind)
        else:
            name = f"--{flag.name.replace('_', '-')}"
            kind = {"type": flag.type, "default": default, **({"nargs": "?"} if flag.switch else {})}
            group.add_argument(name, help=flag.help, metavar=flag.symbol, **kind)
    if own_print:
        return parser
    parser.add_argument("--config", action="config", metavar="FILE", help="YAML file of options; flags win over it")
    for action in parser._actions:
        if "--print-config" in action.option_strings:
            action.help = "print the options as they would be, a file for --config, and stop"
            action.metavar = ""
    return parser


class _Formatter(argparse.HelpFormatter):
    """The plain help of argparse, with room for the longest flag."""

    def __init__(self, prog: str, **settings: Any) -> None:
        super().__init__(prog, **{**settings, "max_help_position": 32})

    def add_usage(self, usage: str | None, actions: Any, groups: Any, prefix: str | None = None) -> None:
        """One line: all flags are listed below it anyway."""
        values = [a for a in actions if not a.option_strings]
        super().add_usage(
            f"%(prog)s [flags] {' '.join(_value_symbol(a) for a in values)}".rstrip(), actions, groups, prefix
        )


def _value_symbol(action: argparse.Action) -> str:
    return f"{action.metavar}{' ...' if action.nargs == '*' else ''}"


def _one_form(argv: Sequence[str], flags: Mapping[str, Flag]) -> tuple[list[str], list[str]]:
    """Flags as `--name=value`, the configuration file first, and the values that stand without a flag."""
    given: list[str] = []
    rest: list[str] = []
    tokens = deque(argv)
    while tokens:
        token = tokens.popleft()
        if token == "--":
            rest.extend(tokens)
            break
        if token == "-h":
            token = "--help"
        if token.startswith("--"):
            given.append(_one_flag(token, tokens, flags))
        elif re.match(r"-[A-Za-z]", token):
            raise ConfigError(f"expected a known flag, got {token}: a file of that name is given as ./{token}")
        else:
            rest.append(token)
    return sorted(given, key=lambda g: not g.startswith("--config=")), rest


def _without_dotted(argv: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """The other arguments, and each flag with a dot in its name, as NAME=VALUE."""
    rest: list[str] = []
    dotted: list[str] = []
    tokens = deque(argv)
    while tokens:
        token = tokens.popleft()
        spelled, equals, value = token.partition("=")
        if not spelled.startswith("--") or "." not in spelled:
            rest.append(token)
            continue
        if not equals:
            if not tokens or tokens[0].startswith("--"):
                raise ConfigError(f"expected a value behind {spelled}, got none")
            value = tokens.popleft()
        dotted.append(f"{spelled[2:]}={value}")
    return rest, tuple(dotted)


def _one_flag(token: str, tokens: deque[str], flags: Mapping[str, Flag]) -> str:
    """A flag as `--name=value`, its values taken from the tokens behind it."""
    spelled, equals, value = token.partition("=")
    name = spelled[2:].replace("-", "_")
    if name in _OWN and name not in flags:
        return f"--{name.replace('_', '-')}{equals}{value}"
    if name.startswith("no_") and name not in flags and (off := flags.get(name[3:])) and off.switch and not equals:
        return f"{off.spelling}=false"
    flag = flags.get(name)
    if flag is None and name != "config":
        raise ConfigError(f"expected a known flag, got {spelled}{_nearest(name, [*flags, 'config', *_OWN])}")
    if flag and flag.switch and not equals:
        value = tokens.popleft() if tokens and tokens[0].lower() in ("true", "false") else "true"
    elif not equals:
        value = _value_behind(spelled, tokens, flag)
    if flag and flag.many:
        values = [value]
        while tokens and flag.goes_on(tokens[0]):
            values.append(tokens.popleft())
        value = value if value.startswith("[") else f"[{','.join(values)}]"
    return f"--{name.replace('_', '-')}={value}"


def _value_behind(spelled: str, tokens: deque[str], flag: Flag | None) -> str:
    if tokens and not tokens[0].startswith("--"):
        return tokens.popleft()
    if flag and flag.bare:
        return flag.bare
    raise ConfigError(f"expected a value behind {spelled}, got none")


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name.replace("-", "_"), known, n=1)
    return f": did you mean --{near[0].replace('_', '-')}?" if near else ""


def _plain(message: str, flags: list[Flag]) -> str:
    """The parser's complaint as one line in the words of the command line."""
    if unknown := re.search(r"Option '(.+?)' is not accepted", message):
        near = difflib.get_close_matches(unknown[1].replace("-", "_"), [flag.name for flag in flags], n=1)
        hint = f": did you mean {near[0]}?" if near else ""
        return f"expected known keys in the configuration file, got {unknown[1]!r}{hint}"
    if broken := re.match(r"(?:Problems parsing|Unexpected) config:(?s:(.*))", message):
        came = " ".join(broken[1].split()) or "nothing"
        return f"expected --config to name a YAML file of options, each as name: value, got {came}"
    by_name = {flag.name: flag for flag in flags}
    wrong = re.search(r'Parser key "(\w+)"(?s:.*)(?:Got|Given) value: (.*)', message)
    if wrong and (flag := by_name.get(wrong[1])):
        return f"expected {flag.spelling} to be {_meaning(flag)}, got {wrong[2]!r}"
    message = re.sub(r'Parser key "(\w+)":', r"--\1:", message)
    return " ".join(message.split())


def _meaning(flag: Flag) -> str:
    if flag.choices:
        return f"{'some' if flag.many else 'one'} of {', '.join(flag.choices)}"
    if flag.switch:
        return "true or false"
    name = {int: "a whole number", float: "a number"}.get(flag.value_type, "text")
    return f"a list, each {name}" if flag.many else name
