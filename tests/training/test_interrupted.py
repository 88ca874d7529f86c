"""Runs that are killed or told to stop, and go on as if nothing had happened; and runs of two processes."""

import csv
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from tiny_runs import losses, run_tiny, shapes, start, tiny

from cornernet.training.recipe import load_recipe

CHANGES = ("schedule.epochs=4", "train.ema=true", "run.val_every=3", "data.workers=1")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return shapes(tmp_path_factory.mktemp("data") / "shapes", train=40)


@pytest.fixture(scope="module")
def uninterrupted(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "whole"
    run_tiny(tiny(data, *CHANGES), folder)
    return folder


def wait_for(process, happened, seconds=60):
    end = time.monotonic() + seconds
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.002)


def validation(folder):
    with (folder / "val.csv").open() as file:
        return list(csv.reader(file))


def test_a_killed_run_goes_on_as_if_nothing_had_happened(data, uninterrupted, tmp_path):
    folder = tmp_path / "run"
    process = start(data, folder, *CHANGES, "run.save_minutes=0")
    wait_for(process, lambda: any(int(p.stem[5:]) >= 25 for p in folder.glob("checkpoints/step-*.pt")))
    process.kill()
    process.communicate()
    (folder / "checkpoints" / ".00.tmp.pt").write_bytes(b"half")
    assert len(losses(folder)) < 80, "it must be killed before its end"
    run_tiny(load_recipe(folder / "recipe.yaml"), folder, resume=True)
    assert losses(folder) == losses(uninterrupted)
    assert validation(folder) == validation(uninterrupted)
    assert not list(folder.rglob(".*"))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process without asking it")
def test_a_run_told_to_stop_saves_and_goes_on(data, uninterrupted, tmp_path):
    folder = tmp_path / "run"
    process = start(data, folder, *CHANGES, "run.save_minutes=1000")
    wait_for(process, lambda: (folder / "train.csv").exists() and len(losses(folder)) >= 5)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert f"cornernet train --resume {folder} goes on with it" in said
    assert 5 <= len(losses(folder)) < 80
    run_tiny(load_recipe(folder / "recipe.yaml"), folder, resume=True)
    assert losses(folder) == losses(uninterrupted)
    assert validation(folder) == validation(uninterrupted)


def test_two_processes_make_one_run(data, tmp_path):
    folder = tmp_path / "run"
    process = start(data, folder, "schedule.epochs=1", flags=("--devices", "2"))
    out, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert "3 pictures" in out, "each picture once"
    assert out.count("AP50") == 1
    assert said.count("learning rate 0.004") == 1
    assert len(losses(folder)) == 9  # 38 pictures have boxes
    assert [p.name for p in (folder / "checkpoints").iterdir()] == ["step-00000009.pt"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds the other process in /proc")
def test_a_process_that_dies_ends_the_run(data, tmp_path):
    folder = tmp_path / "run"
    process = start(data, folder, "schedule.epochs=400", flags=("--devices", "2"))
    wait_for(process, lambda: (folder / "train.csv").exists() and len(losses(folder)) >= 3)
    children = [int(p) for p in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    (other,) = [p for p in children if b"train" in Path(f"/proc/{p}/cmdline").read_bytes()]
    os.kill(other, signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "expected all processes of the run to last, but one is gone" in said
