"""The two bricks everything is built from: convolution with batch norm, and the residual block."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import relu


class ConvNorm(nn.Module):
    """Convolution without bias and batch norm, then ReLU unless `activation` is false."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, activation: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        x = self.norm(self.conv(x))
        return relu(x, inplace=True) if self.activation else x


class Residual(nn.Module):
    """Two 3x3 convolutions around an identity, projected by a 1x1 where width or stride changes (He et al., 2016)."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.skip = ConvNorm(in_channels, out_channels, 1, stride=stride, activation=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        y = relu(self.norm1(self.conv1(x)), inplace=True)
        y = self.norm2(self.conv2(y))
        return relu(y + self.skip(x), inplace=True)
