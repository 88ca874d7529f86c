from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import conv2d

from cornernet.ops import winograd
from cornernet.ops.winograd import conv3x3, transform_weight


def made(count, channels, features, height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, channels, height, width, generator=generator)
    weight = torch.randn(features, channels, 3, 3, generator=generator) / (3 * channels**0.5)
    bias, plus = (
        torch.randn(features, generator=generator),
        torch.randn(count, features, height, width, generator=generator),
    )
    return x, weight, bias, plus


def direct(x, weight, bias, plus, activation):
    y = conv2d(x.double(), weight.double(), bias.double(), padding=1)
    y = y if plus is None else y + plus.double()
    return y.relu() if activation else y


def test_one_axis_is_exact_algebra():
    inward, outward, filters = winograd._matrices()
    line, taps = np.random.default_rng(0).normal(size=6), np.random.default_rng(1).normal(size=3)
    expected = [line[i : i + 3] @ taps for i in range(4)]
    assert np.allclose(outward @ ((filters @ taps) * (inward @ line)), expected, rtol=1e-13, atol=1e-13)


def test_float32_holds_the_transforms_exactly():
    inward, outward, _ = winograd._matrices()
    for ours, exact in zip(winograd._transforms(), (inward, outward), strict=True):
        assert np.array_equal(ours.double().numpy(), np.kron(exact, exact))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 3), st.integers(1, 5), st.integers(1, 5), st.integers(1, 14), st.integers(1, 14),
    st.booleans(), st.booleans(), st.booleans(), st.integers(1, 200), st.integers(1, 6),
)  # fmt: skip
def test_any_size_is_the_direct_form(count, channels, features, height, width, adds, activation, last, block, chain):
    x, weight, bias, plus = made(count, channels, features, height, width)
    plus = plus if adds else None
    given = x.contiguous(memory_format=torch.channels_last) if last else x
    # Many blocks, of which the last may be shorter, and chains, of which the last may be.
    with mock.patch.multiple(winograd, _BLOCK=block, _CHAIN=chain):
        found = conv3x3(given, transform_weight(weight), bias, plus, activation=activation)
    expected = direct(x, weight, bias, plus, activation)
    assert found.shape == expected.shape
    assert found.dtype == torch.float32
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(found.double(), expected, atol=1e-5)


def test_views_are_read_by_their_strides():
    x, weight, bias, _ = made(2, 6, 3, 18, 22)
    view = x[:, ::2, 1:, ::2].transpose(2, 3)
    found = conv3x3(view, transform_weight(weight[:, :3]), bias, None, activation=False)
    assert torch.allclose(found.double(), direct(view, weight[:, :3], bias, None, False), atol=1e-5)


def test_input_and_added_map_stay_as_they_are():
    x, weight, bias, plus = made(1, 3, 3, 8, 8)
    kept = x.clone(), plus.clone()
    conv3x3(x, transform_weight(weight), bias, plus, activation=True)
    assert torch.equal(x, kept[0])
    assert torch.equal(plus, kept[1])


def test_points_and_chains_each_lessen_the_rounding(monkeypatch):
    x, weight, bias, _ = made(1, 256, 256, 32, 32)
    x = x.relu()
    exact = direct(x, weight, bias, None, False)

    def error():
        winograd._transforms.cache_clear()
        return (conv3x3(x, transform_weight(weight), bias, None, activation=False) - exact).std() / exact.std()

    ours = error()
    assert ours < 1e-6
    monkeypatch.setattr(winograd, "_CHAIN", 256)
    long_chains = error()
    assert ours < 0.8 * long_chains
    monkeypatch.setattr(winograd, "_POINTS", (0.0, 1.0, -1.0, 2.0, -2.0))
    assert long_chains < 0.6 * error()
    monkeypatch.undo()
    winograd._transforms.cache_clear()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_near(value):
    x, weight, bias, _ = made(1, 2, 2, 20, 20)
    x[0, 0, 9, 9] = value
    found = conv3x3(x, transform_weight(weight), bias, None, activation=True)
    wrong = ~torch.isfinite(found[0, 0])
    assert wrong[9, 9]
    wrong[5:14, 5:14] = False
    assert not wrong.any()
