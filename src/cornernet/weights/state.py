"""Checks on a state dict, and strict loading into a network: nothing is guessed, skipped or left random in silence."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from cornernet.errors import WeightsError
from cornernet.weights.architecture import Shape

COUNTER = "num_batches_tracked"
"""Batch norm's counter, the only entry that may be missing: files of PyTorch 0.4 lack it, inference ignores it."""

CLASS_LAYERS = ("heat.out.weight", "heat.out.bias")
"""How the entries end whose shape depends on the number of classes."""


def clean(entries: Mapping[str, object]) -> dict[str, Tensor]:
    """The entries as plain, finite CPU tensors: float32, but int64 for batch norm's counters.

    A tensor that has its type already is passed on as it is, without a copy.

    Raises:
        WeightsError: Naming the first entry that is not a dense tensor of real numbers, or holds a NaN or an infinity.
    """
    return {name: _clean(name, value) for name, value in entries.items()}


def _clean(name: str, value: object) -> Tensor:
    if not isinstance(value, Tensor):
        raise WeightsError(f"expected a tensor in the entry {name!r}, got {type(value).__name__}")
    tensor = value.detach()
    counts = name.endswith(COUNTER) and tensor.dtype in (torch.int64, torch.int32)
    if tensor.layout != torch.strided or tensor.is_meta or not (tensor.is_floating_point() or counts):
        raise WeightsError(f"expected a dense tensor of real numbers in the entry {name!r}, got {tensor.type()}")
    # Strides of 0 let a file of a few bytes claim a tensor of any size.
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise WeightsError(f"expected the entry {name!r} to hold all of its {tensor.numel()} numbers, got fewer")
    tensor = tensor.to("cpu", torch.int64 if name.endswith(COUNTER) else torch.float32)
    # A sum is not finite when one number is not, and needs no second tensor; but it can overflow by itself.
    if not tensor.sum().isfinite() and not tensor.isfinite().all():
        raise WeightsError(
            f"expected finite weights, got NaN or infinity in the entry {name!r}: "
            "training diverged or the file is damaged, use an earlier checkpoint"
        )
    return tensor


def with_counters(state: dict[str, Tensor], expected: Mapping[str, Shape]) -> dict[str, Tensor]:
    """The state with a zero for each of batch norm's counters that is missing."""
    missing = [name for name in expected if name.endswith(COUNTER) and name not in state]
    return state | {name: torch.zeros((), dtype=torch.int64) for name in missing}


def check_shapes(state: Mapping[str, Tensor], expected: Mapping[str, Shape], *, left_out: Collection[str] = ()) -> None:
    """Holds a state against the entries a network has.

    Args:
        state: The entries that came.
        expected: Name and shape of each of the network's entries.
        left_out: Entries that may be missing.

    Raises:
        WeightsError: Listing what is missing, unexpected and of another shape.
    """
    faults = [
        *(f"missing {name}" for name in expected if name not in state and name not in left_out),
        *(f"unexpected {name}" for name in state if name not in expected),
        *(
            f"shape {tuple(state[name].shape)} in place of {shape} in {name}"
            for name, shape in expected.items()
            if name in state and tuple(state[name].shape) != shape
        ),
    ]
    if faults:
        shown = "; ".join(faults[:8]) + (f"; and {len(faults) - 8} more" if len(faults) > 8 else "")
        raise WeightsError(
            f"expected exactly the network's {len(expected)} entries, got {len(faults)} that differ: {shown}: "
            "use weights of this architecture and class count"
        )


def load_state(model: nn.Module, state: Mapping[str, Tensor], *, left_out: Collection[str] = ()) -> None:
    """Loads a state into a network, strictly.

    A network built under `torch.device("meta")` takes the tensors themselves, without a copy; into any other they are
    copied.

    Args:
        model: The network; its own values stay where `left_out` says so, so it must not be on "meta" then.
        state: Its entries, under our names.
        left_out: Entries that may be missing.

    Raises:
        WeightsError: Listing what is missing, unexpected and of another shape; the network is unchanged then.
    """
    own = model.state_dict()
    check_shapes(state, {name: tuple(tensor.shape) for name, tensor in own.items()}, left_out=left_out)
    model.load_state_dict(state, strict=not left_out, assign=any(tensor.is_meta for tensor in own.values()))
