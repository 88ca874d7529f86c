import io
import os
import pickle
import sys
import types
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cornernet.errors import WeightsError
from cornernet.weights.pickles import Checkpoint, read_pickle

STATE = OrderedDict({"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.tensor([1.5])})


def saved(content: object, *, legacy: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def read(folder: Path, data: bytes, name: str = "weights.pth") -> Checkpoint:
    path = folder / name
    path.write_bytes(data)
    return read_pickle(path)


def refused(folder: Path, data: bytes) -> str:
    with pytest.raises(WeightsError) as caught:
        read(folder, data)
    message = str(caught.value)
    assert "\n" not in message
    assert "weights.pth" in message
    assert len(message) < 600
    return message


def assert_same(entries: Any, state: dict[str, Tensor] = STATE) -> None:
    assert list(entries) == list(state)
    assert all(torch.equal(entries[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"model": state, "epoch": 3},
        lambda state: {"state_dict": state, "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}}},
        lambda state: {"ema_state_dict": {**state, "steps": torch.tensor(4)}},
        lambda state: {"state_dict": state, "ema_state_dict": {"other": torch.ones(1)}},
    ],
)
def test_the_state_dict_is_found_where_programs_put_it(
    tmp_path: Path, legacy: bool, wrap: Callable[[object], object]
) -> None:
    assert_same(read(tmp_path, saved(wrap(STATE), legacy=legacy)).entries)


def test_meta_comes_along(tmp_path: Path) -> None:
    meta = {"CLASSES": ("cat", "dog"), "config": "x = 1", "epoch": 210}
    assert read(tmp_path, saved({"meta": meta, "state_dict": STATE})).meta == meta
    assert read(tmp_path, saved({"meta": "text", "state_dict": STATE})).meta == {}


@pytest.mark.skipif(sys.platform != "linux", reason="the list of mapped files is Linux's")
def test_a_file_is_read_not_mapped(tmp_path: Path) -> None:
    """Mapped, it would stay in memory beside the folded weights, and change with the file."""
    checkpoint = read(tmp_path, saved(STATE))
    assert str(tmp_path / "weights.pth") not in Path("/proc/self/maps").read_text(encoding="utf-8")
    assert_same(checkpoint.entries)


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, {"state_dict": {}}, {"model": {"a": 1}}])
def test_a_dict_without_tensors_is_refused(tmp_path: Path, content: object) -> None:
    assert "state dict with tensors" in refused(tmp_path, saved(content))


@pytest.mark.parametrize(("content", "kind"), [([STATE], "list"), (torch.ones(2), "one bare tensor"), (3, "int")])
def test_anything_but_a_dict_is_refused(tmp_path: Path, content: object, kind: str) -> None:
    assert f"got {kind}" in refused(tmp_path, saved(content))


# --- files that are no checkpoint ---


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "a web page"),
        (b"\n  <html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"just some text", "starts with b'just some text'"),
        (b"\xff\xd8\xff\xe0 a picture", "starts with"),
        (b"PK", "cut-off zip"),
        (b"cos\nsystem\n(S'true'\ntR.", "starts with"),
    ],
)
def test_a_file_of_another_kind_is_told(tmp_path: Path, data: bytes, message: str) -> None:
    assert message in refused(tmp_path, data)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_cut_off_file_is_refused_wherever_it_ends(tmp_path: Path, legacy: bool) -> None:
    whole = saved({"meta": {"epoch": 1}, "state_dict": STATE}, legacy=legacy)
    for length in range(0, len(whole) - 1, 1 if legacy else 7):
        refused(tmp_path, whole[:length])


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=200), start=st.sampled_from([b"", b"\x80\x02", b"\x80\x04", b"PK\x03\x04"]))
def test_random_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes, start: bytes) -> None:
    refused(tmp_path_factory.getbasetemp(), start + data)


@settings(max_examples=60, deadline=None)
@given(position=st.integers(0, 10_000), value=st.integers(0, 255), legacy=st.booleans())
def test_a_changed_byte_never_gives_anything_but_tensors_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, position: int, value: int, legacy: bool
) -> None:
    data = bytearray(saved({"state_dict": STATE}, legacy=legacy))
    data[position % len(data)] = value
    try:
        entries = read(tmp_path_factory.getbasetemp(), bytes(data), "changed.pth").entries
    except WeightsError:
        return
    assert any(isinstance(value, Tensor) for value in entries.values())


def test_zip_files_that_are_no_checkpoint(tmp_path: Path) -> None:
    for name, compression, message in (
        ("picture.txt", zipfile.ZIP_STORED, "one data.pkl"),
        ("x/data.pkl", zipfile.ZIP_DEFLATED, "compressed"),
    ):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", compression) as archive:
            archive.writestr(name, b"\0" * 100_000)
        assert message in refused(tmp_path, buffer.getvalue())


# --- pickles that want to run something ---


class Runs:
    """Unpickled in the plain way, this makes a folder."""

    def __init__(self, folder: Path, function: Callable[..., object] = os.mkdir) -> None:
        self.call = (function, (str(folder),))

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return self.call


