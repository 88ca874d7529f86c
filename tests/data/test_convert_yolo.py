"""YOLO to COCO: what a line means, which files belong together, and what is refused."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cornernet.data.coco import check_size, load_coco
from cornernet.data.convert_yolo import convert_yolo, read_labels
from cornernet.data.images import read_image
from cornernet.data.synth import SHAPES, ShapesConfig, make_shapes
from cornernet.errors import CornerNetError, DatasetError


def picture(path, height=40, width=80, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())
    return path


def text(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path):
    """Two classes, a picture with a box and an outline, one without a label file, one with an empty one."""
    root = tmp_path / "images" / "yolo"  # a folder called images above the dataset must not confuse
    text(root / "data.yaml", "path: .\ntrain: images/train\nval: images/val\nnc: 2\nnames: [ant, bee]\n")
    picture(root / "images/train/a.png")
    picture(root / "images/train/deep/b.png", 20, 20)
    picture(root / "images/val/c.jpg", 30, 50)
    text(root / "labels/train/a.txt", "1 0.5 0.5 0.25 0.5\n\n0 0.1 0.2 0.3 0.2 0.2 0.6\n")
    text(root / "labels/val/c.txt", "")
    return root


def refusal(source, tmp_path):
    with pytest.raises(CornerNetError) as caught:
        convert_yolo(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not [p for p in tmp_path.iterdir() if p.name.endswith(".tmp")]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_boxes_and_outlines_in_pixels(folder, tmp_path):
    done = convert_yolo(folder, tmp_path / "out")
    assert (done.pictures, done.boxes) == ({"train": 2, "val": 1}, {"train": 2, "val": 0})
    assert (done.classes.names, done.classes.ids, done.dropped, done.clipped) == (("ant", "bee"), (1, 2), 0, 0)
    train = load_coco(tmp_path / "out", "train")
    a, b = train.images
    assert (a.file_name, a.height, a.width, a.labels.tolist()) == ("a.png", 40, 80, [1, 0])
    np.testing.assert_allclose(a.boxes, [[30, 10, 50, 30], [8, 8, 24, 24]], atol=1e-3)
    np.testing.assert_allclose(a.areas, [400, 256], atol=0.01)
    assert (b.file_name, len(b)) == ("deep/b.png", 0)
    assert not train.problems
    assert train.missing_files() == []
    assert b.path.read_bytes() == (folder / "images/train/deep/b.png").read_bytes()


@pytest.mark.parametrize(
    "yaml",
    [
        "train: ../train/images\nval: ../valid/images\nnames: {0: ant, 1: bee}",  # Roboflow's
        "path: /nowhere/else\ntrain: train/images\nvalid: [valid/images]\nnames: ['ant', 'bee']\nkpt_shape: [1, 2]",
        "train: train.txt\nval: valid/images\nnames: [ant, bee]",
        None,
    ],
)
def test_layouts(tmp_path, yaml):
    root = tmp_path / "yolo"
    picture(root / "train/images/a.jpg")
    text(root / "train/labels/a.txt", "0 0.5 0.5 0.5 0.5")
    picture(root / "valid/images/b.jpg")
    text(root / "train.txt", "./train/images/a.jpg\n\ntrain/images/a.jpg\n")
    text(root / "classes.txt" if yaml is None else root / "data.yaml", "ant\nbee\n" if yaml is None else yaml)
    convert_yolo(root, tmp_path / "out")
    for split, name, boxes in (("train", "a.jpg", 1), ("val", "b.jpg", 0)):
        (image,) = load_coco(tmp_path / "out", split).images
        assert (image.file_name, len(image)) == (name, boxes)


def test_labels_beside_the_pictures(tmp_path):
    root = tmp_path / "yolo"
    picture(root / "a.jpg")
    text(root / "a.txt", "1 0.5 0.5 0.5 0.5")
    text(root / "classes.txt", "ant\nbee\n")
    done = convert_yolo(root, tmp_path / "out")
    assert (done.pictures, done.boxes) == ({"train": 1}, {"train": 1})


def test_the_yaml_file_itself(folder, tmp_path):
    (folder / "data.yaml").rename(folder / "ants.yaml")
    text(folder / "other.yaml", "x: 1")
    assert "expected a data.yaml" in refusal(folder, tmp_path)
    assert convert_yolo(folder / "ants.yaml", tmp_path / "out").pictures == {"train": 2, "val": 1}


def test_boxes_are_of_the_upright_picture(tmp_path):
    root = tmp_path / "yolo"
    pixels = np.zeros((20, 60, 3), np.uint8)
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[0x0112] = 6
    data = io.BytesIO()
    image.save(data, "JPEG", exif=exif)
    (root / "images").mkdir(parents=True)
    (root / "images/a.jpg").write_bytes(data.getvalue())
    text(root / "labels/a.txt", "0 0.5 0.5 1 0.5")
    text(root / "classes.txt", "ant")
    convert_yolo(root, tmp_path / "out")
    (found,) = load_coco(tmp_path / "out", "train").images
    check_size(found, read_image(found.path))
    assert (found.height, found.width, found.boxes.tolist()) == (60, 20, [[0, 15, 20, 45]])


def test_boxes_that_leave_the_picture(folder, tmp_path):
    text(
        folder / "labels/train/a.txt", "0 0.0 0.5 0.5 0.5\n0 0.5 0.5 0 0.5\n0 1.0005 0.5 0.5 0.5\n0 0.5 0.5 1.0001 1\n"
    )
    done = convert_yolo(folder, tmp_path / "out")
    assert (done.boxes["train"], done.dropped, done.clipped) == (3, 1, 2)
    image = load_coco(tmp_path / "out", "train").images[0]
    np.testing.assert_allclose(image.xywh, [[0, 10, 20, 20], [60.04, 10, 19.96, 20], [0, 0, 80, 40]], atol=1e-9)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("2 0.5 0.5 0.5 0.5", "expected a class number of 0..1, got '2'"),
        ("-1 0.5 0.5 0.5 0.5", "got '-1'"),
        ("0.5 0.5 0.5 0.5 0.5", "got '0.5'"),
        ("ant 0.5 0.5 0.5 0.5", "got 'ant'"),
        ("0 0.5 0.5 0.5", "got 4 values"),
        ("0", "got 1 values"),
        ("0 0.5 0.5 0.5 0.5 0.9", "got 6 values"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "got 8 values"),
        ("0 0.5 0.5 0.5 x", "expected numbers"),
        ("0 40 20 10 10", "expected coordinates normalised to 0..1, got 40: divide by"),
        ("0 -0.1 0.5 0.1 0.1", "got -0.1"),
        ("0 0.5 0.5 nan 0.1", "got nan"),
        ("0 0.5 0.5 inf 0.1", "got inf"),
    ],
)
def test_a_wrong_line_is_named(folder, tmp_path, line, words):
    file = text(folder / "labels/train/a.txt", f"0 0.5 0.5 0.1 0.1\n\n{line}\n")
    message = refusal(folder, tmp_path)
    assert message.startswith(f"{file}, line 3: ")
    assert words in message


@pytest.mark.parametrize(
    ("yaml", "words"),
    [
        ("train: images/train", "no 'names'"),
        ("names: [ant, ant]\ntrain: images/train", "'ant' twice"),
        ("names: []\ntrain: images/train", "got none"),
        ("names: {0: ant, 2: bee}\ntrain: images/train", "numbered 0..1"),
        ("names: ant\ntrain: images/train", "to be a list"),
        ("names: [ant, bee]\nnc: 3\ntrain: images/train", "as 'nc' says, 3"),
        ("names: [ant, bee]", "'train', 'val' or 'test'"),
        ("names: [ant, bee]\ntrain: images/tarin", "found nothing at"),
        ("names: [ant, bee]\ntrain: labels", "expected pictures"),
        ("names: [ant, bee]\ntrain: list.txt", "list.txt, line 2: expected a picture, found none at 'gone.jpg'"),
        ("names: [", "broken file"),
        ("!!python/object/apply:os.getcwd []", "broken file"),
    ],
)
def test_a_wrong_yaml_is_refused(folder, tmp_path, yaml, words):
    text(folder / "data.yaml", yaml)
    text(folder / "list.txt", "images/train/a.png\ngone.jpg\n")
    assert words in refusal(folder, tmp_path)


def test_other_faults(folder, tmp_path):
    assert "found neither" in refusal(tmp_path / "nowhere", tmp_path)
    (folder / "images/val/c.jpg").write_bytes(b"<html>")
    assert "c.jpg: expected a picture" in refusal(folder, tmp_path)
    picture(folder / "images/val/c.jpg")
    (folder / "labels/train/a.txt").write_bytes(b"\xff\xfe0")
    assert "expected text in UTF-8" in refusal(folder, tmp_path)
    (folder / "labels/train/a.txt").unlink()
    (folder / "labels/val/c.txt").unlink()
    message = refusal(folder, tmp_path)
    assert message.startswith(str(folder / "labels/train/a.txt"))
    assert "found no label file of any of the 3 pictures" in message


def test_names_that_meet_are_refused(folder, tmp_path):
    picture(folder / "more/a.png")
    text(folder / "data.yaml", "names: [ant, bee]\ntrain: [images/train, more]")
    assert "expected names that differ within split 'train', got 'a.png'" in refusal(folder, tmp_path)


def test_links_are_the_same_files(folder, tmp_path):
    convert_yolo(folder, tmp_path / "out", link=True)
    (image,) = load_coco(tmp_path / "out", "val").images
    assert image.path.samefile(folder / "images/val/c.jpg")


def test_a_folder_that_holds_something_is_left_alone(folder, tmp_path):
    text(tmp_path / "out/mine.txt", "mine")
    with pytest.raises(DatasetError, match="new or empty folder"):
        convert_yolo(folder, tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine.txt"]


unit = st.floats(0, 1)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(st.integers(0, 4), st.tuples(unit, unit), st.tuples(unit, unit), st.booleans())))
def test_both_kinds_of_line_give_the_same_box(rows):
    lines, expected = [], []
    for label, xs, ys, outline in rows:
        (x0, x1), (y0, y1) = sorted(xs), sorted(ys)
        expected.append([x0, y0, x1, y1])
        values = [x0, y1, x1, y0, x0, y0] if outline else [(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0]
        lines.append(" ".join([str(label), *map(repr, values)]))
    boxes, labels = read_labels("\n".join(lines), "x", 5)
    assert boxes.shape == (len(rows), 4)
    np.testing.assert_allclose(boxes, np.array(expected).reshape(-1, 4), atol=1e-12)
    assert labels.tolist() == [row[0] for row in rows]


def test_there_and_back(tmp_path):
    """Drawn shapes written as YOLO give the boxes they were drawn with."""
    drawn = make_shapes(tmp_path / "shapes", ShapesConfig(train=6, val=3, test=0, size=64))
    root = tmp_path / "yolo"
    text(root / "data.yaml", f"train: images/train\nval: images/val\nnames: {list(SHAPES.names)}")
    for split in ("train", "val"):
        for image in load_coco(drawn, split).images:
            text(root / f"images/{split}/{image.file_name}", "").write_bytes(image.path.read_bytes())
            x, y, w, h = image.xywh.T / 64
            rows = zip(image.labels, x + w / 2, y + h / 2, w, h, strict=True)
            text(
                root / f"labels/{split}/{image.path.stem}.txt",
                "".join(f"{c} {cx:.6f} {cy:.6f} {bw:.6f} {bh:.6f}\n" for c, cx, cy, bw, bh in rows),
            )
    convert_yolo(root, tmp_path / "out")
    for split in ("train", "val"):
        before, after = load_coco(drawn, split), load_coco(tmp_path / "out", split)
        assert (after.classes, len(after.problems)) == (before.classes, 0)
        for old, new in zip(before.images, after.images, strict=True):
            assert (old.file_name, old.labels.tolist()) == (new.file_name, new.labels.tolist())
            np.testing.assert_allclose(new.xywh, old.xywh, atol=1e-3)
