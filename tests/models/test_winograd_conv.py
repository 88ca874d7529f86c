import torch
from torch import nn

from cornernet.models.folded import FusedConv, fold
from cornernet.models.hourglass import Hourglass
from cornernet.models.winograd_conv import WinogradConv, use_winograd


def fused(in_channels=128, out_channels=128, kernel=3, **options):
    conv = nn.Conv2d(in_channels, out_channels, kernel, **{"padding": kernel // 2} | options)
    return FusedConv(conv.requires_grad_(False), activation=True)


def test_only_what_gains_is_replaced():
    rest = [
        fused(kernel=1), fused(stride=2), fused(padding=0), fused(dilation=2), fused(groups=2),
        fused(64, 128), fused(128, 64), nn.Conv2d(128, 128, 3, padding=1),
    ]  # fmt: skip
    model = nn.ModuleDict({"deep": nn.Sequential(fused(), fused(128, 256)), "rest": nn.ModuleList(rest)})
    use_winograd(model)
    use_winograd(model)  # twice is once
    assert all(isinstance(m, WinogradConv) for m in model["deep"])
    assert list(model["rest"]) == rest


def test_coarse_levels_stay():
    with torch.device("meta"):
        model = nn.Sequential(Hourglass((128,) * 4, (1,) * 4).eval())
    fold(model)
    names = {name for name, m in model.named_modules() if isinstance(m, FusedConv) and m.conv.stride == (1, 1)}
    replaced = {name for name in names if not name.startswith(("0.inner.low", "0.inner.inner"))}
    use_winograd(model)
    assert {name for name, m in model.named_modules() if isinstance(m, WinogradConv)} == replaced
    assert len(replaced) == 2 + 1 + 2 + 2  # up, low_in, low_out, and up of the next


def test_the_same_within_rounding():
    torch.manual_seed(0)
    for activation in (False, True):
        direct = FusedConv(fused(128, 160).conv, activation=activation)
        ours = WinogradConv(direct)
        for height, width in ((32, 64), (61, 43), (1, 1)):
            x = torch.randn(2, 128, height, width).to(memory_format=torch.channels_last)
            for plus in (None, torch.randn(2, 160, height, width)):
                assert torch.allclose(ours(x, plus), direct(x, plus), atol=1e-5)


def test_a_picture_gives_the_same_alone_and_in_a_batch():
    torch.manual_seed(0)
    ours = WinogradConv(fused())
    x = torch.randn(3, 128, 48, 48).to(memory_format=torch.channels_last)
    together = ours(x)
    for i in range(3):
        assert torch.allclose(ours(x[i : i + 1])[0], together[i], atol=1e-6)
