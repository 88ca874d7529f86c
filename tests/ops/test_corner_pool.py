"""Corner pooling on the CPU and in plain PyTorch, held against the loop."""

import itertools
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cornernet.errors import ConfigError
from cornernet.ops.corner_pool import Direction, corner_pool, cpu, operators, portable, reference

DIRECTIONS = get_args(Direction)
BACKENDS = {"cpu": cpu, "portable": portable}
SHAPES = [
    (2, 3, 5, 7),
    (1, 2, 8, 12),
    (1, 1, 1, 1),
    (2, 3, 1, 6),
    (1, 2, 6, 1),
    (1, 1, 9, 4),
    (0, 3, 4, 4),
    (2, 3, 0, 4),
]


def contiguous(x):
    return x.contiguous()


def channels_last(x):
    return x.contiguous(memory_format=torch.channels_last)


def transposed(x):
    return x.transpose(-1, -2).contiguous().transpose(-1, -2)


def sliced(x):
    n, c, h, w = x.shape
    wide = x.new_full((n, c, 2 * h + 1, 3 * w + 2), 99.0)
    wide[..., 1::2, 2::3] = x
    return wide[..., 1::2, 2::3]


def expanded(x):
    return x[:, :1, :, :1].expand(x.shape)


LAYOUTS = [contiguous, channels_last, transposed, sliced, expanded]


def integers(shape, dtype=torch.float32, high=4):
    """Small integers: many ties, sums without rounding, and zeros such as a ReLU leaves."""
    return torch.randint(-1, high, shape, generator=torch.Generator().manual_seed(0)).clamp(min=0).to(dtype)


def by_cummax(x, direction):
    axis = -2 if direction in ("top", "bottom") else -1
    if direction in ("top", "left"):
        return x.flip(axis).cummax(axis).values.flip(axis)
    return x.cummax(axis).values


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_reference_is_what_the_paper_says(direction):
    x = torch.tensor([[[[3.0, 1.0, 2.0], [0.0, 4.0, 1.0]]]])
    expected = {
        "top": [[3, 4, 2], [0, 4, 1]],
        "left": [[3, 2, 2], [4, 4, 1]],
        "bottom": [[3, 1, 2], [3, 4, 2]],
        "right": [[3, 3, 3], [0, 4, 4]],
    }[direction]
    assert reference.forward(x, direction)[0, 0].tolist() == expected


