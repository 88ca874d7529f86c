"""The moving average against the formula."""

import torch
from torch import nn

from cornernet.training.average import WeightAverage


def test_the_average_is_the_formulas():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    average = WeightAverage(network, 0.6)
    expected = {name: t.clone() for name, t in network.state_dict().items()}
    for step in range(1, 12):
        with torch.no_grad():
            for tensor in network.state_dict().values():
                tensor.add_(step)
        average.update(step)
        decay = min(0.6, (1 + step) / (10 + step))
        for name, now in network.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * now if now.is_floating_point() else now.clone()
    assert average.state.keys() == network.state_dict().keys()
    for name, tensor in average.state.items():
        torch.testing.assert_close(tensor, expected[name])
        assert tensor.data_ptr() != network.state_dict()[name].data_ptr()
    other = WeightAverage(network, 0.6)
    other.load(average.state)
    torch.testing.assert_close(other.state, average.state)
