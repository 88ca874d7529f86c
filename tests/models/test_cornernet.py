"""The network: sizes, parameter counts, folding, and what inference leaves out."""

import pytest
import torch
from trained_norms import with_trained_norms

from cornernet.errors import ConfigError
from cornernet.models.build import build_model
from cornernet.models.config import VARIANTS, CornerNetConfig
from cornernet.models.folded import fold
from cornernet.structures.maps import CornerMaps
from synthetic import TINY

SMALL = CornerNetConfig(
    num_classes=4,
    channels=(8, 12, 16),
    blocks=(1, 2, 1),
    stem_channels=6,
    feature_channels=10,
    pool_channels=5,
    head_channels=7,
    embedding_channels=3,
)


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def test_parameter_counts_are_the_published_ones():
    with torch.device("meta"):
        assert parameters(build_model("cornernet-hourglass104")) == 201_035_212
        assert parameters(build_model(TINY)) == 2_689_576


def test_hourglass52_is_one_stack():
    with torch.device("meta"):
        model = build_model("cornernet-hourglass52", num_classes=5)
    assert len(model.hourglasses) == len(model.heads) == 1
    assert model.config.num_classes == 5
    assert len(model.inters) == 0


@pytest.mark.parametrize("size", [(511, 511), (511, 767), (127, 255), (64, 100), (1, 1), (33, 7)])
def test_maps_have_a_cell_per_four_pixels(size):
    model = build_model(SMALL).eval()
    with torch.no_grad():
        maps = model(torch.zeros(2, 3, *size))
    cells = tuple(-(-side // 4) for side in size)
    assert maps.tl_heat.shape == maps.br_heat.shape == (2, 4, *cells)
    assert maps.tl_emb.shape == maps.br_emb.shape == (2, 3, *cells)
    assert maps.tl_off.shape == maps.br_off.shape == (2, 2, *cells)


def test_forward_is_the_last_of_all_stacks_and_skips_other_heads():
    model = with_trained_norms(build_model(SMALL))
    images = torch.rand(1, 3, 63, 95, generator=torch.Generator().manual_seed(1))
    ran = []
    for i, head in enumerate(model.heads):
        head.register_forward_hook(lambda *_, i=i: ran.append(i))
    with torch.no_grad():
        last = model(images)
        assert ran == [1]
        stacks = model.all_stacks(images)
    assert ran == [1, 0, 1]
    assert len(stacks) == 2
    for name in ("tl_heat", "br_heat", "tl_emb", "br_emb", "tl_off", "br_off"):
        assert torch.equal(getattr(last, name), getattr(stacks[-1], name))
        assert not torch.equal(getattr(last, name), getattr(stacks[0], name))


def test_folding_and_dropping_heads_keep_the_maps():
    model = with_trained_norms(build_model(SMALL))
    images = torch.rand(2, 3, 65, 127, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        before = model(images)
        model.drop_auxiliary_heads()
        fold(model)
        after = model(images)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in model.modules())
    assert torch.allclose(before.tl_heat, after.tl_heat, atol=1e-5)
    assert torch.allclose(before.br_off, after.br_off, atol=1e-5)
    fold(model)  # twice is once
    with torch.no_grad():
        assert torch.equal(model(images).tl_heat, after.tl_heat)
    with pytest.raises(ConfigError, match="expected a head on every stack"):
        model.all_stacks(images)


def test_training_mode_reaches_every_parameter():
    model = build_model(SMALL).train()
    stacks = model.all_stacks(torch.rand(2, 3, 63, 63))
    sum((getattr(s, n).float() ** 2).sum() for s in stacks for n in vars(s)).backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert missing == []


def test_heat_starts_at_the_prior():
    model = build_model(SMALL)
    assert torch.allclose(model.heads[0].top_left.heat.out.bias, torch.tensor(-2.1972246))


def test_exports_and_compiles_whole():
    model = with_trained_norms(build_model(SMALL))
    images = torch.rand(1, 3, 63, 63)
    with torch.no_grad():
        expected = model(images)
        exported = torch.export.export(model, (images,)).module()(images)
        compiled = torch.compile(model, backend="aot_eager", fullgraph=True)(images)
    assert isinstance(exported, CornerMaps)
    assert torch.allclose(exported.tl_heat, expected.tl_heat, atol=1e-5)
    assert torch.allclose(compiled.tl_heat, expected.tl_heat, atol=1e-5)


def test_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match=r"did you mean 'cornernet-hourglass104'\?"):
        build_model("cornernet-hourglas104")
    assert set(VARIANTS) == {"cornernet-hourglass104", "cornernet-hourglass52"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_classes": 0}, "num_classes"),
        ({"blocks": (1, 1)}, "as many blocks as channels"),
        ({"channels": (8,), "blocks": (1,)}, "two or more"),
        ({"embedding_channels": 1.5}, "whole numbers"),
    ],
)
def test_impossible_architectures_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        CornerNetConfig(**change)
