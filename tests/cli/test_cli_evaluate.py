from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cornernet.cli.evaluate import match_classes
from cornernet.cli.main import main
from cornernet.errors import DatasetError, MissingExtraError
from cornernet.evaluation.coco_ap import evaluate_boxes
from cornernet.inference.detector import Detector
from cornernet.structures.classes import Classes

NAMES = ("circle", "square", "cross")


@pytest.fixture
def dataset(draw, tmp_path, monkeypatch):
    """Writes a dataset of three pictures, whose boxes by default are the tiny model's own first detections."""
    monkeypatch.chdir(tmp_path)

    def write(annotations: list[dict], names=NAMES, ids=(1, 4, 9), size=(40, 60)) -> None:
        for n in range(3):
            draw(Path(f"data/val/p{n}.png"), *size, seed=n)
        document = {
            "images": [{"id": 10 * n + 7, "file_name": f"p{n}.png", "height": 40, "width": 60} for n in range(3)],
            "annotations": annotations,
            "categories": [{"id": i, "name": name} for i, name in zip(ids, names, strict=True)],
        }
        Path("data/annotations").mkdir()
        Path("data/annotations/instances_val.json").write_text(json.dumps(document), encoding="utf-8")

    return write


@pytest.fixture
def evaluate(model_folder):
    def run(*argv: str) -> int:
        where = ["--data", "data", "--split", "val", "--device", "cpu", "--output", "out"]
        return main(["evaluate", *where, "--weights", str(model_folder), *argv])

    return run


def box(image_id: int, category_id: int, xywh=(3, 4, 30, 20), **more) -> dict:
    return {"image_id": image_id, "category_id": category_id, "bbox": list(xywh), **more}


def test_start_to_end(dataset, evaluate, model_folder, capsys):
    pytest.importorskip("matplotlib")
    dataset([box(7, 1), box(17, 9), box(17, 9, (1, 1, 0, 5)), box(27, 4, (0, 0, 60, 40))])
    assert evaluate() == 0
    captured = capsys.readouterr()
    for text in ("AP_medium", "AR100", "3 pictures, 3 boxes, 300 detections", *NAMES):
        assert text in captured.out
    assert "boxes without area, dropped" in captured.err

    # The detector's own lists, under the dataset's ids.
    category_of = dict(zip(NAMES, (1, 4, 9), strict=True))
    detector = Detector.from_pretrained(model_folder, device="cpu")
    expected = []
    for n in range(3):
        found = detector.predict(Path(f"data/val/p{n}.png"))
        for entry, name in zip(found.to_coco(10 * n + 7), found.names, strict=True):
            expected.append({**entry, "category_id": category_of[name]})
    results = json.loads(Path("out/detections.json").read_text(encoding="utf-8"))
    assert results == expected

    truth = json.loads(Path("data/annotations/instances_val.json").read_text(encoding="utf-8"))
    del truth["annotations"][2]
    evaluation = evaluate_boxes(truth, results)
    metrics = json.loads(Path("out/metrics.json").read_text(encoding="utf-8"))
    stats = {name: None if np.isnan(value) else value for name, value in evaluation.stats.items()}
    assert metrics["stats"] == stats
    with Path("out/per_class.csv").open(encoding="utf-8", newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == list(NAMES)
    assert {p.name for p in Path("out").iterdir()} == {
        "detections.json", "metrics.json", "per_class.csv", "pr_curves.png", "confusion_matrix.png",
    }  # fmt: skip


def test_a_perfect_model_gets_everything(dataset, evaluate, capsys, model_folder, monkeypatch):
    dataset([box(10 * n + 7, (1, 4, 9)[n]) for n in range(3)])
    stream = Detector.stream

    def perfect(self, sources, **settings):
        for n, (picture, found) in enumerate(stream(self, sources, **settings)):
            yield picture, replace(found[:1], boxes=[[3, 4, 33, 24]], scores=[0.9], labels=[n])

    monkeypatch.setattr(Detector, "stream", perfect)
    assert evaluate("--no-plots") == 0
    stats = json.loads(Path("out/metrics.json").read_text(encoding="utf-8"))["stats"]
    assert (stats["AP"], stats["AR1"]) == (pytest.approx(1), 1)


def test_no_annotations_is_said_and_the_detections_are_written(dataset, evaluate, capsys):
    dataset([])
    assert evaluate("--batch", "2") == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "no annotations in split val" in captured.err
    assert len(json.loads(Path("out/detections.json").read_text(encoding="utf-8"))) == 300
    assert {p.name for p in Path("out").iterdir()} == {"detections.json"}


def test_the_first_pictures_only(dataset, evaluate, capsys):
    dataset([box(7, 1), box(27, 4)])
    assert evaluate("--limit", "1", "--no-plots") == 0
    captured = capsys.readouterr()
    assert "first 1 of 3 pictures only" in captured.err
    assert "1 pictures, 1 boxes, 100 detections" in captured.out


def test_missing_pictures_end_it_before_the_work(dataset, evaluate, capsys):
    dataset([box(7, 1)])
    Path("data/val/p1.png").unlink()
    assert evaluate() == 1
    captured = capsys.readouterr()
    assert "p1.png: expected the picture, found no such file (1 of 3 are missing)" in captured.err
    assert not Path("out").exists()


def test_unreadable_pictures_end_it_by_name(dataset, evaluate, capsys):
    dataset([box(7, 1)])
    Path("data/val/p1.png").write_bytes(b"no picture")
    assert evaluate() == 1
    assert "p1.png" in capsys.readouterr().err
    assert not Path("out").exists()


def test_pictures_of_another_size_end_it(dataset, evaluate, capsys):
    dataset([box(7, 1)], size=(60, 40))
    assert evaluate() == 1
    assert "p0.png: expected 40 x 60 pixels" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "words"),
    [(("--split", "test"), "expected a split 'test', found val"), (("--data", "nowhere"), "nowhere: expected")],
)
def test_no_such_data(dataset, evaluate, capsys, argv, words):
    dataset([box(7, 1)])
    assert evaluate(*argv) == 1
    assert words in capsys.readouterr().err


