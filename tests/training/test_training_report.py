"""Curves and drawn pictures from what a run wrote."""

import json

import cv2
import numpy as np
from tiny_runs import shapes

from cornernet.data.coco import load_coco
from cornernet.training.logs import CsvLog, read_csv
from cornernet.training.report import write_detections, write_report

ROW = {"epoch": 1, "det": 2.0, "pull": 0.0, "push": 0.1, "off": 0.25}


def test_logs_go_on_behind_a_step(tmp_path):
    log = CsvLog(tmp_path, 0)
    for step in (1, 2, 3):
        log.write("train", step, ROW)
    with (tmp_path / "train.csv").open("a") as file:
        file.write("4,1,2.")  # a process that was killed while writing
    assert [row["step"] for row in read_csv(tmp_path / "train.csv")] == [1, 2, 3]
    CsvLog(tmp_path, 2).write("train", 3, {**ROW, "det": 1.5})
    rows = read_csv(tmp_path / "train.csv")
    assert [(row["step"], row["det"]) for row in rows] == [(1, 2), (2, 2), (3, 1.5)]
    CsvLog(tmp_path, 0).write("train", 1, ROW)
    assert [row["step"] for row in read_csv(tmp_path / "train.csv")] == [1]


def test_numbers_read_back_as_they_were(tmp_path):
    values = [0.1, 1 / 3, 1e-9, 1e20, float(np.float32(0.1)), 7.0]
    log = CsvLog(tmp_path, 0)
    log.write("train", 1, {str(i): value for i, value in enumerate(values)})
    assert list(read_csv(tmp_path / "train.csv")[0].values())[1:] == values


def test_perfect_detections_are_reported_and_drawn(tmp_path):
    val = load_coco(shapes(tmp_path / "data"), "val")
    results = [
        {"image_id": a["image_id"], "category_id": a["category_id"], "bbox": a["bbox"], "score": 0.9}
        for a in val.to_coco()["annotations"]
    ]
    run = tmp_path / "run"
    run.mkdir()
    CsvLog(run, 0).write("train", 1, ROW)
    write_detections(run, results)
    assert json.loads((run / "detections.json").read_text()) == results
    evaluation = write_report(run, val, drawn=2)
    assert evaluation.stats["AP"] == 1
    drawn = sorted((run / "pictures").iterdir())
    assert [p.name for p in drawn] == ["00-val_00001.jpg", "01-val_00002.jpg"]
    before = cv2.imread(str(val.images[0].path))
    assert np.abs(cv2.imread(str(drawn[0])).astype(int) - cv2.resize(before, (384, 384))).max() > 100
    assert (run / "plots" / "losses.png").exists()
    assert not (run / "plots" / "ap.png").exists()


def test_nothing_measured(tmp_path):
    assert write_report(tmp_path, None, drawn=2) is None
    write_detections(tmp_path, [])
    assert json.loads((tmp_path / "detections.json").read_text()) == []
