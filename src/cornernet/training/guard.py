"""What keeps losses and gradients that are not finite out of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cornernet.errors import CornerNetError
from cornernet.training.module import TERMS
from cornernet.training.options import TrainOptions

_SCALE_SEARCH = 20  # half precision's loss scale begins far too high, and halves until gradients fit
_NAMES = 8


class Statistics:
    """Batch norm's running statistics as they were: a step that is left out must leave no trace in them.

    They are kept in one flat tensor of each dtype, so that hundreds of them cost a device a handful of operations.
    """

    def __init__(self, network: nn.Module) -> None:
        by_dtype: dict[torch.dtype, list[Tensor]] = {}
        for buffer in network.buffers():
            by_dtype.setdefault(buffer.dtype, []).append(buffer)
        self._kept = []
        for buffers in by_dtype.values():
            kept = _flat(buffers)
            parts = torch.split(kept, [buffer.numel() for buffer in buffers])
            views = [part.view_as(buffer) for part, buffer in zip(parts, buffers, strict=True)]
            self._kept.append((buffers, kept, views))

    @torch.no_grad()
    def keep_if(self, good: Tensor) -> None:
        """Remembers them where `good`, a boolean scalar, says so; else puts back what was remembered."""
        for buffers, kept, views in self._kept:
            torch.where(good, _flat(buffers), kept, out=kept)
            torch._foreach_copy_(buffers, views)


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


class Stepper:
    """Makes an optimiser's steps, but for those whose losses or gradients are not finite.

    Where the optimiser can look by itself (see `can_fuse`), nothing waits for the device.

    Args:
        network: Whose batch norm statistics a step that is left out must not touch.
        optimiser: Fabric's, of the network's weights.
        options: The precision.
    """

    def __init__(self, network: nn.Module, optimiser: Any, options: TrainOptions) -> None:
        self._statistics = Statistics(network)
        self._optimiser = optimiser
        self._scaled = options.precision == "fp16"
        self.waits = not all(group.get("fused") for group in optimiser.param_groups) or self._scaled

    def step(self, finite: Tensor) -> None:
        """Learns from the gradients where `finite`, a boolean scalar, says so; forgets them in any case."""
        if self._scaled:  # PyTorch's scaler leaves the step out itself, and must be told of it to lower the scale
            self._optimiser.step()
        elif self.waits:
            if bool(finite):
                self._optimiser.step()
        else:
            self._optimiser.optimizer.found_inf = (~finite).float()
            self._optimiser.step()
        self._optimiser.zero_grad()
        self._statistics.keep_if(finite)


def can_fuse(device: torch.device, options: TrainOptions) -> bool:
    """Whether the device has an optimiser of one kernel, which reads for itself whether to make a step.

    Fabric does not clip gradients for it in fp16.
    """
    if options.precision == "fp16":
        return False
    weight = torch.zeros(1, device=device, requires_grad=True)
    weight.grad = torch.zeros_like(weight)
    try:
        optimiser: Any = torch.optim.Adam([weight], fused=True)
        optimiser.found_inf = torch.ones((), device=device)
        optimiser.step()
    except (RuntimeError, NotImplementedError):  # a device without such a kernel
        return False
    return True


def is_fatal(skipped: int, options: TrainOptions) -> bool:
    """Whether that many steps left out in a row are too many."""
    return skipped > options.max_skips + (_SCALE_SEARCH if options.precision == "fp16" else 0)


def explain_nonfinite(terms: Sequence[float], names: Sequence[str], *, step: int, epoch: int, skipped: int) -> str:
    """One line on the four losses of a step that are not finite, or whose gradients are not."""
    values = ", ".join(f"{name} {value:g}" for name, value in zip(TERMS, terms, strict=True))
    shown = ", ".join(names[:_NAMES]) + (f" and {len(names) - _NAMES} more" if len(names) > _NAMES else "")
    return (
        f"expected finite losses and gradients, got {values} at step {step} (epoch {epoch}), "
        f"number {skipped} in a row, with pictures {shown}: lower --optimiser.lr, or use --precision 32"
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
