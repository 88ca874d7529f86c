"""Folded modules compute what their originals do, and hold their batch norms no more."""

import copy

import pytest
import torch
from torch import nn

from cornernet.models.folded import FoldedBranch, FoldedCornerPooling, FoldedResidual, FusedConv, fold
from cornernet.models.head import Branch, CornerPooling
from cornernet.models.layers import ConvNorm, Residual


def trained(module, seed=0):
    """Batch norms as after training, so that folding has something to do."""
    generator = torch.Generator().manual_seed(seed)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_(0, 0.3, generator=generator)
            norm.running_var.uniform_(0.5, 2, generator=generator)
            norm.weight.data.uniform_(0.5, 1.5, generator=generator)
            norm.bias.data.normal_(0, 0.3, generator=generator)
    return module.eval().requires_grad_(False)


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
    model = nn.Sequential(trained(module))
    x = torch.randn(2, 6, 9, 12, generator=torch.Generator().manual_seed(1))
    kept = x.clone()
    expected = model(x)
    fold(model)
    found = model(x)
    assert type(model[0]) is becomes
    assert not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    assert torch.allclose(found, expected, atol=1e-5)
    assert torch.equal(x, kept)


def test_modules_are_found_at_any_depth_and_folding_twice_is_once():
    model = nn.ModuleDict({"a": nn.Sequential(nn.Sequential(Residual(4, 4)), nn.ReLU()), "b": nn.Conv2d(4, 4, 1)})
    trained(model)
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
