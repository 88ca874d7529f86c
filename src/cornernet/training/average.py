"""A moving average of a network's weights, which usually detects better than the weights themselves."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class WeightAverage:
    """The exponential moving average of every entry of a network's state; counters are copied.

    It looks at the network's own tensors: they must stay where they are.

    Attributes:
        state: The average, under the network's names, on its device.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._decay = decay
        now = network.state_dict()
        self.state: dict[str, Tensor] = {name: tensor.detach().clone() for name, tensor in now.items()}
        pairs = [(self.state[name], tensor) for name, tensor in now.items()]
        self._floating = [pair for pair in pairs if pair[0].is_floating_point()]
        self._counters = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Takes in the weights after `step` steps; early on the average forgets faster, as it began at random."""
        decay = min(self._decay, (1 + step) / (10 + step))
        averages, now = zip(*self._floating, strict=True)
        torch._foreach_lerp_(averages, now, 1 - decay)
        for kept, counter in self._counters:
            kept.copy_(counter)

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Goes on from a saved average."""
        for name, tensor in self.state.items():
            tensor.copy_(state[name])
