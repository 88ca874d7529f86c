import hashlib
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from cornernet.errors import ConfigError, WeightsError
from cornernet.models.config import CornerNetConfig
from cornernet.structures.classes import COCO, Classes
from cornernet.weights import load
from cornernet.weights.keymaps import CORNERNET, MMDETECTION, PRINCETON, Naming, from_ours, to_mmdetection
from cornernet.weights.load import LoadedWeights, load_weights
from cornernet.weights.native import write_native
from cornernet.weights.record import MMDETECTION as MMDETECTION_INPUT
from cornernet.weights.record import PRINCETON as PRINCETON_INPUT
from cornernet.weights.record import ModelRecord

State = dict[str, Tensor]


def assert_same(loaded: LoadedWeights, state: State) -> None:
    assert loaded.state.keys() == state.keys()
    for name, tensor in state.items():
        assert torch.equal(loaded.state[name], tensor)
        assert loaded.state[name].dtype == tensor.dtype


def without_counters(state: State) -> State:
    return {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}


@pytest.fixture
def mmdetection(tmp_path: Path, small_state: State) -> Path:
    path = tmp_path / "mmdetection.pth"
    meta = {"mmdet_version": "2.3.0", "CLASSES": ("cat", "dog", "cow"), "epoch": 210}
    torch.save({"meta": meta, "state_dict": to_mmdetection(small_state)}, path)
    return path


@pytest.fixture
def folder(tmp_path: Path, small_config: CornerNetConfig, small_state: State) -> Path:
    record = ModelRecord(
        architecture=small_config, preprocessing=PRINCETON_INPUT, classes=Classes(("a", "b", "c"), (2, 5, 9))
    )
    write_native(tmp_path / "model", record, small_state, card="")
    return tmp_path / "model"


def test_an_mmdetection_file(mmdetection: Path, small_config: CornerNetConfig, small_state: State) -> None:
    loaded = load_weights(mmdetection)
    assert_same(loaded, small_state)
    assert loaded.origin == "mmdetection"
    assert loaded.left_out == ()
    assert loaded.record == ModelRecord(
        architecture=small_config,
        preprocessing=MMDETECTION_INPUT,
        classes=Classes(("cat", "dog", "cow"), (1, 2, 3)),
    )


def test_an_mmdetection_3_file_brings_its_own_preprocessing(tmp_path: Path, small_state: State) -> None:
    text = "data_preprocessor = dict(type='D', mean=[1, 2, 3], std=[4, 5, 6], bgr_to_rgb=False)\n"
    meta = {"cfg": text, "dataset_meta": {"classes": ("x", "y", "z")}}
    torch.save({"meta": meta, "state_dict": to_mmdetection(small_state)}, tmp_path / "w.pth")
    record = load_weights(str(tmp_path / "w.pth")).record
    assert record.preprocessing.channel_order == "bgr"
    assert record.preprocessing.mean == (1, 2, 3)
    assert record.classes.names == ("x", "y", "z")


@pytest.mark.parametrize("lite", [False, True])
def test_a_princeton_file_of_old_pytorch(tmp_path: Path, small_state: State, lite: bool) -> None:
    theirs = from_ours(without_counters(small_state), PRINCETON)
    if lite:
        words = {"kps.": "hg.hgs.", "_cnvs.": "_modules.", "_regrs.": "_offs."}
        backbone = ("pre.", "cnvs", "inters")
        for old, new in words.items():
            theirs = {name.replace(old, new): tensor for name, tensor in theirs.items()}
        theirs = {"hg." + name if name.startswith(backbone) else name: tensor for name, tensor in theirs.items()}
    path = tmp_path / "CornerNet_500000.pkl"
    torch.save(
        {f"module.{name}": tensor for name, tensor in theirs.items()}, path, _use_new_zipfile_serialization=False
    )
    loaded = load_weights(path)
    counters = {name: torch.tensor(0) for name in small_state if name.endswith("num_batches_tracked")}
    assert_same(loaded, small_state | counters)
    assert loaded.origin == "princeton"
    assert loaded.record.preprocessing == PRINCETON_INPUT


def test_our_names_in_a_pickle(tmp_path: Path, small_state: State) -> None:
    torch.save({"model": small_state}, tmp_path / "w.pt")
    loaded = load_weights(tmp_path / "w.pt")
    assert_same(loaded, small_state)
    assert loaded.origin == "cornernet"


