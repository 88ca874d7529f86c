"""Convolutions of the finer levels by Winograd's algorithm, which needs a quarter of the multiplications."""

from __future__ import annotations

from torch import Tensor, nn

from cornernet.models.folded import FusedConv
from cornernet.models.hourglass import Hourglass
from cornernet.ops.winograd import conv3x3, transform_weight

_LEAST_CHANNELS = 128  # with fewer, the transforms cost more than they save
_LAST_LEVEL = 1  # of an hourglass, the finest being 0; below is little work, and most of the weights


class WinogradConv(nn.Module):
    """What a `FusedConv` of 3x3 computes, in float32 on the CPU."""

    transformed: Tensor
    bias: Tensor

    def __init__(self, fused: FusedConv) -> None:
        super().__init__()
        assert fused.conv.bias is not None
        self.register_buffer("transformed", transform_weight(fused.conv.weight.detach()))
        self.register_buffer("bias", fused.conv.bias.detach())
        self.activation = fused.activation

    def forward(self, x: Tensor, plus: Tensor | None = None) -> Tensor:
        """(N, in_channels, H, W) and a map of the result's shape -> (N, out_channels, H, W)."""
        return conv3x3(x, self.transformed, self.bias, plus, activation=self.activation)


def use_winograd(model: nn.Module, level: int = 0) -> None:
    """Puts `WinogradConv` in the places of a folded model's convolutions that gain from it.

    Transformed weights take four times the memory of the others, which coarse levels do not repay.

    Args:
        model: A folded network or a part of one, on the CPU.
        level: Of the hourglass the part belongs to.
    """
    if level > _LAST_LEVEL:
        return
    for name, child in model.named_children():
        if isinstance(child, FusedConv):
            if _gains(child.conv):
                setattr(model, name, WinogradConv(child))
        else:
            use_winograd(child, level + (isinstance(model, Hourglass) and name != "up"))


def _gains(conv: nn.Conv2d) -> bool:
    shape = (conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups)
    return shape == ((3, 3), (1, 1), (1, 1), (1, 1), 1) and min(conv.in_channels, conv.out_channels) >= _LEAST_CHANNELS
