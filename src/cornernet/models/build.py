"""From a name to a network."""

from __future__ import annotations

import difflib
from dataclasses import replace

from cornernet.errors import ConfigError
from cornernet.models.config import VARIANTS, CornerNetConfig
from cornernet.models.cornernet import CornerNet


def build_model(architecture: str | CornerNetConfig, *, num_classes: int | None = None) -> CornerNet:
    """A CornerNet with random weights, initialised as the reference's.

    Args:
        architecture: A name in `cornernet.models.config.VARIANTS`, or any `CornerNetConfig`.
        num_classes: Number of classes, where it is not the architecture's own (80 for the named ones).

    Raises:
        ConfigError: On an unknown name; the message offers the nearest one.
    """
    config = architecture if isinstance(architecture, CornerNetConfig) else find_variant(architecture)
    return CornerNet(config if num_classes is None else replace(config, num_classes=num_classes))


def find_variant(name: str) -> CornerNetConfig:
    """The named architecture.

    Raises:
        ConfigError: On an unknown name; the message offers the nearest one.
    """
    if name in VARIANTS:
        return VARIANTS[name]
    near = difflib.get_close_matches(name.lower(), VARIANTS, n=1, cutoff=0.3)
    hint = f"did you mean {near[0]!r}?" if near else "choose one of these"
    raise ConfigError(f"expected a model name ({', '.join(VARIANTS)}), got {name!r}: {hint}")