def wrapped(evil: object) -> dict[str, object]:
    return {"meta": {"hook": evil}, "state_dict": STATE}


@pytest.mark.parametrize(
    "write",
    [
        lambda evil: saved(wrapped(evil)),
        lambda evil: saved(wrapped(evil), legacy=True),
        lambda evil: saved({"state_dict": {**STATE, "b.weight": evil}}),
        *(lambda evil, p=protocol: pickle.dumps(wrapped(evil), protocol=p) for protocol in (2, 3, 4, 5)),
    ],
)
def test_a_pickle_that_wants_to_run_something_is_refused_with_its_name(
    tmp_path: Path, write: Callable[[object], bytes]
) -> None:
    marker = tmp_path / "it ran"
    data = write(Runs(marker))
    message = refused(tmp_path, data)
    assert f"wants to run {os.mkdir.__module__}.mkdir: refused" in message
    assert not marker.exists()
    pickle.loads(pickle.dumps(Runs(marker)))  # the trap itself works
    assert marker.exists()


@pytest.mark.parametrize("function", [eval, exec, __import__, np.load, torch.load])
def test_dangerous_functions_are_refused_by_name(tmp_path: Path, function: Callable[..., object]) -> None:
    message = refused(tmp_path, saved(wrapped(Runs(tmp_path, function))))
    assert function.__name__ in message
    assert "nothing was run" in message


def test_a_whole_pickled_model_is_refused(tmp_path: Path) -> None:
    message = refused(tmp_path, saved({"model": torch.nn.Linear(1, 1)}))
    assert "torch.nn.modules.linear.Linear" in message
    assert "state_dict()" in message


def test_getattr_is_not_the_real_one(tmp_path: Path) -> None:
    """It is allowed by name, for MMDetection's files; what it gives must be of no use."""

    class Gets:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
            return getattr, (torch.nn.Parameter, "__init__")

    got = read(tmp_path, saved(wrapped(Gets()))).meta["hook"]
    assert type(got).__name__ == "_Inert"
    assert vars(got) == {}


# --- what MMDetection 3 writes while training ---


class Buffers:
    """Pretends to be mmengine while a checkpoint is written."""

    def __init__(self) -> None:
        self.modules = {name: types.ModuleType(name) for name in ("mmengine", "mmengine.logging", "mmengine.config")}

    def __enter__(self) -> "Buffers":
        sys.modules.update(self.modules)
        return self

    def __exit__(self, *_: object) -> None:
        for name in self.modules:
            del sys.modules[name]

    def add(self, module: str, name: str, value: Any) -> Any:
        value.__module__, value.__qualname__ = module, name
        setattr(self.modules[module], name, value)
        return value


def mmengine_checkpoint(*, legacy: bool = False) -> bytes:
    with Buffers() as mmengine:

        class HistoryBuffer:
            def __init__(self) -> None:
                self.methods = {"min": HistoryBuffer.min}
                self.log_history = np.array([8.0, 7.0, 6.0])

            def min(self) -> float:
                return float(self.log_history.min())

        class ConfigDict(dict):  # type: ignore[type-arg]
            pass

        mmengine.add("mmengine.logging", "HistoryBuffer", HistoryBuffer)
        HistoryBuffer.min.__qualname__ = "HistoryBuffer.min"
        HistoryBuffer.min.__module__ = "mmengine.logging"
        mmengine.add("mmengine.config", "ConfigDict", ConfigDict)
        return saved(
            {
                "meta": {"cfg": "a = 1", "dataset_meta": {"classes": ("cat",)}, "seed": np.int64(3)},
                "state_dict": STATE,
                "message_hub": {
                    "log_scalars": OrderedDict({"train/loss": HistoryBuffer(), "train/lr": HistoryBuffer()}),
                    "runtime_info": {"config": ConfigDict(a=ConfigDict(b=1)), "last": np.float64(0.5)},
                },
                "optimizer": {"state": defaultdict(dict, {0: {"step": torch.tensor(3.0)}})},
                "param_schedulers": [{"path": Path("/x"), "random": np.random.default_rng(0).random(3)}],
            },
            legacy=legacy,
        )


@pytest.mark.parametrize("legacy", [False, True])
def test_mmengines_objects_load_without_mmengine(tmp_path: Path, legacy: bool) -> None:
    data = mmengine_checkpoint(legacy=legacy)
    allowed = set(torch.serialization.get_safe_globals())
    assert b"HistoryBuffer" in data
    assert "mmengine" not in sys.modules
    checkpoint = read(tmp_path, data)
    assert_same(checkpoint.entries)
    assert checkpoint.meta["dataset_meta"] == {"classes": ("cat",)}
    assert "mmengine" not in sys.modules
    assert set(torch.serialization.get_safe_globals()) == allowed


def test_mmengines_functions_are_refused(tmp_path: Path) -> None:
    with Buffers() as mmengine:
        run = mmengine.add("mmengine.config", "run_script", lambda path: path)
        data = saved(wrapped(Runs(tmp_path, run)))
    assert "mmengine.config.run_script" in refused(tmp_path, data)
