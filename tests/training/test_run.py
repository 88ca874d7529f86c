"""Whole runs in this process: what is learnt, what is written, and what goes wrong in good order."""

import csv
import json
from pathlib import Path

import cv2
import pytest
import torch
from tiny_runs import losses, run_tiny, shapes, tiny

from cornernet import Detector
from cornernet.errors import ConfigError, CornerNetError, DatasetError, WeightsError
from cornernet.training import loop, module
from cornernet.training.checkpoint import load_checkpoint
from cornernet.training.recipe import load_recipe
from cornernet.weights.native import read_native


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return shapes(tmp_path_factory.mktemp("data") / "shapes")


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """A run that has ended, with an average of the weights: its folder, outcome and what was said."""
    folder = tmp_path_factory.mktemp("run") / "tiny"
    said = []
    wider = [f"model.{name}=16" for name in ("feature_channels", "pool_channels", "head_channels")]
    changes = ("schedule.epochs=30", "run.val_every=20", "train.ema=true", "train.ema_decay=0.9", "optimiser.lr=0.01")
    outcome = run_tiny(tiny(data, "model.channels=16,32", *wider, *changes), folder, say=said.append)
    return folder, outcome, said


def test_the_loss_falls(finished):
    rows = losses(finished[0])
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
    total = [sum(row[1:5]) for row in rows]
    assert len(total) >= 30 * 3
    assert sum(total[-6:]) < 0.7 * sum(total[:6])


