"""Checkpoints: whole or refused, the one before offered, old ones gone, traces of a killed process removed."""

import errno
import pickle

import pytest
import torch

from cornernet.errors import CornerNetError, WeightsError
from cornernet.training import checkpoint
from cornernet.training.checkpoint import (
    Progress,
    RunState,
    clear_temporaries,
    generator_states,
    has_checkpoint,
    load_checkpoint,
    replace_folder,
    save_checkpoint,
    set_generators,
)


def state(step):
    progress = Progress(epoch=1, pictures=8, step=step, best=0.25, best_epoch=1, window=[1.5, 2.0])
    return RunState(
        progress=progress,
        record="{}",
        network={"weight": torch.full((64, 64), float(step))},
        optimiser={"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1, "betas": (0.9, 0.99)}]},
        average=None,
        scaler={},
        generators=generator_states(),
    )


def test_what_is_saved_is_read(tmp_path):
    assert not has_checkpoint(tmp_path)
    save_checkpoint(tmp_path, state(3))
    assert has_checkpoint(tmp_path)
    read, notes = load_checkpoint(tmp_path)
    assert notes == []
    assert read.progress == state(3).progress
    assert read.optimiser["param_groups"] == state(3).optimiser["param_groups"]
    torch.testing.assert_close(read.network, state(3).network)


def test_two_are_kept(tmp_path):
    for step in (9, 10, 100):
        save_checkpoint(tmp_path, state(step))
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["step-00000010.pt", "step-00000100.pt"]
    assert load_checkpoint(tmp_path)[0].progress.step == 100


def flip(path):
    data = bytearray(path.read_bytes())
    data[data.index(torch.full((64,), 2.0).numpy().tobytes()) + 17] ^= 1
    path.write_bytes(data)


def cut(path):
    path.write_bytes(path.read_bytes()[:-200])


def other(path):
    torch.save({"format": "something"}, path)


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [flip, cut, other, empty])
def test_a_damaged_one_is_named_and_the_one_before_taken(tmp_path, damage):
    save_checkpoint(tmp_path, state(1))
    damage(save_checkpoint(tmp_path, state(2)))
    read, notes = load_checkpoint(tmp_path)
    assert read.progress.step == 1
    assert len(notes) == 1
    assert "step-00000002.pt: expected a " in notes[0]
    assert "\n" not in notes[0]


class Evil:
    def __reduce__(self):
        return (print, ("ran",))


def test_nothing_in_a_checkpoint_is_run(tmp_path, capsys):
    path = save_checkpoint(tmp_path, state(1))
    torch.save({"format": "cornernet-run", "version": 1, "progress": Evil()}, path)
    with pytest.raises(WeightsError, match="found none that is whole"):
        load_checkpoint(tmp_path)
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(WeightsError, match="found none that is whole"):
        load_checkpoint(tmp_path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("file write failed")])
def test_a_full_disk_leaves_the_old_one(tmp_path, monkeypatch, error):
    save_checkpoint(tmp_path, state(1))

    def full(content, path):
        path.write_bytes(b"half")
        raise error

    monkeypatch.setattr(checkpoint.torch, "save", full)
    with pytest.raises(CornerNetError, match="free the place, then cornernet train --resume"):
        save_checkpoint(tmp_path, state(2))
    monkeypatch.undo()
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-00000001.pt"]
    assert load_checkpoint(tmp_path)[0].progress.step == 1


def test_traces_of_a_killed_process_go(tmp_path):
    save_checkpoint(tmp_path, state(1))
    traces = [tmp_path / "checkpoints" / ".0123.tmp.pt", tmp_path / ".4567.tmp.csv"]
    for trace in traces:
        trace.write_bytes(b"half")
    for name in (".best-new", ".best-old", ".last-old", "last"):
        (tmp_path / "weights" / name).mkdir(parents=True)
        (tmp_path / "weights" / name / "which").write_text(name)
    clear_temporaries(tmp_path)
    assert not any(trace.exists() for trace in traces)
    assert has_checkpoint(tmp_path)
    # Killed between the two renames: the old best comes back. Behind them: the old last goes.
    assert {p.name: (p / "which").read_text() for p in (tmp_path / "weights").iterdir()} == {
        "best": ".best-old",
        "last": "last",
    }


def test_a_folder_takes_anothers_place(tmp_path):
    for content in ("one", "two"):
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "file").write_text(content)
        replace_folder(tmp_path / "new", tmp_path / "name")
        assert (tmp_path / "name" / "file").read_text() == content
    assert [p.name for p in tmp_path.iterdir()] == ["name"]


def test_generators_go_on(tmp_path):
    import random

    import numpy as np

    save_checkpoint(tmp_path, state(1))
    drawn = [(torch.rand(2).tolist(), random.random(), np.random.rand()) for _ in range(2)]
    set_generators(load_checkpoint(tmp_path)[0].generators)
    assert [(torch.rand(2).tolist(), random.random(), np.random.rand()) for _ in range(2)] == drawn
