"""From a file to a network."""

import logging

import torch

from cornernet.models.build import build_model
from cornernet.models.config import CornerNetConfig
from cornernet.structures.classes import Classes
from cornernet.weights.model import load_model
from cornernet.weights.native import write_native
from cornernet.weights.record import MMDETECTION, ModelRecord

NARROW = CornerNetConfig(
    num_classes=3, channels=(8, 8), blocks=(1, 1), stem_channels=4, feature_channels=8, pool_channels=4, head_channels=8
)


def saved(folder):
    state = build_model(NARROW).state_dict()
    record = ModelRecord(architecture=NARROW, preprocessing=MMDETECTION, classes=Classes.numbered(["a", "b", "c"]))
    write_native(folder, record, state, card="a card")
    return state, record


def test_the_network_holds_the_file_s_tensors(tmp_path):
    state, record = saved(tmp_path / "model")
    model, read = load_model(tmp_path / "model")
    assert read == record
    assert model.config == NARROW
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_another_class_count_keeps_the_rest_and_says_what_it_left(tmp_path, caplog):
    state, _ = saved(tmp_path / "model")
    with caplog.at_level(logging.WARNING, logger="cornernet"):
        model, record = load_model(tmp_path / "model", num_classes=5)
    assert record.architecture.num_classes == len(record.classes) == 5
    left = [name for name, tensor in model.state_dict().items() if tensor.shape != state[name].shape]
    assert len(left) == 8  # weight and bias, two corners, two stacks
    assert all(name in caplog.text for name in left)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items() if name not in left)
    assert all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())
