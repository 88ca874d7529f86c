import json
import platform

import torch

from cornernet import __version__
from cornernet.inference.machine import cpu_name, describe, device_name, peak_device_bytes, peak_process_bytes

CPU = torch.device("cpu")


def test_description_goes_into_json():
    described = json.loads(json.dumps(describe(CPU)))
    assert described["cornernet"] == __version__
    assert described["torch"] == torch.__version__
    assert described["device"] == described["cpu"] == cpu_name() == device_name(CPU)
    assert described["device_type"] == "cpu"
    assert described["threads"] == torch.get_num_threads()
    assert described["date"].endswith("+00:00")


def test_a_device_without_a_name_is_called_by_its_type(monkeypatch):
    monkeypatch.setattr(torch, "get_device_module", lambda device: object())
    assert device_name(torch.device("meta")) == "meta"


def test_memory():
    assert peak_device_bytes(CPU) is None
    peak = peak_process_bytes()
    if platform.system() == "Windows":
        assert peak is None
        return
    assert peak is not None
    block = bytearray(64 << 20)
    block[::4096] = b"x" * len(block[::4096])  # touched, so that it is really there
    grown = peak_process_bytes()
    assert grown is not None
    assert 32 << 20 < grown < 1 << 40
    assert grown >= peak
