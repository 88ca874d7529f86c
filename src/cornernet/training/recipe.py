"""A recipe: everything that fixes a training run, as one typed value; read from YAML, changed field by field."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from importlib import resources
from pathlib import Path
from typing import Any, get_type_hints

import yaml  # type: ignore[import-untyped]

from cornernet.corners.losses import LossConfig
from cornernet.data.augment import AugmentConfig
from cornernet.errors import ConfigError
from cornernet.models.config import CornerNetConfig
from cornernet.training.options import DataOptions, OptimiserOptions, RunOptions, ScheduleOptions, TrainOptions
from cornernet.training.values import convert
from cornernet.weights.record import Preprocessing

RECIPE_FILE = "recipe.yaml"
"""The recipe as resolved, in a run's folder."""

_FROM_DATA = {("model", "num_classes")}  # what the dataset decides, not the recipe


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a detector is trained. The defaults are those of the published 8 x 6 run.

    Attributes:
        model: The network; its class count comes from the data.
        preprocessing: How pictures become the network's input; it travels with the weights.
        data: Where the pictures come from.
        augment: How they are varied.
        loss: Weights and shapes of the losses.
        optimiser: Adam and its learning rate.
        schedule: How long, and the learning rate's way.
        train: What a step is made of.
        run: What is written, and when.
    """

    model: CornerNetConfig = field(default_factory=CornerNetConfig)
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    data: DataOptions = field(default_factory=DataOptions)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimiser: OptimiserOptions = field(default_factory=OptimiserOptions)
    schedule: ScheduleOptions = field(default_factory=ScheduleOptions)
    train: TrainOptions = field(default_factory=TrainOptions)
    run: RunOptions = field(default_factory=RunOptions)


_SECTIONS: dict[str, type[Any]] = get_type_hints(Recipe)


def recipe_names() -> list[str]:
    """The recipes that come with the package, in alphabetical order."""
    folder = resources.files("cornernet.training") / "recipes"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_recipe(source: str | Path) -> Recipe:
    """The recipe of a name, or of a YAML file.

    Args:
        source: One of `recipe_names()`, or a file's path; what ends in .yaml or .yml or holds a slash is a path.

    Raises:
        ConfigError: When there is no such recipe or the file is not one; the message says where, and what was near.
    """
    path, name = Path(source), str(source)
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: expected a recipe as a YAML file, cannot read it ({error})") from error
        return parse_recipe(text, name)
    known = recipe_names()
    if name not in known:
        raise ConfigError(
            f"expected a recipe ({', '.join(known)}) or a .yaml file, got {name!r}{_nearest(name, known)}"
        )
    text = (resources.files("cornernet.training") / "recipes" / f"{name}.yaml").read_text(encoding="utf-8")
    return parse_recipe(text, name)


def parse_recipe(text: str, source: str) -> Recipe:
    """The recipe in a YAML text: sections, each with some of its fields; what is not named keeps its default.

    Args:
        text: The YAML.
        source: What to call it in an error.

    Raises:
        ConfigError: On text that is not YAML, an unknown section or field, or a value out of its range.
    """
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{source}: expected a recipe as YAML, got a broken file ({reason})") from error
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise ConfigError(f"{source}: expected sections ({', '.join(_SECTIONS)}), got {content!r:.80}")
    try:
        return _changed(Recipe(), content)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error


def override(recipe: Recipe, changes: Iterable[str]) -> Recipe:
    """The recipe with some fields changed.

    Args:
        recipe: Where to start.
        changes: Such as "optimiser.lr=1e-3" or "augment.size=255,255"; of two for one field the later counts.

    Raises:
        ConfigError: On an unknown field or a value out of its range.
    """
    nested: dict[str, dict[str, Any]] = {}
    for change in changes:
        name, _, value = change.partition("=")
        section, dot, key = name.partition(".")
        if not dot:
            raise ConfigError(f"expected SECTION.FIELD=VALUE, got {change!r}")
        nested.setdefault(section.replace("-", "_"), {})[key.replace("-", "_")] = value
    return _changed(recipe, nested)


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as YAML, every field named; `parse_recipe` gives the same recipe again."""
    lines = []
    for section, values in asdict(recipe).items():
        lines.append(f"{section}:")
        for name, value in values.items():
            if (section, name) not in _FROM_DATA:
                text = yaml.safe_dump(_plain(value), default_flow_style=True, width=10_000, allow_unicode=True)
                lines.append(f"  {name}: {text.splitlines()[0]}")
    return "\n".join(lines) + "\n"


def _changed(recipe: Recipe, content: Mapping[str, Any]) -> Recipe:
    changed: dict[str, Any] = {}
    for section, values in content.items():
        if section not in _SECTIONS:
            raise ConfigError(
                f"expected a section ({', '.join(_SECTIONS)}), got {section!r}{_nearest(section, _SECTIONS)}"
            )
        if not isinstance(values, Mapping):
            raise ConfigError(f"expected {section} to hold fields, each as name: value, got {values!r:.80}")
        changed[section] = _section(getattr(recipe, section), section, values)
    return replace(recipe, **changed)


def _section(before: Any, section: str, values: Mapping[str, Any]) -> Any:
    hints = get_type_hints(type(before))
    known = [f.name for f in fields(before) if (section, f.name) not in _FROM_DATA]
    converted = {}
    for name, value in values.items():
        if (section, name) in _FROM_DATA:
            raise ConfigError(f"{section}.{name} comes from the data: leave it out")
        if name not in known:
            everywhere = {f.name: f"{s}.{f.name}" for s, kind in _SECTIONS.items() for f in fields(kind)}
            near = _nearest(str(name), known) or _nearest(str(name), everywhere, everywhere)
            raise ConfigError(f"expected a field of {section} ({', '.join(known)}), got {name!r}{near}")
        converted[name] = convert(value, hints[name], f"{section}.{name}")
    try:
        return replace(before, **converted)
    except ConfigError as error:
        raise ConfigError(f"{section}: {error}") from error


def _nearest(name: object, known: Iterable[str], spelled: Mapping[str, str] | None = None) -> str:
    near = difflib.get_close_matches(str(name), list(known), n=1)
    return f": did you mean {spelled[near[0]] if spelled else near[0]}?" if near else ""


def _plain(value: Any) -> Any:
    """What YAML has a word for."""
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return value.as_posix() if isinstance(value, Path) else value