def test_a_run_leaves_its_files(finished):
    folder, outcome, _ = finished
    assert outcome.folder == folder
    assert {path.name for path in folder.iterdir()} == {
        "checkpoints", "detections.json", "metrics.json", "per_class.csv", "pictures", "plots", "recipe.yaml",
        "tensorboard", "train.csv", "val.csv", "weights",
    }  # fmt: skip
    plots = {path.name for path in (folder / "plots").iterdir()}
    assert plots == {"losses.png", "ap.png", "pr_curves.png", "confusion_matrix.png"}
    assert len(list((folder / "pictures").glob("*.jpg"))) == 2
    assert load_recipe(folder / "recipe.yaml").schedule.epochs == 30
    with (folder / "val.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["20", "30"]
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["stats"]["AP"] == pytest.approx(outcome.evaluation.stats["AP"])
    assert not [path for path in folder.rglob(".*")]


def test_the_weights_given_out_are_the_average_and_detect(finished, data):
    folder, _, _ = finished
    state, _ = load_checkpoint(folder)
    record, last = read_native(folder / "weights" / "last")
    torch.testing.assert_close(last, dict(state.average), rtol=0, atol=0)
    assert any(not torch.equal(last[name], tensor) for name, tensor in state.network.items())
    assert record.classes.names == ("circle", "square", "triangle")
    assert record.preprocessing.canvas == "multiple128"
    detector = Detector.from_pretrained(folder / "weights" / "best", device="cpu")
    detector.predict(sorted((data / "val").iterdir())[0])


def test_a_finished_run_has_nothing_left_to_do(finished):
    folder, outcome, _ = finished
    before = losses(folder)
    again = run_tiny(load_recipe(folder / "recipe.yaml"), folder, resume=True)
    assert losses(folder) == before
    assert again.evaluation.stats == pytest.approx(outcome.evaluation.stats, nan_ok=True)
    with pytest.raises(ConfigError, match="with a run in it: --resume"):
        run_tiny(load_recipe(folder / "recipe.yaml"), folder)


def test_the_learning_rate_follows_the_batch(data, tmp_path):
    said = []
    changes = ("optimiser.base_batch=16", "schedule.warmup=0", "schedule.kind=constant", "schedule.epochs=1")
    run_tiny(tiny(data, *changes, "train.accumulate=2"), tmp_path / "run", say=said.append)
    assert any("learning rate 0.0005: 0.002 is meant for 16 pictures a step" in line for line in said)
    assert {row[-1] for row in losses(tmp_path / "run")} == {0.0005}
    assert len(losses(tmp_path / "run")) == 2  # of 8 pictures, 4 a step


def test_weights_to_start_from(finished, data, tmp_path):
    said = []
    recipe = tiny(
        data, f"train.weights={finished[0] / 'weights' / 'best'}", "model.channels=16,16", "schedule.epochs=1"
    )
    run_tiny(recipe, tmp_path / "run", say=said.append)
    assert any("the network is that of the weights" in line for line in said)
    assert losses(tmp_path / "run")[0][1] < losses(finished[0])[0][1]


def write_coco(root: Path, boxes: list[list[list[float]]], names=("thing",)):
    """A dataset of grey pictures of 64 pixels with these boxes (xywh), both splits alike."""
    import numpy as np

    for split in ("train", "val"):
        (root / split).mkdir(parents=True)
        images, annotations = [], []
        for i, some in enumerate(boxes, 1):
            cv2.imwrite(str(root / split / f"{i}.png"), np.full((64, 64, 3), 90, np.uint8))
            images.append({"id": i, "file_name": f"{i}.png", "height": 64, "width": 64})
            annotations += [
                {"id": len(annotations) + j, "image_id": i, "category_id": 5, "bbox": b} for j, b in enumerate(some)
            ]
        categories = [{"id": 5 + i, "name": name} for i, name in enumerate(names)]
        (root / "annotations").mkdir(exist_ok=True)
        text = json.dumps({"images": images, "annotations": annotations, "categories": categories})
        (root / "annotations" / f"{split}.json").write_text(text)
    return root


def test_one_class_300_boxes_half_of_the_pictures_empty_and_batches_of_one(tmp_path):
    many = [[float(x), float(y), 3.0, 3.0] for x in range(0, 60, 3) for y in range(0, 45, 3)]
    root = write_coco(tmp_path / "data", [many, [], [[4, 4, 30, 40]], []])
    run_tiny(tiny(root, "data.keep_empty=true", "train.batch=1"), tmp_path / "run")
    rows = losses(tmp_path / "run")
    assert len(rows) == 8
    assert all(value == value for row in rows for value in row)
    assert len(many) == 300


def test_no_validation_split(data, tmp_path):
    root = write_coco(tmp_path / "data", [[[4, 4, 30, 40]]] * 2)
    (root / "annotations" / "val.json").unlink()
    said = []
    outcome = run_tiny(tiny(root), tmp_path / "run", say=said.append)
    assert outcome.evaluation is None
    assert any("no validation split" in line for line in said)
    assert (tmp_path / "run" / "weights" / "best" / "model.safetensors").exists()


def test_data_that_cannot_be_used(data, tmp_path):
    with pytest.raises(DatasetError, match="expected a split 'tarin'"):
        run_tiny(tiny(data, "data.train=tarin"), tmp_path / "run")
    root = write_coco(tmp_path / "data", [[[4, 4, 30, 40]]] * 2)
    text = (root / "annotations" / "val.json").read_text().replace("thing", "other")
    (root / "annotations" / "val.json").write_text(text)
    with pytest.raises(DatasetError, match="expected the same categories"):
        run_tiny(tiny(root), tmp_path / "run")
    with pytest.raises(ConfigError, match="make the batch smaller"):
        run_tiny(tiny(data, "train.batch=9"), tmp_path / "run")
    with pytest.raises(ConfigError, match="lower --accumulate"):
        run_tiny(tiny(data, "train.accumulate=9"), tmp_path / "run")


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_picture_ends_the_run_with_its_name(tmp_path, workers):
    root = shapes(tmp_path / "data")
    sorted((root / "train").iterdir())[3].write_bytes(b"<html>not found</html>")
    with pytest.raises(CornerNetError, match="train_0000") as caught:
        run_tiny(tiny(root, f"data.workers={workers}"), tmp_path / "run")
    assert "\n" not in str(caught.value)


class Poison:
    """Makes the losses of some steps NaN, and batch norm's statistics with them."""

    def __init__(self, monkeypatch, bad):
        self.calls, self.bad = 0, bad
        true = module.corner_loss

        def loss(stacks, targets, config, *, counts):
            self.calls += 1
            terms = true(stacks, targets, config, counts=counts)
            return (
                type(terms)(terms.det * float("nan"), terms.pull, terms.push, terms.off) if bad(self.calls) else terms
            )

        monkeypatch.setattr(module, "corner_loss", loss)


def test_a_loss_that_is_not_finite_stops_the_run_with_a_reason(data, tmp_path, monkeypatch):
    Poison(monkeypatch, lambda call: call > 6)
    with pytest.raises(CornerNetError) as caught:
        run_tiny(tiny(data, "train.max_skips=2", "schedule.epochs=5"), tmp_path / "run")
    text = str(caught.value)
    assert "det nan, pull " in text
    assert "at step 9 (epoch 3), number 3 in a row, with pictures " in text
    assert text.count(".png") == 2
    state, _ = load_checkpoint(tmp_path / "run")
    assert all(tensor.isfinite().all() for tensor in state.network.values())
    assert (state.progress.step, state.progress.skipped) == (8, 2)


def test_a_few_steps_may_be_left_out(data, tmp_path, monkeypatch):
    Poison(monkeypatch, lambda call: call in (2, 3))
    run_tiny(tiny(data, "train.max_skips=2"), tmp_path / "run")
    assert [row[0] for row in losses(tmp_path / "run")] == [1, 4, 5, 6, 7, 8]
    state, _ = load_checkpoint(tmp_path / "run")
    assert state.progress.skipped == 0
    assert all(tensor.isfinite().all() for tensor in state.network.values())
    counters = {int(t) for n, t in state.network.items() if n.endswith("num_batches_tracked")}
    assert counters == {6}


@pytest.mark.parametrize("bad", [2, 7])
def test_where_the_host_does_not_wait_steps_are_left_out_and_told_of_late(data, tmp_path, monkeypatch, capsys, bad):
    """As on an accelerator: the host reads losses with each line of the logs."""
    monkeypatch.setattr(loop, "reads_every_step", lambda *_: False)
    Poison(monkeypatch, lambda call: call == bad)
    run_tiny(tiny(data, "run.log_steps=4"), tmp_path / "run")
    assert [row[0] for row in losses(tmp_path / "run")] == [4, 8]
    state, _ = load_checkpoint(tmp_path / "run")
    assert all(tensor.isfinite().all() for tensor in state.network.values())
    assert {int(t) for n, t in state.network.items() if n.endswith("num_batches_tracked")} == {7}
    assert {int(entries["step"]) for entries in state.optimiser["state"].values()} == {7}


def test_where_the_host_does_not_wait_too_many_stop_the_run_at_the_next_line(data, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "reads_every_step", lambda *_: False)
    Poison(monkeypatch, lambda call: call > 4)
    with pytest.raises(CornerNetError, match=r"at step 7 \(epoch 2\), number 3 in a row, with pictures ") as caught:
        run_tiny(tiny(data, "train.max_skips=2", "schedule.epochs=5", "run.log_steps=3"), tmp_path / "run")
    assert str(caught.value).count(".png") == 2


def test_damaged_checkpoints_and_other_classes_are_refused(data, tmp_path):
    run_tiny(tiny(data, "schedule.epochs=1"), tmp_path / "run")
    other = write_coco(tmp_path / "data", [[[4, 4, 30, 40]]] * 2)
    with pytest.raises(ConfigError, match="expected the classes the run was begun with"):
        run_tiny(tiny(other), tmp_path / "run", resume=True)
    for path in (tmp_path / "run" / "checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="found none that is whole"):
        run_tiny(tiny(data), tmp_path / "run", resume=True)


def test_memory_that_is_full_is_said_in_a_line(data, tmp_path, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    monkeypatch.setattr(module, "corner_loss", full)
    with pytest.raises(CornerNetError, match=r"memory is full with 2 pictures of 64 x 64: lower --batch"):
        run_tiny(tiny(data), tmp_path / "run")
