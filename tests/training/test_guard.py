"""Steps that are left out leave no trace, whether the host looks at them or the optimiser's kernel does."""

import pytest
import torch
from lightning.fabric import Fabric
from torch import nn

from cornernet.training.guard import Statistics, Stepper, can_fuse
from cornernet.training.options import TrainOptions


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2))


def test_statistics_are_kept_or_put_back():
    model = network()
    statistics = Statistics(model)
    model(torch.randn(2, 3, 8, 8))
    seen = [buffer.clone() for buffer in model.buffers()]
    statistics.keep_if(torch.tensor(True))
    for buffer in model.buffers():
        buffer.fill_(7 if buffer.dtype == torch.int64 else torch.nan)
    statistics.keep_if(torch.tensor(False))
    for buffer, before in zip(model.buffers(), seen, strict=True):
        assert buffer.dtype == before.dtype
        assert torch.equal(buffer, before)
    assert int(model[1].num_batches_tracked) == 1


@pytest.mark.parametrize("fused", [None, True])
def test_a_step_that_is_left_out_leaves_no_trace(fused):
    def after(pictures):
        fabric = Fabric(accelerator="cpu", devices=1)
        model = network()
        plain = torch.optim.Adam(model.parameters(), lr=0.1, fused=fused)
        wrapped, optimiser = fabric.setup(model, plain)
        stepper = Stepper(model, optimiser, TrainOptions())
        assert stepper.waits == (fused is None)
        for picture in pictures:
            loss = wrapped(picture).square().mean()
            fabric.backward(loss)
            stepper.step(loss.isfinite())
        assert all(p.grad is None for p in model.parameters())
        return model.state_dict(), plain.state_dict()["state"]

    torch.manual_seed(1)
    one, two, three = torch.randn(3, 2, 3, 8, 8)
    bad = one * torch.nan
    (model, state), (expected, expected_state) = after([one, bad, two, bad, bad, three]), after([one, two, three])
    for name, tensor in expected.items():
        assert torch.equal(model[name], tensor), name
    for index, entries in expected_state.items():
        assert all(torch.equal(state[index][name], tensor) for name, tensor in entries.items())


def test_devices_without_the_kernel_and_fp16_have_the_host_look():
    assert can_fuse(torch.device("cpu"), TrainOptions())
    assert not can_fuse(torch.device("meta"), TrainOptions())
    assert not can_fuse(torch.device("cpu"), TrainOptions(precision="fp16"))
