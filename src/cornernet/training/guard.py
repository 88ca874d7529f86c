"""What keeps losses and gradients that are not finite out of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cornernet.errors import CornerNetError
from cornernet.training.checkpoint import Progress
from cornernet.training.module import TERMS
from cornernet.training.options import TrainOptions

_SCALE_SEARCH = 20  # half precision's loss scale begins far too high, and halves until gradients fit
_NAMES = 8


class Statistics:
    """Batch norm's running statistics as they were: a step that is left out must leave no trace in them."""

    def __init__(self, network: nn.Module) -> None:
        self._buffers = list(network.buffers())
        self._kept = [buffer.clone() for buffer in self._buffers]

    @torch.no_grad()
    def keep(self) -> None:
        """Remembers them."""
        torch._foreach_copy_(self._kept, self._buffers)

    @torch.no_grad()
    def restore(self) -> None:
        """Puts back what was remembered."""
        torch._foreach_copy_(self._buffers, self._kept)


def is_fatal(skipped: int, options: TrainOptions) -> bool:
    """Whether that many steps left out in a row are too many."""
    return skipped > options.max_skips + (_SCALE_SEARCH if options.precision == "fp16" else 0)


def explain_nonfinite(terms: Tensor, names: Sequence[str], progress: Progress) -> str:
    """One line on losses (4,) that are not finite, or whose gradients are not."""
    values = ", ".join(f"{name} {value:g}" for name, value in zip(TERMS, terms.tolist(), strict=True))
    shown = ", ".join(names[:_NAMES]) + (f" and {len(names) - _NAMES} more" if len(names) > _NAMES else "")
    return (
        f"expected finite losses and gradients, got {values} at step {progress.step + 1} (epoch {progress.epoch + 1}), "
        f"number {progress.skipped} in a row, with pictures {shown}: lower --optimiser.lr, or use --precision 32"
    )


def check_finite(entries: Mapping[str, Any]) -> None:
    """Makes sure that what is about to be saved is finite.

    Raises:
        CornerNetError: When an entry is not; nothing should be written then.
    """
    for name, tensor in entries.items():
        if isinstance(tensor, Tensor) and tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise CornerNetError(
                f"expected finite weights, got NaN or infinity in {name}; nothing was saved: go on from the last "
                "checkpoint with a lower --optimiser.lr"
            )
