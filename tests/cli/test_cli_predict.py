from __future__ import annotations

import csv
import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from cornernet.cli.main import main
from cornernet.cli.results import COLUMNS
from cornernet.inference.detector import Detector


@pytest.fixture
def predict(model_folder, tmp_path, monkeypatch):
    """Runs `cornernet predict` in an empty folder with the tiny model, everything it finds kept and drawn."""
    monkeypatch.chdir(tmp_path)

    def run(*argv: str, conf: str = "0", output: str | None = "out") -> int:
        where = ["--output", output] if output else []
        model = ["--weights", str(model_folder), "--device", "cpu"]
        return main(["predict", *model, "--conf", conf, "--draw-conf", conf, *where, *argv])

    return run


def read(path: str = "out/detections.json") -> dict:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def test_one_picture_start_to_end(predict, draw, model_folder, capsys):
    pixels = draw(Path("a.png"))
    assert predict("a.png") == 0
    expected = Detector.from_pretrained(model_folder, device="cpu").predict("a.png")
    captured = capsys.readouterr()
    assert captured.out.startswith("a.png: ")
    assert captured.out.count("\n") == 1
    assert f"{expected.names.count('square')} square" in captured.out
    assert "out" in captured.err

    document = read()
    assert document["images"] == [{"id": 1, "file_name": "a.png", "width": 60, "height": 40}]
    assert document["categories"] == [
        {"id": 2, "name": "circle"},
        {"id": 5, "name": "square"},
        {"id": 7, "name": "cross"},
    ]
    assert len(document["annotations"]) == len(expected) > 0
    for number, (entry, result) in enumerate(zip(document["annotations"], expected.to_coco(1), strict=True), start=1):
        assert entry == {"id": number, **result, "area": result["bbox"][2] * result["bbox"][3], "iscrowd": 0}
    drawn = cv2.imread("out/pictures/a.png")[:, :, ::-1]
    np.testing.assert_array_equal(drawn, expected.draw(pixels))