def test_plots_without_matplotlib(dataset, evaluate, capsys, monkeypatch):
    def absent():
        raise MissingExtraError("matplotlib", "plots", "drawing")

    monkeypatch.setattr("cornernet.structures.figures.require_plots", absent)
    dataset([box(7, 1)])
    assert evaluate("--plots") == 1
    assert "cornernet[plots]" in capsys.readouterr().err
    assert not Path("out").exists()
    assert evaluate() == 0
    assert "cornernet[plots]" in capsys.readouterr().err
    assert not Path("out/pr_curves.png").exists()


@pytest.mark.parametrize("wrong", [("--limit", "0"), ("--max-det", "10"), ("--conf", "2"), ("--splitt", "x")])
def test_wrong_usage(dataset, evaluate, capsys, wrong):
    assert evaluate(*wrong) == 2
    assert wrong[0] in capsys.readouterr().err


def test_classes_match_by_name():
    data = Classes(("dog", "Cat "), (17, 3))
    assert match_classes(Classes.numbered(["cat", "dog"]), data) == ([3, 17], [])


def test_classes_that_only_one_side_knows_are_said():
    ids, notes = match_classes(Classes.numbered(["cat", "cow", "dog"]), Classes(("dog", "emu", "cat"), (1, 2, 3)))
    assert ids == [3, None, 1]
    assert len(notes) == 2
    assert "cow" in notes[0]
    assert "emu" in notes[1]


def test_classes_without_a_common_name_match_in_order():
    ids, (note,) = match_classes(Classes.unnamed(2), Classes(("dog", "cat"), (5, 2)))
    assert ids == [5, 2]
    assert "in order" in note


def test_classes_that_cannot_match_are_refused():
    with pytest.raises(DatasetError, match=r"dataset's 2 classes \(dog, cat\), got 3 other"):
        match_classes(Classes.unnamed(3), Classes(("dog", "cat"), (5, 2)))


def test_detections_of_classes_the_dataset_lacks_are_left_out(dataset, evaluate, capsys):
    dataset([box(7, 4)], names=("square",), ids=(4,))
    assert evaluate("--no-plots") == 0
    assert "2 classes of the model are not in the dataset" in capsys.readouterr().err
    results = json.loads(Path("out/detections.json").read_text(encoding="utf-8"))
    assert {r["category_id"] for r in results} == {4}