@pytest.mark.parametrize(
    ("direction", "values", "expected"),
    [("right", [2, 2, 1], [1, 2, 0]), ("left", [1, 2, 2], [0, 2, 1]), ("right", [0, 0, 0, 0], [1, 1, 1, 1])],
)
def test_of_tied_inputs_the_nearest_takes_the_gradient(direction, values, expected):
    x = torch.tensor(values, dtype=torch.float32).view(1, 1, 1, -1)
    out = reference.forward(x, direction)
    for backend in (reference, *BACKENDS.values()):
        assert backend.backward(torch.ones_like(x), x, out, direction).flatten().tolist() == expected


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_backends_equal_the_loop(backend, layout, direction):
    for shape in SHAPES:
        x, grad = layout(integers(shape)), layout(integers(shape, high=7))
        out = reference.forward(x, direction)
        before = x.clone()
        assert torch.equal(BACKENDS[backend].forward(x, direction), out)
        assert torch.equal(
            BACKENDS[backend].backward(grad, x, out, direction), reference.backward(grad, x, out, direction)
        )
        assert torch.equal(x, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("backend", BACKENDS)
def test_dtypes_are_kept(backend, dtype):
    x, grad = integers((2, 3, 6, 5), dtype), integers((2, 3, 6, 5), dtype)
    for direction in DIRECTIONS:
        out = BACKENDS[backend].forward(x, direction)
        grad_x = BACKENDS[backend].backward(grad, x, out, direction)
        assert out.dtype == grad_x.dtype == dtype
        assert torch.equal(out, reference.forward(x, direction))
        assert torch.equal(grad_x, reference.backward(grad, x, out, direction))


@pytest.mark.parametrize("backend", BACKENDS)
def test_half_precision_sums_do_not_stall(backend):
    x = torch.zeros(1, 1, 1, 1000, dtype=torch.bfloat16)
    x[..., 0] = 1
    out = BACKENDS[backend].forward(x, "right")
    grad_x = BACKENDS[backend].backward(torch.ones_like(x), x, out, "right")
    assert grad_x[..., 0].item() == 1000  # in bfloat16, 256 + 1 is 256


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_nan_wins_and_keeps_its_own_gradient(direction):
    x, grad = integers((1, 2, 5, 6)), integers((1, 2, 5, 6), high=9)
    x[0, 0, 2, 3] = float("nan")
    out = reference.forward(x, direction)
    axis = -2 if direction in ("top", "bottom") else -1
    assert out[0, 0].isnan().sum() == {"top": 3, "left": 4, "bottom": 3, "right": 3}[direction]
    for backend in BACKENDS.values():
        assert torch.equal(backend.forward(x, direction).nan_to_num(-7), out.nan_to_num(-7))
        assert torch.equal(backend.backward(grad, x, out, direction), reference.backward(grad, x, out, direction))
    grad_x = reference.backward(grad, x, out, direction)
    assert torch.equal(grad_x.sum(axis), grad.sum(axis))


@pytest.mark.parametrize("backend", BACKENDS)
def test_infinities(backend):
    x = torch.tensor([float("-inf"), float("-inf"), 1.0, float("inf"), 2.0]).view(1, 1, 1, 5)
    for direction in ("left", "right"):
        out = BACKENDS[backend].forward(x, direction)
        assert torch.equal(out, reference.forward(x, direction))
        grad_x = BACKENDS[backend].backward(torch.ones_like(x), x, out, direction)
        assert torch.equal(grad_x, reference.backward(torch.ones_like(x), x, out, direction))


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(*[st.integers(0, 3), st.integers(0, 3), st.integers(0, 19), st.integers(0, 19)]),
    direction=st.sampled_from(DIRECTIONS),
    layout=st.sampled_from(LAYOUTS),
    high=st.integers(1, 9),
    seed=st.integers(0, 2**16),
)
def test_any_size_and_values(shape, direction, layout, high, seed):
    numbers = torch.Generator().manual_seed(seed)
    x = layout(torch.randint(-high, high, shape, generator=numbers).float())
    grad = torch.randint(-9, 9, shape, generator=numbers).float()
    out = reference.forward(x, direction)
    grad_x = reference.backward(grad, x, out, direction)
    for backend in BACKENDS.values():
        assert torch.equal(backend.forward(x, direction), out)
        assert torch.equal(backend.backward(grad, x, out, direction), grad_x)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_equal_those_of_cummax(layout, direction):
    x, grad = layout(integers((2, 3, 9, 8))), integers((2, 3, 9, 8), high=9)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    corner_pool(ours, direction).backward(grad)
    by_cummax(theirs, direction).backward(grad)
    assert torch.equal(ours.grad, theirs.grad)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_gradcheck(direction):
    distinct = torch.randperm(2 * 2 * 4 * 5, generator=torch.Generator().manual_seed(0)).double().view(2, 2, 4, 5)
    for layout in (contiguous, channels_last):
        x = layout(distinct).requires_grad_()
        torch.autograd.gradcheck(lambda x: corner_pool(x, direction), x)


@pytest.mark.parametrize("on_cpu", [True, False], ids=["cpu", "portable"])
def test_memory_format_is_kept(on_cpu):
    for layout, direction in itertools.product(LAYOUTS, DIRECTIONS):
        x = layout(integers((2, 3, 5, 4)))
        with operators.pool.set_kernel_enabled("cpu", enabled=on_cpu):
            out = corner_pool(x, direction)
        assert out.stride() == torch.empty_like(x).stride()
        assert torch.equal(out, reference.forward(x, direction))


def test_inference_stores_nothing():
    x = integers((1, 2, 4, 4))
    with torch.inference_mode():
        assert corner_pool(x, "top").is_inference()
    assert corner_pool(x, "top").grad_fn is None
    assert corner_pool(x.requires_grad_(), "top").grad_fn is not None


@pytest.mark.parametrize("direction", ["up", "TOP", "", None, 1])
def test_wrong_direction(direction):
    with pytest.raises(ConfigError, match="expected direction to be one of top, left, bottom, right, got"):
        corner_pool(torch.zeros(1, 1, 2, 2), direction)


@pytest.mark.parametrize("shape", [(), (3, 4), (2, 3, 4), (1, 2, 3, 4, 5)])
def test_wrong_axes(shape):
    with pytest.raises(ConfigError, match=r"expected x of four axes \(N, C, H, W\), got shape"):
        corner_pool(torch.zeros(shape), "top")
