"""The hourglass: down, across and up again at ever coarser scales (Newell et al., 2016; the paper's section 3.5)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import interpolate

from cornernet.models.layers import ConvNorm, Residual


def downward(in_channels: int, out_channels: int, blocks: int, *, stride: int = 1) -> nn.Sequential:
    """Residual blocks of which the first changes width and stride."""
    first = Residual(in_channels, out_channels, stride=stride)
    return nn.Sequential(first, *(Residual(out_channels, out_channels) for _ in range(blocks - 1)))


def upward(in_channels: int, out_channels: int, blocks: int) -> nn.Sequential:
    """Residual blocks of which the last changes width."""
    last = Residual(in_channels, out_channels)
    return nn.Sequential(*(Residual(in_channels, in_channels) for _ in range(blocks - 1)), last)


class Stem(nn.Module):
    """7x7/2 convolution and a residual block of stride 2."""

    def __init__(self, stem_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = ConvNorm(3, stem_channels, 7, stride=2)
        self.residual = Residual(stem_channels, out_channels, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """A picture (N, 3, H, W) -> features (N, out_channels, ceil(H / 4), ceil(W / 4))."""
        y: Tensor = self.residual(self.conv(x))
        return y


class Hourglass(nn.Module):
    """One hourglass, defined by recursion: `inner` is a smaller hourglass, or plain blocks at the coarsest level."""

    def __init__(self, channels: Sequence[int], blocks: Sequence[int]) -> None:
        super().__init__()
        here, below = channels[:2]
        self.up = downward(here, here, blocks[0])
        self.low_in = downward(here, below, blocks[0], stride=2)
        self.inner = Hourglass(channels[1:], blocks[1:]) if len(channels) > 2 else downward(below, below, blocks[1])
        self.low_out = upward(below, here, blocks[0])

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels[0], H, W) of any size -> the same shape."""
        up: Tensor = self.up(x)
        low = self.low_out(self.inner(self.low_in(x)))
        # To the size of `up`, not times two: odd sizes fit as well.
        return up + interpolate(low, size=up.shape[2:], mode="nearest")
