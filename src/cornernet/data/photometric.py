"""Colours of a training batch, on its device: the recipe's photometric distortion, then normalising."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from cornernet.data.batches import Batch


class Normalisation(Protocol):
    """How the network takes its pictures; `cornernet.weights.record.Preprocessing` is one."""

    @property
    def channel_order(self) -> str:
        """Order of the network's colour channels, "rgb" or "bgr"."""

    @property
    def mean(self) -> tuple[float, float, float]:
        """Per channel, in `channel_order`, on the 0..255 scale."""

    @property
    def std(self) -> tuple[float, float, float]:
        """Per channel, likewise."""

    @property
    def border(self) -> str:
        """What surrounds a picture: "mean" (0 once normalised) or "black"."""


def colour_and_normalise(batch: Batch, preprocessing: Normalisation) -> Tensor:
    """The network's input (N, 3, H, W) float32, channels-last in memory, on the batch's device.

    Args:
        batch: Pictures and the colour changes drawn for each.
        preprocessing: Channel order, mean, std and border; the padding is exactly the border's colour.
    """
    raise NotImplementedError
