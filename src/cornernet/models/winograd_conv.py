"""Convolutions of large maps by Winograd's algorithm, which needs a quarter of the multiplications."""

from __future__ import annotations

from torch import Tensor, nn

from cornernet.models.folded import FusedConv
from cornernet.ops.winograd import conv3x3, transform_weight

_LEAST_CHANNELS = 128  # with fewer, the transforms cost more than they save
_LEAST_CELLS = 2048  # of a map; transformed weights take four times the memory, and coarse levels hold the most weights


class WinogradConv(nn.Module):
    """A `FusedConv` of 3x3 that computes large maps by Winograd's algorithm; its weights are transformed at the first.

    For float32 on the CPU. Whether a map is large depends on its own size alone, not on how many there are at once.
    """

    def __init__(self, direct: FusedConv) -> None:
        super().__init__()
        self.direct = direct
        self._transformed: Tensor | None = None

    def forward(self, x: Tensor, plus: Tensor | None = None) -> Tensor:
        """(N, in_channels, H, W) and a map of the result's shape -> (N, out_channels, H, W)."""
        if x.shape[2] * x.shape[3] < _LEAST_CELLS:
            y: Tensor = self.direct(x, plus)
            return y
        conv = self.direct.conv
        if self._transformed is None:
            self._transformed = transform_weight(conv.weight)
        assert conv.bias is not None
        return conv3x3(x, self._transformed, conv.bias, plus, activation=self.direct.activation)


def use_winograd(model: nn.Module) -> None:
    """Gives the convolutions of a folded model that gain from it to `WinogradConv`, in place."""
    for name, child in model.named_children():
        if isinstance(child, FusedConv):
            if _gains(child.conv):
                setattr(model, name, WinogradConv(child))
        elif not isinstance(child, WinogradConv):
            use_winograd(child)


def _gains(conv: nn.Conv2d) -> bool:
    shape = (conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups)
    return shape == ((3, 3), (1, 1), (1, 1), (1, 1), 1) and min(conv.in_channels, conv.out_channels) >= _LEAST_CHANNELS
