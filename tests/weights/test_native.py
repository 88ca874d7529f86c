import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

import cornernet.weights.native as native
from cornernet.errors import ConfigError, WeightsError
from cornernet.models.config import CornerNetConfig
from cornernet.structures.classes import COCO, Classes
from cornernet.weights.native import (
    read_native,
    read_record,
    read_tensors,
    record_from_json,
    record_to_json,
    write_native,
)
from cornernet.weights.record import MMDETECTION, PRINCETON, ModelRecord

RECORD = ModelRecord(
    architecture=CornerNetConfig(num_classes=2, channels=(4, 8), blocks=(1, 1)),
    preprocessing=PRINCETON,
    classes=Classes(("Katze", "狗"), (3, 90)),
)
STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.num_batches_tracked": torch.tensor(4)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_native(tmp_path / "model", RECORD, STATE, card="# A model\n")
    return tmp_path / "model"


def test_what_is_written_is_read_back(folder: Path) -> None:
    record, state = read_native(folder)
    assert record == RECORD
    assert state.keys() == STATE.keys()
    assert all(torch.equal(state[name], tensor) and state[name].dtype == tensor.dtype for name, tensor in STATE.items())
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]


def test_the_config_is_what_the_format_says(folder: Path) -> None:
    content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert content["format"] == "cornernet"
    assert content["version"] == 1
    assert content["classes"] == [{"id": 3, "name": "Katze"}, {"id": 90, "name": "狗"}]
    assert content["architecture"]["channels"] == [4, 8]
    assert content["preprocessing"]["channel_order"] == "bgr"


def test_a_scale_is_kept_and_folders_from_before_there_was_one_are_read(folder: Path, tmp_path: Path) -> None:
    content = json.loads(json.dumps(record_to_json(RECORD)))
    del content["preprocessing"]["scale"]
    assert record_from_json(content) == RECORD
    halved = dataclasses.replace(RECORD, preprocessing=dataclasses.replace(PRINCETON, scale=0.5))
    write_native(tmp_path / "halved", halved, STATE, card="")
    assert read_native(tmp_path / "halved")[0] == halved


def test_tensors_that_are_not_contiguous_can_be_written(tmp_path: Path) -> None:
    last = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    write_native(tmp_path, RECORD, {"a.weight": last}, card="")
    assert torch.equal(read_native(tmp_path)[1]["a.weight"], last)


@settings(max_examples=30, deadline=None)
@given(
    names=st.lists(st.text(max_size=8), min_size=1, max_size=6),
    shift=st.integers(0, 1000),
    means=st.tuples(*[st.floats(0, 255)] * 3),
)
def test_any_record_survives_json(names: list[str], shift: int, means: tuple[float, float, float]) -> None:
    record = ModelRecord(
        architecture=CornerNetConfig(num_classes=len(names)),
        preprocessing=native.Preprocessing(mean=means, canvas="multiple128"),
        classes=Classes(tuple(names), tuple(range(shift, shift + len(names)))),
    )
    assert record_from_json(json.loads(json.dumps(record_to_json(record)))) == record


def coco() -> dict[str, Any]:
    return record_to_json(ModelRecord(architecture=CornerNetConfig(), preprocessing=MMDETECTION, classes=COCO))


def edited(*path: str | int, to: object) -> dict[str, Any]:
    content: Any = json.loads(json.dumps(coco()))
    here = content
    for key in path[:-1]:
        here = here[key]
    here[path[-1]] = to
    return dict(content)


