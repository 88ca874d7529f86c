"""Work held against sums by hand and PyTorch's own counter; peaks against a clock that the test moves."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cornernet.inference import roofline
from cornernet.inference.roofline import Peaks, Work, WorkCounter, measure_copy, measure_flop, network_work, rate
from cornernet.models.build import build_model
from cornernet.models.config import VARIANTS, CornerNetConfig
from cornernet.ops.corner_pool import corner_pool, operators

NARROW = CornerNetConfig(
    num_classes=2, channels=(8, 8), blocks=(1, 1), stem_channels=4, feature_channels=8, pool_channels=4, head_channels=8
)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_counts_by_hand(device):
    with torch.device(device):
        conv = nn.Conv2d(3, 5, 3, stride=2, padding=1)
        x = torch.zeros(2, 3, 8, 6)
        norm = nn.BatchNorm2d(5).eval()
    with torch.no_grad(), WorkCounter() as counter:
        y = conv(x)
    outputs = 2 * 5 * 4 * 3
    assert counter.work.flop == 2 * outputs * 27
    assert counter.work.moved == 4 * (x.numel() + 5 * 27 + 5 + outputs)
    with torch.no_grad(), WorkCounter() as counter:
        norm(y).relu_().add_(1)
    assert counter.work == Work()  # taken to happen within the convolution
    with torch.no_grad(), WorkCounter() as counter:
        corner_pool(y.bfloat16(), "top")
    assert counter.work == Work(flop=0, moved=2 * 2 * outputs)
    with torch.no_grad(), WorkCounter() as counter:
        operators.pool_sum(y, y, "top", "left")
    assert counter.work == Work(flop=0, moved=2 * 4 * 2 * outputs)  # as much as where it is two poolings
    with torch.no_grad(), WorkCounter() as counter:
        torch.zeros(4, 6, device=device) @ torch.zeros(6, 5, device=device)
    assert counter.work == Work(flop=2 * 4 * 5 * 6, moved=4 * (24 + 30 + 20))


def test_the_network_s_operations_are_pytorch_s_count():
    with torch.device("meta"):
        model, x = build_model(NARROW).eval(), torch.empty(3, 3, 127, 255)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(x)
    assert network_work(NARROW, (127, 255), 3, torch.float32).flop == counter.get_total_flops()


def test_weights_are_read_once_a_batch_and_bytes_follow_the_type():
    one, two, three = (network_work(NARROW, (127, 127), n, torch.float32) for n in (1, 2, 3))
    assert two.flop == 2 * one.flop
    assert three.moved - two.moved == two.moved - one.moved
    with torch.device("meta"):
        model = build_model(NARROW)
    model.drop_auxiliary_heads()
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    weights = sum(c.weight.numel() + c.out_channels for c in convolutions)  # folded: each has a bias
    assert one.moved - (two.moved - one.moved) == 4 * weights
    assert network_work(NARROW, (127, 127), 1, torch.bfloat16).moved == one.moved / 2


def test_hourglass_104():
    work = network_work(VARIANTS["cornernet-hourglass104"], (511, 511), 1, torch.bfloat16)
    assert work.flop / 1e9 == pytest.approx(686.3, abs=0.05)
    assert work.moved / 1e9 == pytest.approx(1.24, abs=0.005)


def test_the_longer_of_computing_and_moving_bounds():
    peaks = Peaks(flop=100.0, moved=10.0)
    assert peaks.seconds(Work(flop=200.0, moved=10.0)) == 2
    assert peaks.seconds(Work(flop=200.0, moved=30.0)) == 3
    assert peaks.seconds(Work()) == 0


class Clock:
    """A clock that a task moves by hand."""

    now = 0.0

    def perf_counter(self):
        return self.now


def test_rate_is_that_of_the_fastest_measurement(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(roofline, "time", clock)
    calls = 0

    def task():
        """Slow when cold; then 10 ms each, or 20 in every other stretch of eight."""
        nonlocal calls
        calls += 1
        clock.now += 1.0 if calls == 1 else 0.02 if (calls // 8) % 2 else 0.01

    assert rate(task, 6.0, torch.device("cpu")) == pytest.approx(600.0)


def test_peaks_of_this_machine():
    """As quick as can be here: a machine has them, whatever they are."""
    assert 1e8 < measure_flop(torch.device("cpu"), torch.float32) < 1e15
    assert 1e7 < measure_copy(torch.device("cpu")) < 1e14