def test_our_own_folder_and_the_file_in_it(folder: Path, small_state: State) -> None:
    loaded = load_weights(folder)
    assert_same(loaded, small_state)
    assert loaded.origin == "cornernet"
    assert loaded.record.classes == Classes(("a", "b", "c"), (2, 5, 9))
    assert loaded.record.preprocessing == PRINCETON_INPUT
    bare = load_weights(folder / "model.safetensors")
    assert_same(bare, small_state)
    assert bare.record == loaded.record


@pytest.mark.parametrize("naming", [MMDETECTION, PRINCETON, CORNERNET])
def test_a_lone_safetensors_file_in_any_naming(tmp_path: Path, small_state: State, naming: Naming) -> None:
    save_file(from_ours(small_state, naming), tmp_path / "any name")
    loaded = load_weights(tmp_path / "any name")
    assert_same(loaded, small_state)
    assert loaded.origin == naming.origin


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_other_precisions_become_float32(tmp_path: Path, small_state: State, dtype: torch.dtype) -> None:
    torch.save({name: tensor.to(dtype) for name, tensor in without_counters(small_state).items()}, tmp_path / "w.pth")
    state = load_weights(tmp_path / "w.pth").state
    assert all(tensor.dtype == torch.float32 for tensor in without_counters(state).values())
    assert torch.allclose(state["outs.0.conv.weight"], small_state["outs.0.conv.weight"], atol=2e-3)


# --- another class count ---


@pytest.mark.parametrize("wanted", [1, 5, 80])
def test_another_class_count_leaves_only_the_class_layers_out(
    mmdetection: Path, small_config: CornerNetConfig, small_state: State, wanted: int
) -> None:
    loaded = load_weights(mmdetection, num_classes=wanted)
    corners = ("top_left", "bottom_right")
    expected = {
        f"heads.{s}.{corner}.heat.out.{part}" for s in (0, 1) for corner in corners for part in ("weight", "bias")
    }
    assert set(loaded.left_out) == expected
    assert len(loaded.left_out) == 8
    assert_same(loaded, {name: tensor for name, tensor in small_state.items() if name not in expected})
    assert loaded.record.architecture == replace(small_config, num_classes=wanted)
    assert loaded.record.classes == Classes.unnamed(wanted)
    assert (loaded.record.classes == COCO) == (wanted == 80)


def test_the_same_class_count_leaves_nothing_out(mmdetection: Path, small_state: State) -> None:
    loaded = load_weights(mmdetection, num_classes=3)
    assert loaded.left_out == ()
    assert loaded.record.classes.names == ("cat", "dog", "cow")
    with pytest.raises(ConfigError, match="num_classes"):
        load_weights(mmdetection, num_classes=0)


# --- what is no weights of ours ---


def refused(source: str | Path) -> str:
    with pytest.raises(WeightsError) as caught:
        load_weights(source, progress=False)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 1200
    return message


def test_nan_is_refused_under_the_files_own_name(tmp_path: Path, small_state: State) -> None:
    state = to_mmdetection(small_state)
    name = "bbox_head.br_emb.1.1.conv.bias"
    torch.save({"state_dict": state | {name: torch.full_like(state[name], math.nan)}}, tmp_path / "w.pth")
    assert repr(name) in refused(tmp_path / "w.pth")


def test_another_models_checkpoint_is_refused_with_samples(tmp_path: Path) -> None:
    torch.save({f"layer1.{i}.conv1.weight": torch.ones(1) for i in range(9)}, tmp_path / "w.pth")
    message = refused(tmp_path / "w.pth")
    assert "another model" in message
    assert "layer1.0.conv1.weight" in message
    assert "and 6 more" in message


def test_a_missing_entry_an_unknown_one_and_a_wrong_shape_are_named(tmp_path: Path, small_state: State) -> None:
    path = tmp_path / "w.pth"
    whole = to_mmdetection(small_state)
    torch.save({name: tensor for name, tensor in whole.items() if name != "backbone.inters.0.conv2.weight"}, path)
    assert "missing inters.0.conv2.weight" in refused(path)
    torch.save(whole | {"bbox_head.tl_mask.0.0.conv.bias": torch.ones(1)}, path)
    assert "bbox_head.tl_mask.0.0.conv.bias" in refused(path)
    torch.save(whole | {"bbox_head.br_heat.1.1.conv.bias": torch.ones(4)}, path)
    assert "shape (4,) in place of (3,) in heads.1.bottom_right.heat.out.bias" in refused(path)


