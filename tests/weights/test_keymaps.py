from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cornernet.errors import WeightsError
from cornernet.models.config import CornerNetConfig
from cornernet.weights.architecture import expected_shapes
from cornernet.weights.keymaps import (
    CORNERNET,
    MMDETECTION,
    NAMINGS,
    PRINCETON,
    detect_naming,
    from_ours,
    to_mmdetection,
    to_ours,
)

# Entries and shapes of MMDetection 3.3.0's CornerNet with thin channels, as its own state dict lists them.
REFERENCE = Path(__file__).parent.parent / "golden" / "weights_mmdetection_tiny.txt"
THIN = CornerNetConfig(
    num_classes=3, channels=(32, 32, 48, 48, 48, 64), blocks=(1,) * 6, stem_channels=16, feature_channels=32
)


def reference_shapes() -> dict[str, tuple[int, ...]]:
    lines = (line.split() for line in REFERENCE.read_text(encoding="utf-8").splitlines())
    return {name: () if shape == "-" else tuple(map(int, shape.split("x"))) for name, shape in lines}


def test_every_entry_of_the_reference_lands_on_one_of_the_same_shape() -> None:
    ours = to_ours(reference_shapes(), MMDETECTION)
    assert len(ours) == 696
    assert ours == expected_shapes(THIN)
    assert to_mmdetection(ours) == reference_shapes()


# One pair for each row of the published conversion table, written out by hand: Princeton, CornerNet-Lite, MMDetection.
@pytest.mark.parametrize(
    ("princeton", "lite", "mmdetection"),
    [
        ("pre.0.conv.weight", "hg.pre.0.conv.weight", "backbone.stem.0.conv.weight"),
        ("pre.0.bn.bias", "hg.pre.0.bn.bias", "backbone.stem.0.bn.bias"),
        ("pre.1.skip.1.running_var", "hg.pre.1.skip.1.running_var", "backbone.stem.1.0.downsample.1.running_var"),
        (
            "kps.1.low2.low2.low1.0.skip.0.weight",
            "hg.hgs.1.low2.low2.low1.0.skip.0.weight",
            "backbone.hourglass_modules.1.low2.low2.low1.0.downsample.0.weight",
        ),
        ("kps.0.up1.1.bn2.bias", "hg.hgs.0.up1.1.bn2.bias", "backbone.hourglass_modules.0.up1.1.bn2.bias"),
        (
            "kps.0.low2.3.conv1.weight",
            "hg.hgs.0.low2.3.conv1.weight",
            "backbone.hourglass_modules.0.low2.3.conv1.weight",
        ),
        ("cnvs.1.conv.weight", "hg.cnvs.1.conv.weight", "backbone.out_convs.1.conv.weight"),
        ("inters.0.bn1.weight", "hg.inters.0.bn1.weight", "backbone.inters.0.bn1.weight"),
        ("inters_.0.0.weight", "hg.inters_.0.0.weight", "backbone.conv1x1s.0.conv.weight"),
        ("inters_.0.1.running_mean", "hg.inters_.0.1.running_mean", "backbone.conv1x1s.0.bn.running_mean"),
        ("cnvs_.0.0.weight", "hg.cnvs_.0.0.weight", "backbone.remap_convs.0.conv.weight"),
        ("cnvs_.0.1.weight", "hg.cnvs_.0.1.weight", "backbone.remap_convs.0.bn.weight"),
        (
            "tl_cnvs.0.p1_conv1.conv.weight",
            "tl_modules.0.p1_conv1.conv.weight",
            "bbox_head.tl_pool.0.direction1_conv.conv.weight",
        ),
        ("br_cnvs.1.p2_conv1.bn.bias", "br_modules.1.p2_conv1.bn.bias", "bbox_head.br_pool.1.direction2_conv.bn.bias"),
        ("tl_cnvs.0.p_conv1.weight", "tl_modules.0.p_conv1.weight", "bbox_head.tl_pool.0.aftpool_conv.conv.weight"),
        ("tl_cnvs.0.p_bn1.weight", "tl_modules.0.p_bn1.weight", "bbox_head.tl_pool.0.aftpool_conv.bn.weight"),
        ("br_cnvs.0.conv1.weight", "br_modules.0.conv1.weight", "bbox_head.br_pool.0.conv1.conv.weight"),
        ("br_cnvs.0.bn1.bias", "br_modules.0.bn1.bias", "bbox_head.br_pool.0.conv1.bn.bias"),
        ("br_cnvs.0.conv2.bn.bias", "br_modules.0.conv2.bn.bias", "bbox_head.br_pool.0.conv2.bn.bias"),
        ("tl_heats.1.0.conv.bias", "tl_heats.1.0.conv.bias", "bbox_head.tl_heat.1.0.conv.bias"),
        ("br_heats.1.1.weight", "br_heats.1.1.weight", "bbox_head.br_heat.1.1.conv.weight"),
        ("br_tags.0.1.bias", "br_tags.0.1.bias", "bbox_head.br_emb.0.1.conv.bias"),
        ("tl_regrs.0.0.conv.weight", "tl_offs.0.0.conv.weight", "bbox_head.tl_off.0.0.conv.weight"),
    ],
)
def test_the_three_projects_names_of_one_entry_meet(princeton: str, lite: str, mmdetection: str) -> None:
    (ours,) = to_ours({mmdetection: 0}, MMDETECTION)
    assert to_ours({f"module.{princeton}": 0}, PRINCETON) == {ours: 0}
    assert to_ours({f"module.{lite}": 0}, PRINCETON) == {ours: 0}
    assert from_ours({ours: 0}, PRINCETON) == {princeton: 0}