def test_every_format_says_the_same(predict, draw):
    parquet = pytest.importorskip("pyarrow.parquet")
    draw(Path("in/a.png"), seed=1)
    draw(Path("in/b.jpg"), seed=2)
    assert predict("in", "--format", "coco,csv", "parquet", "--no-draw") == 0
    assert not Path("out/pictures").exists()
    document = read()
    with Path("out/detections.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    table = parquet.read_table("out/detections.parquet").to_pylist()
    assert len(rows) == len(table) == len(document["annotations"])
    names = {c["id"]: c["name"] for c in document["categories"]}
    files = {i["id"]: i["file_name"] for i in document["images"]}
    assert set(files.values()) == {"in/a.png", "in/b.jpg"}
    for entry, row, line in zip(document["annotations"], rows, table, strict=True):
        assert tuple(row) == tuple(line) == COLUMNS
        x, y, width, height = entry["bbox"]
        want = [x, y, x + width, y + height]
        assert int(row["image_id"]) == line["image_id"] == entry["image_id"]
        assert row["file_name"] == line["file_name"] == files[entry["image_id"]]
        assert row["category"] == line["category"] == names[entry["category_id"]]
        assert (row["frame_index"], line["frame_index"]) == ("", None)
        assert float(row["score"]) == line["score"] == entry["score"]
        for box in ([float(row[k]) for k in COLUMNS[-4:]], [line[k] for k in COLUMNS[-4:]]):
            np.testing.assert_allclose(box, want, atol=1e-4)


def test_lists_hold_everything_and_drawings_the_best(predict, draw, model_folder, capsys):
    pixels = draw(Path("a.png"))
    everything = Detector.from_pretrained(model_folder, device="cpu").predict("a.png")
    middle = float(np.median(everything.scores))
    assert predict("a.png", "--draw-conf", str(middle)) == 0
    shown = everything[everything.scores >= middle]
    assert 0 < len(shown) < len(everything) == len(read()["annotations"])
    assert f"{shown.names.count('square')} square" in capsys.readouterr().out
    np.testing.assert_array_equal(cv2.imread("out/pictures/a.png")[:, :, ::-1], shown.draw(pixels))


def test_nothing_found_is_a_result(predict, draw, capsys):
    draw(Path("a.png"))
    assert predict("a.png", "--format", "coco,csv", conf="1") == 0
    assert capsys.readouterr().out == "a.png: nothing\n"
    assert read()["annotations"] == []
    assert Path("out/detections.csv").read_text(encoding="utf-8") == ",".join(COLUMNS) + "\n"


def test_one_bad_file_among_good_ones(predict, draw, capsys):
    draw(Path("in/a.png"))
    Path("in/b.jpg").write_bytes(b"no picture")
    Path("in/c.png").write_bytes(b"")
    draw(Path("in/d.png"))
    for batch in ("1", "3"):
        assert predict("in", "--batch", batch) == 1
        captured = capsys.readouterr()
        assert [line.split(":")[0] for line in captured.out.splitlines()] == [
            str(Path("in/a.png")),
            str(Path("in/d.png")),
        ]
        assert "b.jpg" in captured.err
        assert "c.png" in captured.err
        assert "2 of the files could not be read" in captured.err
        assert [image["file_name"] for image in read()["images"]] == ["in/a.png", "in/d.png"]


def test_pictures_of_one_name_do_not_overwrite_each_other(predict, draw):
    for n, name in enumerate(("x/a.png", "y/a.png", "z/A.png", "z/a.jpg")):
        draw(Path(name), seed=n)
    assert predict("x", "y/*.png", "z") == 0
    assert sorted(p.name for p in Path("out/pictures").iterdir()) == ["A-3.png", "a-2.png", "a.jpg", "a.png"]
    assert len(read()["images"]) == 4


def test_heatmaps(predict, draw):
    draw(Path("a.png"))
    assert predict("a.png", "--heatmaps", "--no-draw") == 0
    assert cv2.imread("out/heatmaps/a.png").shape == (40, 120, 3)
    assert not Path("out/pictures").exists()


def test_a_video_frame_by_frame(predict, capsys):
    frames = np.random.default_rng(0).integers(0, 256, (5, 48, 64, 3), dtype=np.uint8)
    writer = cv2.VideoWriter("clip.avi", cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for frame in frames:
        writer.write(frame)
    writer.release()
    assert predict("clip.avi", "--batch", "2", "--format", "coco,csv") == 0
    assert capsys.readouterr().out.startswith("clip.avi: 5 frames, ")
    document = read()
    assert [i["frame_index"] for i in document["images"]] == [0, 1, 2, 3, 4]
    assert {(i["file_name"], i["width"], i["height"]) for i in document["images"]} == {("clip.avi", 64, 48)}
    drawn = cv2.VideoCapture("out/clip.mp4")
    assert drawn.get(cv2.CAP_PROP_FRAME_COUNT) == 5
    assert drawn.get(cv2.CAP_PROP_FPS) == 10
    drawn.release()


def test_a_broken_video_leaves_nothing_half_written(predict, draw, capsys):
    Path("clip.mp4").write_bytes(b"no video")
    draw(Path("a.png"))
    assert predict("clip.mp4", "a.png") == 1
    assert "clip.mp4" in capsys.readouterr().err
    assert sorted(p.name for p in Path("out").iterdir()) == ["detections.json", "pictures"]


@pytest.mark.parametrize("source", ["nowhere.jpg", "*.jpg", "empty"])
def test_a_source_that_is_not_there_ends_it_before_the_work(predict, draw, capsys, source):
    Path("empty").mkdir()
    draw(Path("a.png"))
    assert predict("a.png", source) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"cornernet: error: {source}: ")
    assert captured.err.count("\n") == 1
    assert not Path("out").exists()


def test_a_missing_extra_ends_it_before_the_work(predict, draw, capsys, monkeypatch):
    draw(Path("a.png"))
    find = importlib.util.find_spec
    monkeypatch.setattr("cornernet.cli.results.find_spec", lambda name: None if name == "pyarrow" else find(name))
    assert predict("a.png", "--format", "parquet") == 1
    assert "cornernet[parquet]" in capsys.readouterr().err
    assert not Path("out").exists()


def test_each_run_has_a_folder_of_its_own(predict, draw):
    draw(Path("a.png"))
    for _ in range(3):
        assert predict("a.png", "--no-draw", output=None) == 0
    assert sorted(p.name for p in Path("runs/predict").iterdir()) == ["a", "a-2", "a-3"]


def test_an_interrupt_leaves_whole_files_alone(predict, draw, capsys, monkeypatch):
    draw(Path("in/a.png"))
    draw(Path("in/b.png"))
    stream = Detector.stream

    def interrupted(self, *args, **settings):
        yield next(stream(self, *args, **settings))
        raise KeyboardInterrupt

    monkeypatch.setattr(Detector, "stream", interrupted)
    assert predict("in") == 130
    assert capsys.readouterr().err == "cornernet: interrupted\n"
    left = [p.name for p in Path("out").rglob("*") if p.is_file()]
    assert set(left) <= {"a.png"}


def test_views_reach_the_detector(predict, draw, monkeypatch):
    draw(Path("a.png"))
    seen = {}
    stream = Detector.stream

    def spy(self, sources, **settings):
        seen.update(settings)
        return stream(self, sources, **settings)

    monkeypatch.setattr(Detector, "stream", spy)
    assert predict("a.png", "--tta", "--scales", "0.5,1", "--max-det", "4", "--batch", "2", "--workers", "1") == 0
    del seen["on_error"]
    assert seen == {"conf": 0.0, "max_det": 4, "tta": True, "scales": (0.5, 1.0), "batch": 2, "workers": 1}
    assert len(read()["annotations"]) == 4


def test_weights_that_are_not_there(draw, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    draw(Path("a.png"))
    assert main(["predict", "a.png", "--weights", "nowhere.pth"]) == 1
    assert "nowhere.pth" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png"]
