import copy

import torch
from torch import nn

from cornernet.models.folded import FusedConv
from cornernet.models.winograd_conv import WinogradConv, use_winograd


def fused(in_channels=128, out_channels=128, kernel=3, **options):
    conv = nn.Conv2d(in_channels, out_channels, kernel, **{"padding": kernel // 2} | options)
    return FusedConv(conv.requires_grad_(False), activation=True)


def test_only_what_gains_is_replaced():
    torch.manual_seed(0)
    rest = [
        fused(kernel=1), fused(stride=2), fused(padding=0), fused(dilation=2), fused(groups=2),
        fused(64, 128), fused(128, 64), nn.Conv2d(128, 128, 3, padding=1),
    ]  # fmt: skip
    model = nn.ModuleDict({"deep": nn.Sequential(fused(), fused(128, 256)), "rest": nn.ModuleList(rest)})
    use_winograd(model)
    use_winograd(model)  # twice is once
    assert all(isinstance(m, WinogradConv) and isinstance(m.direct, FusedConv) for m in model["deep"])
    assert list(model["rest"]) == rest


def test_large_maps_are_within_rounding_and_small_ones_equal():
    torch.manual_seed(0)
    direct = fused()
    ours = WinogradConv(copy.deepcopy(direct))
    for height, width, same in ((40, 50, True), (32, 64, False), (61, 43, False)):
        x = torch.randn(2, 128, height, width).to(memory_format=torch.channels_last)
        for plus in (None, torch.randn(2, 128, height, width)):
            expected, found = direct(x, plus), ours(x, plus)
            assert torch.equal(found, expected) is same
            assert torch.allclose(found, expected, atol=1e-5)


def test_a_picture_gives_the_same_alone_and_in_a_batch():
    torch.manual_seed(0)
    ours = WinogradConv(fused())
    x = torch.randn(3, 128, 48, 48).to(memory_format=torch.channels_last)
    together = ours(x)
    for i in range(3):
        assert torch.allclose(ours(x[i : i + 1])[0], together[i], atol=1e-6)