def without(*path: str | int) -> dict[str, Any]:
    content: Any = json.loads(json.dumps(coco()))
    here = content
    for key in path[:-1]:
        here = here[key]
    del here[path[-1]]
    return dict(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "the file to be an object"),
        (edited("extra", to=1), "unknown 'extra'"),
        (edited("architecture", "colour", to=1), "architecture to have exactly .* unknown 'colour'"),
        (edited("preprocessing", "colour", to=1), "preprocessing to have exactly .* unknown 'colour'"),
        (edited("classes", 0, "colour", to=1), r"classes\[0\] to have exactly id, name, got an unknown 'colour'"),
        (without("preprocessing"), "no 'preprocessing'"),
        (without("architecture", "stacks"), "no 'stacks'"),
        (without("preprocessing", "border"), "no 'border'"),
        (without("classes", 3, "id"), r"classes\[3\] .* no 'id'"),
        (edited("format", to="other"), "format 'cornernet'"),
        (edited("version", to=2), "version 2"),
        (edited("version", to=True), "version True"),
        (edited("architecture", to=[1]), "architecture to be an object"),
        (edited("architecture", "stacks", to="2"), "stacks"),
        (edited("architecture", "stacks", to=True), r"architecture\.stacks"),
        (edited("architecture", "stacks", to=0), "stacks"),
        (edited("architecture", "channels", to=8), "channels"),
        (edited("architecture", "channels", to=[8, None]), r"architecture\.channels"),
        (edited("architecture", "blocks", to=[1, 2]), "blocks"),
        (edited("preprocessing", "mean", to=[1, 2]), "mean"),
        (edited("preprocessing", "mean", to="abc"), "mean"),
        (edited("preprocessing", "std", to=[1, 2, 0]), "std"),
        (edited("preprocessing", "scale", to="half"), "preprocessing.scale to be a number"),
        (edited("preprocessing", "scale", to=0), "scale in 0.1..4"),
        (edited("preprocessing", "channel_order", to="rbg"), "channel_order"),
        (edited("preprocessing", "canvas", to=["or127"]), "canvas"),
        (edited("classes", to={}), "classes to be a list"),
        (edited("classes", 5, to="cat"), r"classes\[5\] to be an object"),
        (edited("classes", 5, "id", to="6"), r"classes\[5\]"),
        (edited("classes", 5, "id", to=True), r"classes\[5\]"),
        (edited("classes", 5, "name", to=6), r"classes\[5\]"),
        (edited("classes", 5, "id", to=1), "more than once"),
        (without("classes", 5), "80 classes, got 79"),
    ],
)
def test_a_config_that_is_not_of_the_format_says_where(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        record_from_json(content)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(WeightsError, match=message) as caught:
        read_record(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"null", b"\xff\xfe", b"[" * 200_000, b'{"format": 1e999}', b" " * 5_000_000, b"12" * 6000]
)
def test_a_config_that_is_no_json_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(data)
    with pytest.raises(WeightsError) as caught:
        read_record(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(WeightsError, match=f"got no {name}"):
        read_native(folder)


# --- damaged and hostile safetensors ---


def header(content: object, *, length: int | None = None, data: bytes = b"\0" * 64) -> bytes:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(begin: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        header({}, length=2**63),
        header({}, length=2**64 - 1),
        header({}, length=100_000_000),
        header(b"{not json"),
        header([1, 2]),
        header({"a": 1}),
        header({"a": entry(0, 2**62, [2**60])}),
        header({"a": entry(0, 64, [2**40])}),
        header({"a": entry(0, 64, [2**32, 2**32, 2**32])}),
        header({"a": entry(64, 0, [16])}),
        header({"a": entry(0, 64, [16]), "b": entry(0, 64, [16])}),
        header({"a": entry(0, 32, [8]), "b": entry(48, 64, [4])}),
        header({"a": entry(0, 64, [-16])}),
        header({"a": entry(0, 64, [16], dtype="F33")}),
        header(b'{"a":' * 100_000),
    ],
)
def test_a_hostile_header_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="whole safetensors file") as caught:
        read_tensors(path)
    assert "\n" not in str(caught.value)


def test_a_cut_off_file_is_refused_wherever_it_ends(folder: Path) -> None:
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError):
            read_tensors(path)


@settings(max_examples=100, deadline=None)
@given(position=st.integers(0, 10_000), value=st.integers(0, 255))
def test_a_changed_byte_gives_tensors_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, position: int, value: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "changed.safetensors"
    save_file({"a": torch.ones(4)}, path)
    data = bytearray(path.read_bytes())
    data[position % len(data)] = value
    path.write_bytes(bytes(data))
    try:
        tensors = read_tensors(path)
    except WeightsError:
        return
    assert all(isinstance(tensor, Tensor) for tensor in tensors.values())


# --- writing: whole or not at all ---


def fails(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("step", ["save_file", "write_atomic"])
def test_a_full_disk_leaves_no_half_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    monkeypatch.setattr(native, step, fails)
    with pytest.raises(WeightsError, match="No space left"):
        write_native(tmp_path / "new", RECORD, STATE, card="")
    assert not list((tmp_path / "new").iterdir())


def test_a_full_disk_leaves_the_old_model_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(native, "save_file", fails)
    with pytest.raises(WeightsError, match="No space left"):
        write_native(folder, RECORD, STATE, card="other")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_new_words_never_stand_beside_old_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write: Callable[..., None] = native.write_atomic

    def watched(path: Path, data: str) -> None:
        write(path, data)
        assert not (folder / "model.safetensors").exists()

    monkeypatch.setattr(native, "write_atomic", watched)
    write_native(folder, RECORD, {"b.weight": torch.ones(1)}, card="other")
    assert list(read_native(folder)[1]) == ["b.weight"]
    assert (folder / "README.md").read_text(encoding="utf-8") == "other"


def test_a_model_can_be_written_over_while_its_tensors_are_in_use(folder: Path) -> None:
    record, state = read_native(folder)
    write_native(folder, record, state, card="again")
    assert torch.equal(state["a.weight"], STATE["a.weight"])
    assert torch.equal(read_native(folder)[1]["a.weight"], STATE["a.weight"])


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(WeightsError, match="expected to write a model to"):
        write_native(tmp_path / "file" / "model", RECORD, STATE, card="")


def test_the_folder_can_be_moved(folder: Path, tmp_path: Path) -> None:
    shutil.move(folder, tmp_path / "elsewhere")
    assert read_native(tmp_path / "elsewhere")[0] == RECORD
