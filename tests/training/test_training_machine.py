"""Devices: those that Lightning has classes for, any other by PyTorch's own interface, and those that are not there."""

import pytest
import torch

from cornernet.errors import ConfigError
from cornernet.training import machine
from cornernet.training.machine import Machine, launch
from cornernet.training.recipe import Recipe, override


def test_a_cpu():
    fabric = launch(Recipe(), Machine(device="cpu"))
    assert (fabric.device, fabric.world_size, fabric.is_global_zero) == (torch.device("cpu"), 1, True)


@pytest.mark.parametrize(("precision", "dtype"), [("32", torch.float32), ("bf16", torch.bfloat16)])
def test_precision(precision, dtype):
    fabric = launch(override(Recipe(), [f"train.precision={precision}"]), Machine(device="cpu"))
    with fabric.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


@pytest.mark.parametrize("device", ["tpu9", "xpu", "cuda:77"])
def test_devices_that_are_not_there(device):
    with pytest.raises(ConfigError, match=f"expected 1 of device '{device}' here, but: "):
        launch(Recipe(), Machine(device=device))


def test_an_accelerator_that_lightning_does_not_know(monkeypatch):
    monkeypatch.setattr(machine, "_current_kind", lambda: "meta")  # a device of PyTorch that is on every machine
    monkeypatch.setattr(machine.AnyAccelerator, "is_available", staticmethod(lambda: True))
    chosen = []
    monkeypatch.setattr(machine.AnyAccelerator, "setup_device", lambda self, device: chosen.append(device))
    fabric = launch(Recipe(), Machine())
    assert fabric.device.type == "meta"
    assert chosen == [fabric.device]
    assert machine.AnyAccelerator.get_parallel_devices(machine.AnyAccelerator.parse_devices(2)) == [
        torch.device("meta", 0),
        torch.device("meta", 1),
    ]
