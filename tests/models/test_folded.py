"""Folded modules compute what their originals do, and hold their batch norms no more."""

import copy

import pytest
import torch
from torch import nn
from trained_norms import with_trained_norms

from cornernet.models.folded import FoldedBranch, FoldedCornerPooling, FoldedResidual, FusedConv, fold
from cornernet.models.head import Branch, CornerPooling
from cornernet.models.layers import ConvNorm, Residual


@pytest.mark.parametrize(
    ("module", "becomes"),
    [
        (ConvNorm(6, 5, 3), FusedConv),
        (ConvNorm(6, 5, 7, stride=2), FusedConv),
        (ConvNorm(6, 5, 1, activation=False), FusedConv),
        (Residual(6, 6), FoldedResidual),
        (Residual(6, 5, stride=2), FoldedResidual),
        (CornerPooling(6, 4, ("top", "left")), FoldedCornerPooling),
        (CornerPooling(6, 4, ("bottom", "right")), FoldedCornerPooling),
        (Branch(6, 5, 3), FoldedBranch),
    ],
)
def test_a_folded_module_computes_the_same(module, becomes):
    model = with_trained_norms(nn.Sequential(module)).requires_grad_(False)
    x = torch.randn(2, 6, 9, 12, generator=torch.Generator().manual_seed(1))
    kept = x.clone()
    expected = model(x)
    fold(model)
    found = model(x)
    assert type(model[0]) is becomes
    assert not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    assert torch.allclose(found, expected, atol=1e-5)
    assert torch.equal(x, kept)


def test_norms_synchronised_over_devices_are_folded_as_well():
    model = with_trained_norms(nn.Sequential(Residual(4, 6))).requires_grad_(False)
    x = torch.randn(1, 4, 5, 5, generator=torch.Generator().manual_seed(3))
    expected = model(x)
    model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    fold(model)
    assert torch.allclose(model(x), expected, atol=1e-5)


def test_modules_are_found_at_any_depth_and_folding_twice_is_once():
    model = nn.ModuleDict({"a": nn.Sequential(nn.Sequential(Residual(4, 4)), nn.ReLU()), "b": nn.Conv2d(4, 4, 1)})
    with_trained_norms(model).requires_grad_(False)
    x = torch.randn(1, 4, 5, 5, generator=torch.Generator().manual_seed(2))
    expected = model["b"](model["a"](x))
    fold(model)
    once = copy.deepcopy(model)
    fold(model)
    assert [name for name, _ in model.named_modules()] == [name for name, _ in once.named_modules()]
    assert torch.allclose(model["b"](model["a"](x)), expected, atol=1e-5)


def test_a_map_to_add_comes_before_the_activation():
    conv = FusedConv(nn.Conv2d(2, 3, 1).requires_grad_(False), activation=True)
    x, plus = torch.randn(1, 2, 4, 4), torch.randn(1, 3, 4, 4)
    assert torch.allclose(conv(x, plus), (conv.conv(x) + plus).relu())
    assert (conv(x, torch.full_like(plus, -100.0)) == 0).all()
