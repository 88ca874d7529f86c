"""The largest batch that a device has room for, found by trying."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from lightning.fabric import Fabric
from torch import Tensor

from cornernet.models.cornernet import CornerNet
from cornernet.training.machine import is_out_of_memory
from cornernet.training.module import TrainingModule
from cornernet.training.recipe import Recipe

_MOST = 1024
_BOXES = 20
_ROOM = 1.1  # pictures differ in their boxes, and memory gets fragmented


def largest_batch(network: CornerNet, recipe: Recipe, fabric: Fabric, say: Callable[[str], None]) -> int:
    """Pictures that a step has room for on the device of every process.

    On a CPU, whose memory has no clear end, it is the recipe's batch.

    Args:
        network: On the device; its weights stay as they are, its batch norm statistics are put back.
        recipe: Its loss, precision and picture size; whether a moving average is kept.
        fabric: Launched.
        say: Takes a line for the user.
    """
    if fabric.device.type == "cpu":
        say(f"batch {recipe.train.batch}, the recipe's: auto needs a device with memory of its own")
        return recipe.train.batch
    buffers = [buffer.clone() for buffer in network.buffers()]
    module = TrainingModule(network.train(), recipe.loss, embedding_pictures=1.0)
    # What the optimiser and the average will take beside the gradients.
    copies = [torch.empty_like(p) for p in network.parameters() for _ in range(3 if recipe.train.ema else 2)]
    good = search(lambda batch: _fits(module, batch, recipe, fabric))
    del copies
    network.zero_grad(set_to_none=True)
    for buffer, before in zip(network.buffers(), buffers, strict=True):
        buffer.copy_(before)
    smallest = fabric.all_reduce(torch.tensor(float(good), device=fabric.device), reduce_op="min")
    assert isinstance(smallest, Tensor)
    batch = int(smallest)
    say(f"batch {batch}: the largest that fits")
    return batch


def search(fits: Callable[[int], bool]) -> int:
    """The largest batch, or nearly, that fits with some room to spare; 1 where none does.

    Args:
        fits: Whether a batch fits.
    """
    good, bad = 0, 1
    while bad <= _MOST and fits(math.ceil(bad * _ROOM)):
        good, bad = bad, bad * 2
    while bad <= _MOST and bad - good > max(1, good // 8):
        middle = (good + bad) // 2
        good, bad = (middle, bad) if fits(math.ceil(middle * _ROOM)) else (good, middle)
    return max(1, good)


def _fits(module: TrainingModule, batch: int, recipe: Recipe, fabric: Fabric) -> bool:
    height, width = recipe.augment.size
    try:
        images = torch.zeros(batch, 3, height, width, device=fabric.device).to(memory_format=torch.channels_last)
        corner = torch.tensor([0.0, 0.0, width / 2, height / 2], device=fabric.device)
        picture = torch.arange(batch, device=fabric.device).repeat_interleave(_BOXES)
        with fabric.autocast():
            losses = module(images, corner.expand(len(picture), 4), torch.zeros_like(picture), picture)
        losses.sum().backward()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return False
    finally:
        module.zero_grad(set_to_none=True)
        if torch.accelerator.is_available():
            torch.accelerator.empty_cache()
    return True
