"""Parts of the site that are made from the code when it is built, so that they cannot go stale.

A line `<!-- made: NAME [ARGUMENT] -->` in a page is replaced by what the maker of that name gives.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import re
import tomllib
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "cornernet"
_MARK = re.compile(r"^<!-- made: (\w+) ?(.*?) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Fill in a page's marks; called by mkdocs."""

    def made(mark: re.Match[str]) -> str:
        try:
            return MAKERS[mark[1]](mark[2])
        except Exception as error:  # whatever goes wrong in a maker, the build must name the page and stop
            raise PluginError(f"{page.file.src_uri}: cannot make {mark[0]}: {error!r}") from error

    return _MARK.sub(made, markdown)


def command_help(command: str) -> str:
    """What `cornernet COMMAND --help` prints."""
    from cornernet.cli.main import main

    printed = io.StringIO()
    columns, os.environ["COLUMNS"] = os.environ.get("COLUMNS"), "94"
    try:
        with contextlib.redirect_stdout(printed):
            code = main([*command.split(), "--help"])
    finally:
        os.environ.pop("COLUMNS")
        os.environ.update({} if columns is None else {"COLUMNS": columns})
    if code:
        raise ValueError(f"the help of {command!r} ends with {code}")
    return f"```text\n{printed.getvalue().rstrip()}\n```"


def published_table(_: str) -> str:
    """The published checkpoints."""
    from cornernet.weights.zoo import PUBLISHED

    rows = ["| name | recipe | AP | with flip | file |", "|---|---|---|---|---|"]
    for name, p in PUBLISHED.items():
        file = f"[...-{p.file_name.rsplit('-')[-1]}]({p.url})"
        rows.append(f"| `{name}` | {p.recipe.replace('_', '_<wbr>')} | {p.ap} | {p.ap_tta} | {file} |")
    return "\n".join(rows)


def problem_list(_: str) -> str:
    """What is mended in annotations, and counted."""
    from cornernet.data.problems import ProblemKind

    return "\n".join(f"- {kind}" for kind in ProblemKind)


def source_tree(kind: str) -> str:
    """Modules, or with "packages" folders alone, each with its docstring's first sentence, as a nested list."""
    lines = []
    for path in sorted(PACKAGE.rglob("__init__.py" if kind == "packages" else "*.py"), key=_files_first):
        *folders, name = path.relative_to(PACKAGE.parent).parts
        if name == "__init__.py":
            label, depth = f"**{folders[-1]}/**", len(folders) - 1
        else:
            label, depth = f"`{name}`", len(folders)
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        lines.append(f"{'    ' * depth}- {label}: {_first_sentence(text)}")
    return "\n".join(lines)


def api(argument: str) -> str:
    """The docstrings of a package's modules: those named behind it first, then the others.

    A folder inside the package counts as one module, and its files follow it.
    """
    package, *first = argument.split()
    found = [path.relative_to(PACKAGE).with_suffix("") for path in (PACKAGE / package).rglob("*.py")]
    modules = {".".join(path.parts).removesuffix(".__init__") for path in found} - {package}
    named = [f"{package}.{name}" for name in first]
    if missing := set(named) - modules:
        raise ValueError(f"no modules {sorted(missing)}")
    settings = "    options:\n      show_root_heading: false\n      show_root_toc_entry: false"
    ordered = [*named, *sorted(modules - set(named))]
    return "\n\n".join(f"## `{name}`\n\n::: cornernet.{name}\n{settings}" for name in ordered)


def import_layers(_: str) -> str:
    """The layers that import-linter checks, topmost first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return "```text\n" + "\n".join(layer.replace("cornernet.", "") for layer in layers) + "\n```"


def contributing(_: str) -> str:
    """CONTRIBUTING.md, its links into the documentation made links of this site."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return text.replace("](docs/", "](").replace("](CHANGELOG.md)", "](changelog.md)")


def changelog(_: str) -> str:
    """CHANGELOG.md as it is."""
    return (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def _files_first(path: Path) -> tuple[tuple[int, str], ...]:
    """A folder's own files before its folders, `__init__.py` first."""
    *folders, name = path.parts
    return (*((1, folder) for folder in folders), (0, "" if name == "__init__.py" else name))


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.])\s", " ".join(text.split()), maxsplit=1)[0].rstrip(".")


MAKERS = {
    "help": command_help,
    "published": published_table,
    "problems": problem_list,
    "tree": source_tree,
    "api": api,
    "layers": import_layers,
    "contributing": contributing,
    "changelog": changelog,
}
