"""A moving average of a network's weights, which usually detects better than the weights themselves."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class WeightAverage:
    """The exponential moving average of every entry of a network's state; counters are copied.

    Attributes:
        state: The average, under the network's names, on its device.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._decay = decay
        self.state: dict[str, Tensor] = {name: t.detach().clone() for name, t in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Takes in the weights after `step` steps; early on the average forgets faster, as it began at random."""
        decay = min(self._decay, (1 + step) / (10 + step))
        now = network.state_dict()
        floating = [name for name, tensor in self.state.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([self.state[name] for name in floating], [now[name] for name in floating], 1 - decay)
        for name in self.state.keys() - set(floating):
            self.state[name].copy_(now[name])

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Goes on from a saved average."""
        for name, tensor in self.state.items():
            tensor.copy_(state[name])