def test_only_counters_may_be_missing(tmp_path: Path, small_state: State) -> None:
    torch.save({name: tensor for name, tensor in small_state.items() if "running_var" not in name}, tmp_path / "w.pth")
    message = refused(tmp_path / "w.pth")
    assert "missing stem.conv.norm.running_var" in message
    assert "more" in message


@pytest.mark.parametrize("data", [b"", b"<html></html>", b"some text", b"\x80\x02}q\x00.", b"PK\x03\x04"])
def test_files_that_are_no_weights(tmp_path: Path, data: bytes) -> None:
    for name in ("w.pth", "w.safetensors", "w"):
        (tmp_path / name).write_bytes(data)
        assert name in refused(tmp_path / name)


def test_config_and_weights_of_different_models_are_refused(
    folder: Path, small_config: CornerNetConfig, small_state: State
) -> None:
    record = ModelRecord(
        architecture=replace(small_config, embedding_channels=1),
        preprocessing=MMDETECTION_INPUT,
        classes=Classes.unnamed(3),
    )
    write_native(folder, record, small_state, card="")
    assert "embedding_channels = 1" in refused(folder)
    # A config that asks for a network of any size costs nothing.
    huge = replace(small_config, channels=(10**9, 10**9), blocks=(10**9, 10**9))
    write_native(folder, replace(record, architecture=huge), small_state, card="")
    assert "channels" in refused(folder)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    assert "config.json" in refused(tmp_path)


def test_a_file_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(b"x")

    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(load, "check_named_hash", denied)
    assert "Permission denied" in refused(path)


def test_a_hash_in_the_files_name_is_checked(mmdetection: Path, small_state: State) -> None:
    right = hashlib.sha256(mmdetection.read_bytes()).hexdigest()[:8]
    good = mmdetection.rename(mmdetection.with_name(f"net-{right}.pth"))
    assert_same(load_weights(good), small_state)
    bad = good.rename(good.with_name("net-01234567.pth"))
    assert f"start with 01234567, got {right}" in refused(bad)


# --- where weights come from ---


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("cornernet-hourglas104", "did you mean 'cornernet-hourglass104'?"),
        ("hourglass104-10x5", "did you mean 'cornernet-hourglass104-10x5'?"),
        ("", "config.json"),
        ("nowhere.pth", "nothing there: check the path"),
        ("folder/nowhere.pth", "nothing there: check the path"),
        ("a/b/c", "nothing there: check the path"),
        (Path("user/name"), "nothing there: check the path"),
        (Path("cornernet-hourglass104"), "nothing there: check the path"),
    ],
)
def test_what_does_not_exist_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str | Path, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match=message.replace("?", r"\?")):
        load_weights(source)


def test_a_published_name_is_fetched_and_a_path_of_that_name_wins(
    mmdetection: Path, tmp_path: Path, small_state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def fetched(*arguments: object, **options: object) -> Path:
        asked.append((arguments, options))
        return mmdetection

    monkeypatch.setattr(load, "fetch", fetched)
    monkeypatch.chdir(tmp_path)
    assert_same(load_weights("cornernet-hourglass104-32x3", progress=False), small_state)
    entry = load.PUBLISHED["cornernet-hourglass104-32x3"]
    assert asked == [((entry.url,), {"sha256_prefix": "1efaea91", "progress": False})]
    mmdetection.rename(tmp_path / "cornernet-hourglass104")
    assert_same(load_weights("cornernet-hourglass104"), small_state)
    assert len(asked) == 1


def test_a_hub_name_is_fetched_and_a_folder_of_that_name_wins(
    folder: Path, tmp_path: Path, small_state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def fetched(repository: str) -> Path:
        asked.append(repository)
        return folder

    monkeypatch.setattr(load, "fetch_hub", fetched)
    monkeypatch.chdir(tmp_path)
    assert_same(load_weights("someone/net"), small_state)
    assert asked == ["someone/net"]
    (tmp_path / "someone").mkdir()
    folder.rename(tmp_path / "someone" / "net")
    assert_same(load_weights("someone/net"), small_state)
    assert asked == ["someone/net"]
