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
    columns, os.environ["COLUMNS"] = os.environ.get("COLUMNS"), "110"
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

    rows = ["| name | recipe | AP | with flip | file | licence |", "|---|---|---|---|---|---|"]
    for p in PUBLISHED.values():
        rows.append(
            f"| `{p.name}` | {p.recipe} | {p.ap} | {p.ap_tta} | [{p.file_name}]({p.url}) | {p.licence} ({p.source}) |"
        )
    return "\n".join(rows)


def problem_list(_: str) -> str:
    """What is mended in annotations, and counted."""
    from cornernet.data.problems import ProblemKind

    return "\n".join(f"- {kind}" for kind in ProblemKind)


def source_tree(_: str) -> str:
    """Every module of the package with the first line of its docstring."""
    lines = []
    package = ROOT / "src" / "cornernet"
    for path in sorted(package.rglob("*.py"), key=_packages_last):
        depth = len(path.relative_to(package).parts) - 1
        text = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")[0]
        name = path.name
        if name == "__init__.py":
            name, depth = f"{path.parent.name}/", max(depth - 1, 0) if path.parent != package else -1
        label = "    " * (depth + 1) + name
        lines.append(f"{label:<26} {_first_sentence(text)}")
    return "```text\n" + "\n".join(lines) + "\n```"


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


def _packages_last(path: Path) -> tuple[tuple[int, str], ...]:
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
    "layers": import_layers,
    "contributing": contributing,
    "changelog": changelog,
}
