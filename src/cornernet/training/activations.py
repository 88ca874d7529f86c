"""Less memory for activations: residual blocks keep their input alone, and compute the rest again going backwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cornernet.models.layers import Residual


def checkpoint_residuals(network: nn.Module) -> None:
    """Lets every residual block of a network, in place, recompute its activations in the backward pass.

    Losses, gradients and batch norm's running statistics stay what they were.
    """
    for module in network.modules():
        if isinstance(module, Residual):
            _wrap(module)


def _wrap(block: Residual) -> None:
    plain = block.forward
    norms = [m for m in block.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]

    def contexts() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        return nullcontext(), _without_statistics(norms)

    def forward(x: Tensor) -> Tensor:
        if not block.training:
            return plain(x)
        if torch.compiler.is_compiling():  # a graph counts a batch once by itself, and takes no such contexts
            y: Tensor = checkpoint(plain, x, use_reentrant=False)
        else:
            y = checkpoint(plain, x, use_reentrant=False, context_fn=contexts)
        return y

    block.forward = forward  # type: ignore[method-assign]


@contextmanager
def _without_statistics(norms: list[nn.modules.batchnorm._BatchNorm]) -> Iterator[None]:
    """The second pass must not count the same batch again."""
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        norm.num_batches_tracked = None if norm.num_batches_tracked is None else norm.num_batches_tracked.clone()
    try:
        yield
    finally:
        for norm, (momentum, counter) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, counter