configs = st.builds(
    lambda levels, **rest: CornerNetConfig(
        channels=tuple(width for width, _ in levels), blocks=tuple(count for _, count in levels), **rest
    ),
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 3)), min_size=2, max_size=4),
    num_classes=st.integers(1, 4),
    stacks=st.integers(1, 3),
    embedding_channels=st.integers(1, 3),
)


@settings(max_examples=15, deadline=None)
@given(config=configs, origin=st.sampled_from(sorted(NAMINGS)), prefix=st.sampled_from(["", "module.", "_orig_mod."]))
def test_any_architecture_goes_there_and_back(config: CornerNetConfig, origin: str, prefix: str) -> None:
    shapes = expected_shapes(config)
    theirs = {prefix + name: shape for name, shape in from_ours(shapes, NAMINGS[origin]).items()}
    assert len(theirs) == len(shapes)
    assert detect_naming(theirs).origin == origin
    assert to_ours(theirs, NAMINGS[origin]) == shapes


@pytest.mark.parametrize("names", [["layer1.0.conv1.weight", "layer1.0.bn1.weight", "fc.weight", "fc.bias"], []])
def test_another_models_names_are_shown(names: list[str]) -> None:
    with pytest.raises(WeightsError, match=r"another model") as caught:
        detect_naming(names)
    assert ("'layer1.0.conv1.weight', 'layer1.0.bn1.weight', 'fc.weight' and 1 more" in str(caught.value)) == bool(
        names
    )
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "stranger",
    [
        "bbox_head.tl_heat.0.2.conv.weight",
        "neck.conv.weight",
        "backbone.stem.00.conv.weight",
        "backbone.out_convs.weight",
    ],
)
def test_an_unknown_entry_is_named(stranger: str) -> None:
    entries = dict(reference_shapes(), **{stranger: (1,)})
    assert detect_naming(entries) is MMDETECTION
    with pytest.raises(WeightsError, match=stranger.replace(".", r"\.")):
        to_ours(entries, MMDETECTION)


def test_an_entry_that_comes_twice_is_named() -> None:
    with pytest.raises(WeightsError, match=r"module\.pre\.0\.conv\.weight"):
        to_ours({"pre.0.conv.weight": 1, "module.pre.0.conv.weight": 2}, PRINCETON)


def test_only_our_names_can_be_written_in_another_naming() -> None:
    with pytest.raises(WeightsError, match="neck"):
        to_mmdetection({"stem.conv.conv.weight": 1, "neck.weight": 2})
    assert CORNERNET.from_ours("stem.conv.conv.weight") == "stem.conv.conv.weight"
