import math

import pytest
import torch
from torch import Tensor

from cornernet.errors import WeightsError
from cornernet.models.build import build_model
from cornernet.models.config import CornerNetConfig
from cornernet.weights.architecture import empty_model, expected_shapes
from cornernet.weights.state import CLASS_LAYERS, check_shapes, clean, load_state, with_counters


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_weight_that_is_not_finite_is_named(bad: float) -> None:
    entries = {"a.weight": torch.ones(3), "b.weight": torch.tensor([0.0, bad]), "c.weight": torch.tensor([bad])}
    with pytest.raises(WeightsError, match=r"NaN or infinity in the entry 'b\.weight'"):
        clean(entries)


def test_large_but_finite_weights_pass() -> None:
    large = torch.full((4,), 3e38)
    assert not large.sum().isfinite()
    assert torch.equal(clean({"a.weight": large})["a.weight"], large)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.float32])
def test_everything_becomes_float32_and_counters_int64(dtype: torch.dtype) -> None:
    state = clean({"a.weight": torch.ones(2, dtype=dtype), "a.num_batches_tracked": torch.tensor(3, dtype=torch.int32)})
    assert state["a.weight"].dtype == torch.float32
    assert state["a.num_batches_tracked"].dtype == torch.int64


def test_a_tensor_that_is_right_already_is_not_copied() -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    cleaned = clean({"a.weight": parameter})["a.weight"]
    assert cleaned.data_ptr() == parameter.data_ptr()
    assert not cleaned.requires_grad


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("text", "got str"),
        (None, "got NoneType"),
        (torch.ones(2, 2).to_sparse(), "dense"),
        (torch.ones(2, device="meta"), "dense"),
        (torch.ones(2, dtype=torch.complex64), "dense"),
        (torch.ones(2, dtype=torch.int64), "dense"),
        (torch.ones(2, dtype=torch.bool), "dense"),
        (torch.ones(1).expand(10**12), "1000000000000 numbers"),
    ],
)
def test_anything_but_a_dense_tensor_is_refused(value: object, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        clean({"a.weight": value})


def test_only_counters_are_filled_in(small_config: CornerNetConfig, small_state: dict[str, Tensor]) -> None:
    expected = expected_shapes(small_config)
    bare = {name: tensor for name, tensor in small_state.items() if not name.endswith("num_batches_tracked")}
    filled = with_counters(bare, expected)
    check_shapes(filled, expected)
    assert all(filled[name].item() == 0 and filled[name].dtype == torch.int64 for name in filled.keys() - bare.keys())
    assert with_counters(small_state, expected) == small_state
    del bare["stem.conv.norm.running_mean"]
    with pytest.raises(WeightsError, match=r"missing stem\.conv\.norm\.running_mean"):
        check_shapes(with_counters(bare, expected), expected)


def test_the_faults_are_listed() -> None:
    expected = {"a": (1,), "b": (2, 3), "c": ()}
    with pytest.raises(WeightsError) as caught:
        check_shapes({"b": torch.ones(3, 2), "c": torch.ones(()), "d": torch.ones(1)}, expected)
    assert "missing a; unexpected d; shape (3, 2) in place of (2, 3) in b" in str(caught.value)
    with pytest.raises(WeightsError, match="and 12 more") as caught:
        check_shapes({}, {str(i): () for i in range(20)})
    assert "\n" not in str(caught.value)


def test_the_numbers_arrive_in_the_network(small_config: CornerNetConfig, small_state: dict[str, Tensor]) -> None:
    model = build_model(small_config)
    load_state(model, small_state)
    assert all(torch.equal(tensor, small_state[name]) for name, tensor in model.state_dict().items())


def test_an_empty_network_takes_the_tensors_themselves(
    small_config: CornerNetConfig, small_state: dict[str, Tensor]
) -> None:
    model = empty_model(small_config)
    load_state(model, small_state)
    assert all(tensor.data_ptr() == small_state[name].data_ptr() for name, tensor in model.state_dict().items())
    assert model.eval()(torch.zeros(1, 3, 31, 33)).tl_heat.shape == (1, 3, 8, 9)


def test_a_network_of_another_shape_is_left_as_it_was(
    small_config: CornerNetConfig, small_state: dict[str, Tensor]
) -> None:
    model = build_model(small_config, num_classes=5)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(WeightsError, match=r"shape \(3, 9, 1, 1\) in place of \(5, 9, 1, 1\)"):
        load_state(model, small_state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_layers_left_out_keep_their_own_numbers(small_config: CornerNetConfig, small_state: dict[str, Tensor]) -> None:
    left_out = [name for name in small_state if name.endswith(CLASS_LAYERS)]
    assert len(left_out) == 8
    part = {name: tensor for name, tensor in small_state.items() if name not in left_out}
    model = build_model(small_config, num_classes=5)
    before = {name: model.state_dict()[name].clone() for name in left_out}
    load_state(model, part, left_out=left_out)
    state = model.state_dict()
    assert all(torch.equal(state[name], before[name]) for name in left_out)
    assert all(torch.equal(state[name], part[name]) for name in part)
    with pytest.raises(WeightsError, match="missing"):
        load_state(model, part)
