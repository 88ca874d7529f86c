"""The corner head: corner pooling, then heatmap, embedding and offset of each corner (the paper's section 3)."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn.functional import relu

from cornernet.models.config import CornerNetConfig
from cornernet.models.layers import ConvNorm
from cornernet.ops.corner_pool import Direction, corner_pool_sum
from cornernet.structures.maps import CornerMaps

PRIOR = 0.1
"""Corner probability an untrained heatmap starts from, so that the focal loss is not swamped by empty cells."""


class CornerPooling(nn.Module):
    """The corner pooling module (the paper's figure 7): features see along both edges that meet in the corner."""

    def __init__(self, channels: int, pool_channels: int, directions: tuple[Direction, Direction]) -> None:
        super().__init__()
        self.directions = directions
        self.first = ConvNorm(channels, pool_channels, 3)
        self.second = ConvNorm(channels, pool_channels, 3)
        self.pooled = ConvNorm(pool_channels, channels, 3, activation=False)
        self.skip = ConvNorm(channels, channels, 1, activation=False)
        self.out = ConvNorm(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        edges = corner_pool_sum(self.first(x), self.second(x), self.directions)
        y: Tensor = self.out(relu(self.pooled(edges) + self.skip(x), inplace=True))
        return y


class Branch(nn.Module):
    """One output map: 3x3 convolution, ReLU, 1x1 convolution."""

    def __init__(self, channels: int, hidden_channels: int, out_channels: int) -> None:
        super().__init__()
        self.hidden = nn.Conv2d(channels, hidden_channels, 3, padding=1)
        self.out = nn.Conv2d(hidden_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, out_channels, H, W)."""
        y: Tensor = self.out(relu(self.hidden(x), inplace=True))
        return y


class CornerBranches(nn.Module):
    """Everything about one corner: pooling, then its three branches."""

    def __init__(self, config: CornerNetConfig, directions: tuple[Direction, Direction]) -> None:
        super().__init__()
        width, hidden = config.feature_channels, config.head_channels
        self.pool = CornerPooling(width, config.pool_channels, directions)
        self.heat = Branch(width, hidden, config.num_classes)
        self.embedding = Branch(width, hidden, config.embedding_channels)
        self.offset = Branch(width, hidden, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, C, H, W) features -> heat, embedding and offset maps of this corner."""
        x = self.pool(x)
        return self.heat(x), self.embedding(x), self.offset(x)


class CornerHead(nn.Module):
    """Both corners' branches on one stack's features."""

    def __init__(self, config: CornerNetConfig) -> None:
        super().__init__()
        self.top_left = CornerBranches(config, ("top", "left"))
        self.bottom_right = CornerBranches(config, ("bottom", "right"))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The reference's initialisation: Kaiming (fan-out) but for the last convolutions, which keep PyTorch's own."""
        for module in self.modules():
            if isinstance(module, ConvNorm):
                nn.init.kaiming_normal_(module.conv.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, Branch):
                nn.init.kaiming_normal_(module.hidden.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(_bias(module.hidden))
        for corner in (self.top_left, self.bottom_right):
            nn.init.constant_(_bias(corner.heat.out), -math.log((1 - PRIOR) / PRIOR))

    def forward(self, x: Tensor) -> CornerMaps:
        """(N, feature_channels, H, W) -> `CornerMaps`."""
        tl_heat, tl_emb, tl_off = self.top_left(x)
        br_heat, br_emb, br_off = self.bottom_right(x)
        return CornerMaps(tl_heat=tl_heat, br_heat=br_heat, tl_emb=tl_emb, br_emb=br_emb, tl_off=tl_off, br_off=br_off)


def _bias(conv: nn.Conv2d) -> Tensor:
    assert conv.bias is not None
    return conv.bias
