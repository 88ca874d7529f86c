"""Measuring weights on the validation split while they are trained; the pictures are shared out over the processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from cornernet.data.coco import CocoDataset, check_size
from cornernet.evaluation.coco_ap import Evaluation, evaluate_boxes
from cornernet.inference.detector import Detector
from cornernet.weights.architecture import empty_model
from cornernet.weights.record import ModelRecord
from cornernet.weights.state import load_state


@dataclass(frozen=True, eq=False)
class Validation:
    """How good the weights are.

    Attributes:
        evaluation: The COCO numbers.
        results: The detections as COCO result entries, by picture in the dataset's order.
    """

    evaluation: Evaluation
    results: list[dict[str, Any]]


def make_detector(
    state: Mapping[str, Tensor], record: ModelRecord, *, device: torch.device, max_pixels: int
) -> Detector:
    """A detector with a copy of these weights, in float32; the network that is trained stays untouched."""
    network = empty_model(record.architecture)
    load_state(network, {name: tensor.detach().cpu().clone() for name, tensor in state.items()})
    # Eager: memory is training's, and there is a detector for each look.
    return Detector(network, record, device=device, mode="eager", max_pixels=max_pixels)


def validate(
    detector: Detector, dataset: CocoDataset, *, batch: int, rank: int, world_size: int, step: Callable[[], None]
) -> Validation | None:
    """Measures a detector on a split, each picture looked at once by one of the processes.

    Args:
        detector: The same weights on every process.
        dataset: All of the split.
        batch: Pictures of one size that go through the network at once.
        rank: This process's number.
        world_size: How many there are; every one must call.
        step: Called after each picture of this process.

    Returns:
        On rank 0, what was found; None on the others.
    """
    own = dataset.images[rank::world_size]
    found: list[list[dict[str, Any]]] = []
    stream = detector.stream([image.path for image in own], batch=batch)
    for image, (picture, detections) in zip(own, stream, strict=True):
        check_size(image, picture)
        found.append(detections.to_coco(image.id))
        step()
    shares = _gather(found, rank, world_size)
    if shares is None:
        return None
    # Round robin, as the pictures were dealt out.
    results = [r for i in range(len(dataset)) for r in shares[i % world_size][i // world_size]]
    return Validation(evaluate_boxes(dataset.to_coco(), results), results)


def _gather(found: list[Any], rank: int, world_size: int) -> list[list[Any]] | None:
    if world_size == 1:
        return [found]
    shares: list[Any] | None = [None] * world_size if rank == 0 else None
    dist.gather_object(found, shares)
    return shares
