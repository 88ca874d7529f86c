"""What a foreign checkpoint says about itself: its preprocessing and its classes."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from cornernet.errors import ConfigError, WeightsError
from cornernet.structures.classes import COCO, Classes
from cornernet.weights.record import MMDETECTION, PRINCETON, Preprocessing

_LONGEST_CONFIG = 1_000_000
_NORMALISERS = ("data_preprocessor", "img_norm_cfg")
"""What MMDetection's configs call it: 3.x, 2.x."""


def read_preprocessing(origin: str, meta: Mapping[str, object]) -> Preprocessing:
    """How pictures were fed to a network in training.

    MMDetection keeps its config, a Python file, as text (`meta["cfg"]` in 3.x, `meta["config"]` in 2.x). It is parsed
    for its numbers and never run. Without it, the project's own values hold, which every published file was made with.

    Args:
        origin: The naming of the file's entries.
        meta: The file's `meta`.

    Raises:
        WeightsError: When the config gives a mean and a standard deviation that are not three numbers each.
    """
    if origin == "princeton":
        return PRINCETON
    for key in ("cfg", "config"):
        text = meta.get(key)
        if isinstance(text, str) and (found := _normaliser(text)) is not None:
            return _preprocessing(found)
    return MMDETECTION


def _preprocessing(found: Mapping[str, object]) -> Preprocessing:
    mean, std = found["mean"], found["std"]
    # mmcv's Normalize turns BGR to RGB unless told not to; MMDetection 3's preprocessor only when told to.
    to_rgb = found.get("bgr_to_rgb", found.get("to_rgb", "type" not in found))
    try:
        return Preprocessing(
            channel_order="rgb" if to_rgb else "bgr",
            mean=mean,  # type: ignore[arg-type]
            std=std,  # type: ignore[arg-type]
        )
    except (ConfigError, TypeError, ValueError) as error:
        raise WeightsError(
            f"expected mean and std of three numbers each in the checkpoint's config, got {mean!r:.80} and {std!r:.80}"
        ) from error


def _normaliser(text: str) -> dict[str, object] | None:
    """The literal keyword arguments of the config's `data_preprocessor` or `img_norm_cfg`, if it has one."""
    if len(text) > _LONGEST_CONFIG:
        return None
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    for node in _values(tree):
        literals = _literals(node)
        if "mean" in literals and "std" in literals:
            return literals
    return None


def _values(tree: ast.AST) -> Iterator[ast.expr]:
    """What is assigned to a name of interest, as a variable, a keyword argument or a dict's key; outermost first."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            if any(isinstance(target, ast.Name) and target.id in _NORMALISERS for target in node.targets):
                yield node.value
        elif isinstance(node, ast.keyword) and node.arg in _NORMALISERS:
            yield node.value
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value in _NORMALISERS:
                    yield value


def _literals(node: ast.expr) -> dict[str, object]:
    """The entries of `dict(...)` or `{...}` whose values are plain literals."""
    pairs: list[tuple[object, ast.expr]] = []
    if isinstance(node, ast.Call):
        pairs = [(keyword.arg, keyword.value) for keyword in node.keywords]
    elif isinstance(node, ast.Dict):
        pairs = [
            (key.value, value)
            for key, value in zip(node.keys, node.values, strict=True)
            if isinstance(key, ast.Constant)
        ]
    literals: dict[str, object] = {}
    for name, value in pairs:
        try:
            literals[str(name)] = ast.literal_eval(value)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            continue
    return literals


def read_classes(meta: Mapping[str, object], count: int) -> Classes:
    """The class names a checkpoint carries, COCO's with their own category ids, others numbered from 1.

    A label is an index into that list, so where the network has more classes than names (a config left at 80), the
    rest are called `class_I`.

    Args:
        meta: The file's `meta`: `CLASSES` in MMDetection 2.x, `dataset_meta` in 3.x.
        count: The network's number of classes.

    Raises:
        WeightsError: When there are more names than classes.
    """
    dataset = meta.get("dataset_meta")
    candidates = [meta.get("CLASSES")]
    if isinstance(dataset, Mapping):
        candidates = [dataset.get("classes"), dataset.get("CLASSES"), *candidates]
    names = next((found for candidate in candidates if (found := _names(candidate))), ())
    if not names:
        return Classes.unnamed(count)
    if len(names) > count:
        raise WeightsError(
            f"expected at most {count} class names, one per heatmap channel, got {len(names)} in its meta: "
            f"{', '.join(names[:3])}, ..."
        )
    if names == COCO.names:
        return COCO
    return Classes.numbered([*names, *(f"class_{i}" for i in range(len(names), count))])


def _names(value: object) -> tuple[str, ...]:
    """Class names as MMDetection keeps them; `("cat")`, one pair of brackets short of a tuple, is a text."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list | tuple) and all(isinstance(name, str) for name in value):
        return tuple(value)
    return ()
