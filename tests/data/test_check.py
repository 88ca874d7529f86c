"""A dataset's folder checked as a whole: every fault planted is found, once, and nothing else."""

from __future__ import annotations

import json
import shutil
import threading
from contextlib import contextmanager

import cv2
import pytest

from cornernet.data.check import check_dataset
from cornernet.data.check_pictures import _origin
from cornernet.data.findings import Fault, Finding, Report, Severity
from cornernet.data.problems import ProblemKind
from cornernet.data.synth import ShapesConfig, make_shapes
from cornernet.errors import DatasetError


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    config = ShapesConfig(train=8, val=4, test=4, size=40, empty=0.0)
    return make_shapes(tmp_path_factory.mktemp("check") / "shapes", config)


@pytest.fixture
def folder(shapes, tmp_path):
    return shutil.copytree(shapes, tmp_path / "shapes")


def change(folder, split, how):
    path = folder / "annotations" / f"instances_{split}.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    how(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def kinds(report):
    return [(f.kind, f.split, f.image_id) for f in report.findings]


def test_a_clean_dataset(shapes):
    report = check_dataset(shapes)
    assert report.findings == ()
    assert report.usable
    assert [(s.split, s.pictures) for s in report.splits] == [("test", 4), ("train", 8), ("val", 4)]
    assert report.splits[0].classes == ("circle", "square", "triangle")
    assert report.splits[1].boxes >= 8


def test_faults_of_files(folder):
    train = folder / "train"
    (train / "train_00001.png").unlink()
    (train / "train_00002.png").write_bytes((train / "train_00002.png").read_bytes()[:-30])
    (train / "train_00003.png").write_text("<html>", encoding="utf-8")
    cv2.imwrite(str(train / "train_00004.png"), cv2.imread(str(train / "train_00004.png"))[:-1])
    (train / "deep").mkdir()
    shutil.copy(folder / "val/val_00001.png", train / "deep/mine.png")
    (train / ".hidden.png").touch()
    (train / "notes.txt").touch()
    report = check_dataset(folder)
    assert kinds(report) == [
        (Fault.MISSING, "train", 1),
        (Fault.UNREADABLE, "train", 2),
        (Fault.UNREADABLE, "train", 3),
        (Fault.OTHER_SIZE, "train", 4),
        (Fault.STRAY, "train", None),
    ]
    assert report.count(Severity.ERROR) == 4
    assert not report.usable
    assert kinds(check_dataset(folder, pictures=False)) == [(Fault.MISSING, "train", 1), (Fault.STRAY, "train", None)]
    assert all(f.file and f.file in f.message for f in report.findings)
    assert report.findings[-1].file == str(train / "deep" / "mine.png")


def test_pictures_given_twice_are_found_whatever_their_format(folder):
    picture = cv2.imread(str(folder / "train/train_00005.png"))
    cv2.imwrite(str(folder / "val/val_00002.png"), picture, [cv2.IMWRITE_PNG_COMPRESSION, 0])
    shutil.copy(folder / "train/train_00006.png", folder / "train/train_00007.png")
    report = check_dataset(folder)
    assert kinds(report) == [(Fault.REPEATED, "train", 7), (Fault.SHARED, "val", 2)]
    assert "train_00005.png of train" in report.findings[1].message
    assert check_dataset(folder, ["val"]).findings == ()


def test_one_file_in_two_splits_is_shared(folder):
    shutil.copy(folder / "annotations/instances_val.json", folder / "annotations/instances_minival.json")
    shutil.copytree(folder / "val", folder / "minival")
    report = check_dataset(folder, ["val", "minival"])
    assert [f.kind for f in report.findings] == [Fault.SHARED] * 4  # and not named alike on top of it


def test_names_alike_are_warned_of(folder):
    def rename(split, number, name):
        def how(document):
            image = document["images"][number - 1]
            (folder / split / image["file_name"]).rename(folder / split / name)
            image["file_name"] = name

        change(folder, split, how)

    rename("train", 1, "street_jpg.rf.0a1b2c3d.jpg")
    rename("val", 2, "Street_jpg.rf.ffff.jpg")
    rename("train", 2, "0001.png")
    rename("val", 1, "0001.png")
    report = check_dataset(folder)
    assert kinds(report) == [(Fault.ALIKE, "val", 2)]
    assert report.usable


