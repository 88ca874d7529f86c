"""The architecture behind a state dict, read off the shapes of its entries: no config file is needed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from cornernet.errors import ConfigError, WeightsError
from cornernet.models.build import build_model
from cornernet.models.config import CornerNetConfig
from cornernet.models.cornernet import CornerNet

Shape = tuple[int, ...]

DEEPEST = 12
"""Levels of the deepest hourglass accepted; the coarsest map of this depth needs a picture of 16,384 pixels."""

_FIRST = "heads.0.top_left"


def read_architecture(shapes: Mapping[str, Shape]) -> CornerNetConfig:
    """The config of the network these entries belong to.

    Only as many entries as needed are looked at; hold the others against `expected_shapes` of the result.

    Args:
        shapes: Shape of each entry, under our names.

    Raises:
        WeightsError: Naming the first entry that is missing or has another rank than its layer.
    """
    names = set(shapes)
    level, channels, blocks = "hourglasses.0.", [_width(shapes, "stem.residual.conv2.weight")], []
    while (below := f"{level}low_in.0.conv2.weight") in names:
        if len(channels) == DEEPEST:
            raise WeightsError(f"expected an hourglass of at most {DEEPEST} levels, got more: {below!r}")
        channels.append(_width(shapes, below))
        blocks.append(_count(names, f"{level}up."))
        level += "inner."
    blocks.append(_count(names, level))
    try:
        config = CornerNetConfig(
            num_classes=_width(shapes, f"{_FIRST}.heat.out.weight"),
            stacks=_count(names, "outs."),
            channels=tuple(channels),
            blocks=tuple(blocks),
            stem_channels=_width(shapes, "stem.conv.conv.weight"),
            feature_channels=_width(shapes, "outs.0.conv.weight"),
            pool_channels=_width(shapes, f"{_FIRST}.pool.first.conv.weight"),
            head_channels=_width(shapes, f"{_FIRST}.heat.hidden.weight"),
            embedding_channels=_width(shapes, f"{_FIRST}.embedding.out.weight"),
        )
    except ConfigError as error:
        raise WeightsError(f"expected the entries of a whole CornerNet, got an incomplete one: {error}") from error
    # The numbers come from a file: without this bound a few crafted names ask for a network of any size.
    if config.stacks * sum(config.blocks) > len(names):
        raise WeightsError(
            f"expected the entries of {config.stacks} hourglasses with {sum(config.blocks)} blocks on each path, "
            f"got only {len(names)} entries: the checkpoint is incomplete"
        )
    return config


def expected_shapes(config: CornerNetConfig) -> dict[str, Shape]:
    """Name and shape of every entry of the network with this config."""
    return {name: tuple(tensor.shape) for name, tensor in empty_model(config).state_dict().items()}


def empty_model(config: CornerNetConfig) -> CornerNet:
    """The network on PyTorch's "meta" device: every name and shape, no numbers and no memory.

    `load_state` gives it a checkpoint's own tensors, so that there is never a second copy of them.
    """
    with torch.device("meta"), _Uninitialised():
        return build_model(config)


class _Uninitialised(TorchFunctionMode):
    """Skips random initialisation, which for "meta" tensors does nothing but import the compiler: seconds."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in (Tensor.normal_, Tensor.uniform_) or getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def _width(shapes: Mapping[str, Shape], name: str) -> int:
    """Output channels of a convolution."""
    if name not in shapes:
        raise WeightsError(f"expected the entry {name!r}, got none of that name: the checkpoint is incomplete")
    if len(shapes[name]) != 4:
        raise WeightsError(f"expected {name!r} to be a convolution with 4 axes, got shape {shapes[name]}")
    return shapes[name][0]


def _count(names: set[str], prefix: str) -> int:
    """How many different numbers follow the prefix."""
    numbered = re.compile(re.escape(prefix) + r"(\d+)\.")
    return len({found[1] for name in names if (found := numbered.match(name))})
