import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cornernet.errors import WeightsError
from cornernet.models.build import build_model
from cornernet.models.config import VARIANTS, CornerNetConfig
from cornernet.weights.architecture import empty_model, expected_shapes, read_architecture

width = st.integers(1, 9)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), depth=st.integers(1, 5))
def test_every_architecture_is_read_back_from_its_shapes(data: st.DataObject, depth: int) -> None:
    config = CornerNetConfig(
        num_classes=data.draw(width),
        stacks=data.draw(st.integers(1, 3)),
        channels=data.draw(st.lists(width, min_size=depth + 1, max_size=depth + 1).map(tuple)),
        blocks=data.draw(st.lists(st.integers(1, 3), min_size=depth + 1, max_size=depth + 1).map(tuple)),
        stem_channels=data.draw(width),
        feature_channels=data.draw(width),
        pool_channels=data.draw(width),
        head_channels=data.draw(width),
        embedding_channels=data.draw(width),
    )
    assert read_architecture(expected_shapes(config)) == config


@pytest.mark.parametrize("name", VARIANTS)
def test_the_named_variants_are_recognised(name: str) -> None:
    assert read_architecture(expected_shapes(VARIANTS[name])) == VARIANTS[name]


def test_hourglass104_has_the_published_size() -> None:
    model = empty_model(CornerNetConfig())
    assert sum(parameter.numel() for parameter in model.parameters()) == 201_035_212
    assert len(model.state_dict()) == 1128


def test_the_empty_model_is_the_real_one_without_numbers(small_config: CornerNetConfig) -> None:
    before = torch.get_rng_state()
    model = empty_model(small_config)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(tensor.is_meta for tensor in model.state_dict().values())
    real = {name: tuple(tensor.shape) for name, tensor in build_model(small_config).state_dict().items()}
    assert expected_shapes(small_config) == real


def test_the_empty_model_does_not_import_the_compiler() -> None:
    code = (
        "import sys; from cornernet.weights.architecture import empty_model, CornerNetConfig;"
        "before = 'torch._dynamo' in sys.modules; empty_model(CornerNetConfig(stacks=1));"
        "sys.exit(not before and 'torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_missing_entry_is_named(small_config: CornerNetConfig) -> None:
    shapes = expected_shapes(small_config)
    del shapes["heads.0.top_left.embedding.out.weight"]
    with pytest.raises(WeightsError, match=r"heads\.0\.top_left\.embedding\.out\.weight"):
        read_architecture(shapes)


def test_an_hourglass_without_inside_is_refused(small_config: CornerNetConfig) -> None:
    shapes = {name: shape for name, shape in expected_shapes(small_config).items() if ".inner." not in name}
    with pytest.raises(WeightsError, match="incomplete"):
        read_architecture(shapes)


def test_an_entry_of_another_rank_is_named(small_config: CornerNetConfig) -> None:
    shapes = expected_shapes(small_config) | {"outs.0.conv.weight": (7, 4)}
    with pytest.raises(WeightsError, match=r"outs\.0\.conv\.weight.*4 axes.*\(7, 4\)"):
        read_architecture(shapes)


def test_crafted_names_cannot_ask_for_a_huge_network(small_config: CornerNetConfig) -> None:
    shapes = expected_shapes(small_config)
    many = {f"outs.{i}.conv.weight": (1, 1, 1, 1) for i in range(2000)}
    many |= {f"hourglasses.0.up.{i}.conv1.weight": (1, 1, 1, 1) for i in range(2000)}
    with pytest.raises(WeightsError, match="incomplete"):
        read_architecture(shapes | many)
    deep = {f"hourglasses.0.{'inner.' * level}low_in.0.conv2.weight": (1, 1, 1, 1) for level in range(900)}
    with pytest.raises(WeightsError, match="at most 12 levels"):
        read_architecture(shapes | deep)
