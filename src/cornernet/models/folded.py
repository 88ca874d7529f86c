"""The network as inference runs it: batch norms in their convolutions, and what follows a convolution done with it."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import relu
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cornernet.models.head import Branch, CornerPooling
from cornernet.models.layers import ConvNorm, Residual
from cornernet.ops.corner_pool import corner_pool_sum


class FusedConv(nn.Module):
    """A convolution with bias, the sum with another map where one is given, then ReLU if `activation` is true."""

    def __init__(self, conv: nn.Conv2d, *, activation: bool) -> None:
        super().__init__()
        self.conv = conv
        self.activation = activation

    def forward(self, x: Tensor, plus: Tensor | None = None) -> Tensor:
        """(N, in_channels, H, W) and a map of the result's shape -> (N, out_channels, H', W')."""
        y: Tensor = self.conv(x)
        if plus is not None:
            y += plus
        return relu(y, inplace=True) if self.activation else y


class FoldedResidual(nn.Module):
    """What a `Residual` computes in evaluation mode."""

    def __init__(self, block: Residual) -> None:
        super().__init__()
        self.first = _fused(block.conv1, block.norm1, activation=True)
        self.second = _fused(block.conv2, block.norm2, activation=True)
        self.skip = _folded(block.skip)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        y: Tensor = self.second(self.first(x), self.skip(x))
        return y


class FoldedCornerPooling(nn.Module):
    """What `CornerPooling` computes in evaluation mode."""

    def __init__(self, pooling: CornerPooling) -> None:
        super().__init__()
        self.directions = pooling.directions
        self.first, self.second = _folded(pooling.first), _folded(pooling.second)
        self.pooled = _fused(pooling.pooled.conv, pooling.pooled.norm, activation=True)
        self.skip, self.out = _folded(pooling.skip), _folded(pooling.out)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        edges = corner_pool_sum(self.first(x), self.second(x), self.directions)
        y: Tensor = self.out(self.pooled(edges, self.skip(x)))
        return y


class FoldedBranch(nn.Module):
    """What a `Branch` computes."""

    def __init__(self, branch: Branch) -> None:
        super().__init__()
        self.hidden = FusedConv(branch.hidden, activation=True)
        self.out = branch.out

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, out_channels, H, W)."""
        y: Tensor = self.out(self.hidden(x))
        return y


def fold(model: nn.Module) -> None:
    """Puts folded modules in the places of a model's own. The model must be in evaluation mode, and stays for it."""
    for name, child in model.named_children():  # one after the other, so that both forms of all are never in memory
        setattr(model, name, _folded(child))


def _folded(module: nn.Module) -> nn.Module:
    match module:
        case ConvNorm():
            return _fused(module.conv, module.norm, activation=module.activation)
        case Residual():
            return FoldedResidual(module)
        case CornerPooling():
            return FoldedCornerPooling(module)
        case Branch():
            return FoldedBranch(module)
    fold(module)
    return module


def _fused(conv: nn.Conv2d, norm: nn.BatchNorm2d, *, activation: bool) -> FusedConv:
    return FusedConv(fuse_conv_bn_eval(conv, norm), activation=activation)