@pytest.mark.parametrize(
    ("name", "origin"),
    [("a.jpg", "a"), ("x/A.PNG", "a"), ("x\\a.webp", "a"), ("a (1).jpg", "a"), ("a - Copy.jpg", "a"),
     ("a_copy2.jpg", "a"), ("a - Copy (2).jpg", "a"), ("a_png.rf.00ff.jpg", "a"), ("a.jpg.rf.9.png", "a"),
     ("a1.jpg", "a1"), ("copy.jpg", "copy"), ("photocopy.jpg", "photocopy"), ("a.b.jpg", "a.b")],
)  # fmt: skip
def test_what_is_left_of_a_name(name, origin):
    assert _origin(name) == origin


def test_faults_of_content(folder):
    def empty_and_dangling(document):
        document["annotations"] = [a for a in document["annotations"] if a["image_id"] != 3]
        document["annotations"].append({"id": 999, "image_id": 77, "category_id": 1, "bbox": [1, 1, 5, 5]})

    def classes(document):
        document["categories"] += [{"id": 7, "name": "cross"}, {"id": 9, "name": "circle"}]

    change(folder, "train", empty_and_dangling)
    change(folder, "val", classes)
    change(folder, "test", lambda document: document.update(annotations=[]))
    report = check_dataset(folder)
    assert kinds(report) == [
        (Fault.NO_BOXES, "test", None),
        (ProblemKind.UNKNOWN_IMAGE, "train", 77),
        (Fault.EMPTY, "train", 3),
        (Fault.SAME_NAME, "val", None),
        (Fault.UNUSED_CLASS, "val", None),
        (Fault.UNUSED_CLASS, "val", None),
        (Fault.OTHER_CLASSES, "val", None),
    ]
    assert report.findings[1].annotation_id == 999
    assert report.findings[-1].message == "not the categories of test: 7 'cross', 9 'circle'"
    assert [report.count(s) for s in Severity] == [2, 4, 1]


def test_lists_without_boxes_are_no_fault(folder):
    path = folder / "annotations/instances_test.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    del document["annotations"]
    path.unlink()
    (folder / "annotations/image_info_test.json").write_text(json.dumps(document), encoding="utf-8")
    assert check_dataset(folder).findings == ()


def test_an_unreadable_split_does_not_hide_the_others(folder):
    (folder / "annotations/instances_val.json").write_text("{", encoding="utf-8")
    (folder / "train/train_00002.png").unlink()
    report = check_dataset(folder)
    # Pictures of the split that cannot be read are no strays: nobody knows what it lists.
    assert kinds(report) == [(Fault.MISSING, "train", 2), (Fault.UNUSABLE, "val", None)]
    assert [(s.split, s.pictures) for s in report.splits] == [("test", 4), ("train", 8), ("val", 0)]


def test_splits_that_share_a_folder(folder):
    for split in ("train", "val", "test"):
        for path in (folder / split).iterdir():
            (folder / "images").mkdir(exist_ok=True)
            path.rename(folder / "images" / path.name)
        (folder / split).rmdir()
        try:
            (folder / split).symlink_to(folder / "images", target_is_directory=True)
        except OSError:
            pytest.skip("this system makes no links")
    assert check_dataset(folder).findings == ()
    assert check_dataset(folder, ["train"]).findings == ()


def test_wrong_folders_and_splits(tmp_path, shapes):
    with pytest.raises(DatasetError, match="found no annotations"):
        check_dataset(tmp_path)
    with pytest.raises(DatasetError, match="expected a split 'vall'"):
        check_dataset(shapes, ["vall"])
    with pytest.raises(DatasetError, match="expected a dataset folder"):
        check_dataset(tmp_path / "nowhere")


def test_every_picture_is_a_step_and_threads_read(shapes, monkeypatch):
    steps, threads = [], set()

    @contextmanager
    def progress(text, total):
        steps.append(total)
        yield lambda: steps.append(1)

    from cornernet.data import check_pictures

    read = check_pictures.read_image
    monkeypatch.setattr(
        check_pictures, "read_image", lambda *a, **k: (threads.add(threading.current_thread().name), read(*a, **k))[1]
    )
    check_dataset(shapes, ["train", "val"], workers=3, progress=progress)
    assert steps == [12] + [1] * 12
    assert all(name.startswith("cornernet-check") for name in threads)


def test_the_report_as_json(tmp_path):
    finding = Finding(kind=Fault.MISSING, split="val", message="a.jpg: gone", file="a.jpg", image_id=4)
    document = json.loads(json.dumps(Report(root=tmp_path, splits=(), findings=(finding,)).to_json()))
    assert document["counts"] == {"error": 1, "warning": 0, "note": 0}
    assert document["findings"] == [
        {"severity": "error", "kind": "pictures that are not there", "split": "val", "message": "a.jpg: gone",
         "file": "a.jpg", "image_id": 4, "annotation_id": None}
    ]  # fmt: skip
