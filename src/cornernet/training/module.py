"""From a batch to the four losses: what one process of a training run differentiates."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn

from cornernet.corners.losses import LossConfig, corner_loss
from cornernet.corners.targets import corner_targets
from cornernet.models.cornernet import CornerNet

TERMS = ("det", "pull", "push", "off")
"""The names of the losses, in the order they are given in."""


class TrainingModule(nn.Module):
    """The network with its losses, so that a distributed wrapper sees one forward pass.

    The gradient of a step is that of one process with the whole batch, however many processes share it: they average
    what the focal and offset losses are divided by, and pull and push, sums over pictures, are made means over the
    pictures times `embedding_pictures`. The published runs sum on each device and average over devices, which is the
    same with `embedding_pictures` as each device's number of pictures.

    Args:
        network: In training mode, with a head on every stack.
        loss: Weights and shapes of the losses.
        embedding_pictures: The pictures that pull and push are summed over.
        compiled: Whether PyTorch compiles the step, from pictures to losses and back: one graph for a shape of
            `images`, whatever the number of boxes.
    """

    def __init__(
        self, network: CornerNet, loss: LossConfig, *, embedding_pictures: float, compiled: bool = False
    ) -> None:
        super().__init__()
        self.network = network
        self._loss = loss
        self._embedding_pictures = embedding_pictures
        self._compiled = torch.compile(self._terms) if compiled else None

    def forward(self, images: Tensor, boxes: Tensor, labels: Tensor, image_index: Tensor) -> Tensor:
        """The losses (4,), float32, in the order of `TERMS`; their sum is what is minimised.

        Args:
            images: (N, 3, H, W) normalised.
            boxes: (M, 4) xyxy in pixels of the images.
            labels: (M,) int64.
            image_index: (M,) int64 in 0..N-1, the picture each box belongs to.
        """
        if self._compiled is None:
            return self._terms(images, boxes, labels, image_index)
        for tensor in (boxes, labels, image_index):
            # Nothing is assumed of M. Of a size that merely varies, PyTorch compiles 0 and 1 as cases of their own.
            torch._dynamo.decorators.mark_unbacked(tensor, 0, shape_id="boxes")
        return self._compiled(images, boxes, labels, image_index)

    def _terms(self, images: Tensor, boxes: Tensor, labels: Tensor, image_index: Tensor) -> Tensor:
        stacks = self.network.all_stacks(images)
        with torch.autocast(images.device.type, enabled=False):
            height, width = images.shape[2:]
            targets = corner_targets(
                boxes,
                labels,
                image_index,
                batch_size=len(images),
                num_classes=self.network.config.num_classes,
                map_size=(stacks[0].tl_heat.shape[2], stacks[0].tl_heat.shape[3]),
                input_size=(height, width),
            )
            counts = targets.counts()
            means = mean_over_processes(torch.cat([counts, counts.new_full((1,), len(images))]))
            at_least_one = means[:4].clamp(min=1 / processes())  # in all processes together
            terms = corner_loss(stacks, targets, self._loss, counts=at_least_one)
            scale = self._embedding_pictures / means[4]
            return torch.stack([terms.det, terms.pull * scale, terms.push * scale, terms.off])


def mean_over_processes(values: Tensor) -> Tensor:
    """The mean of a tensor over the processes of a run; the tensor itself where there is one."""
    if processes() == 1:
        return values
    total = values.detach().clone()
    dist.all_reduce(total)
    return total / processes()


def processes() -> int:
    """How many processes share the run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
