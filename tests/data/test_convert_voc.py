"""Pascal VOC to COCO: pixels counted from 1, lists of pictures, and XML that must not run wild."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from cornernet.data.coco import load_coco
from cornernet.data.convert_voc import convert_voc, read_voc
from cornernet.data.synth import ShapesConfig, make_shapes
from cornernet.errors import CornerNetError, DatasetError


def text(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def thing(name, box, extra=""):
    frame = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    return f"<object>\n<name>{name}</name>{extra}<bndbox>{frame}</bndbox>{part}</object>\n"


def annotate(root, stem, objects, size=(40, 80), file_name=None, picture=True):
    height, width = size
    name = f"{stem}.jpg" if file_name is None else file_name
    if picture:
        path = root / "JPEGImages" / f"{stem}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".jpg", np.zeros((height, width, 3), np.uint8))[1].tobytes())
    return text(
        root / "Annotations" / f"{stem}.xml",
        f"<annotation>\n<folder>VOC</folder><filename>{name}</filename>\n"
        f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>\n{''.join(objects)}</annotation>\n",
    )


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "VOC2012"
    annotate(root, "2007_1", [thing("dog", (1, 1, 80, 40)), thing("cat", (11, 21, 20, 40), "<difficult>1</difficult>")])
    annotate(root, "2007_2", [])
    annotate(root, "2007_3", [thing("bird", (5, 5, 5, 5))])
    text(root / "ImageSets/Main/train.txt", "2007_1\n2007_2\n\n")
    text(root / "ImageSets/Main/val.txt", "2007_3")
    text(root / "ImageSets/Main/trainval.txt", "2007_1\n2007_2\n2007_3\n")
    text(root / "ImageSets/Main/dog_train.txt", "2007_1 1\n2007_2 -1\n")
    return root


def refusal(source, tmp_path):
    with pytest.raises(CornerNetError) as caught:
        convert_voc(source, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == [Path(source).relative_to(tmp_path).parts[0]]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_pixels_are_counted_from_1_and_the_last_is_inside(folder, tmp_path):
    done = convert_voc(folder, tmp_path / "out")
    assert (done.pictures, done.boxes) == ({"train": 2, "val": 1}, {"train": 2, "val": 1})
    assert (done.classes.names, done.classes.ids) == (("bird", "cat", "dog"), (1, 2, 3))
    train = load_coco(tmp_path / "out", "train")
    assert not train.problems
    assert train.missing_files() == []
    first, second = train.images
    assert (first.file_name, first.height, first.width) == ("2007_1.jpg", 40, 80)
    assert first.boxes.tolist() == [[0, 0, 80, 40], [10, 20, 20, 40]]
    assert (first.labels.tolist(), first.crowd.tolist()) == ([2, 1], [False, False])
    assert len(second) == 0
    assert load_coco(tmp_path / "out", "val").images[0].boxes.tolist() == [[4, 4, 5, 5]]  # one pixel


def test_difficult_objects_can_be_left_out(folder, tmp_path):
    done = convert_voc(folder, tmp_path / "out", skip_difficult=True)
    assert (done.boxes["train"], done.classes.names) == (1, ("bird", "dog"))


@pytest.mark.parametrize(
    ("lists", "splits"),
    [
        ({"trainval": "2007_1\n2007_1", "test": "2007_3"}, {"trainval": 1, "test": 1}),
        ({"test": "2007_2 \n"}, None),
        ({"train": "", "val": "2007_1"}, {"val": 1}),
        ({}, {"train": 3}),
    ],
)
def test_splits(folder, tmp_path, lists, splits):
    for path in (folder / "ImageSets/Main").iterdir():
        path.unlink()
    for split, names in lists.items():
        text(folder / f"ImageSets/Main/{split}.txt", names)
    if splits is None:
        assert "expected objects in Annotations/*.xml, found none in 1 files" in refusal(folder, tmp_path)
    else:
        assert convert_voc(folder, tmp_path / "out").pictures == splits


def test_pictures_are_found_by_their_own_name_first(folder, tmp_path):
    annotate(folder, "2007_1", [thing("dog", (1, 1, 9, 9))], file_name="2007_3.jpg")  # copied, and not corrected
    (folder / "JPEGImages/2007_2.jpg").rename(folder / "JPEGImages/else.jpg")
    annotate(folder, "2007_2", [], file_name="C:\\photos\\else.jpg", picture=False)
    (folder / "JPEGImages/2007_3.jpg").unlink()
    (folder / "images").mkdir()
    cv2.imwrite(str(folder / "images/2007_3.png"), np.zeros((40, 80, 3), np.uint8))
    convert_voc(folder, tmp_path / "out")
    assert [image.file_name for image in load_coco(tmp_path / "out", "train").images] == ["2007_1.jpg", "else.jpg"]
    assert load_coco(tmp_path / "out", "val").images[0].file_name == "2007_3.png"


def test_boxes_that_leave_the_picture(folder, tmp_path):
    boxes = [(0, 0, 10, 10), (1, 1, 81, 41), (1, 1, 90, 40), (85, 1, 90, 10)]
    annotate(folder, "2007_1", [thing("dog", box) for box in boxes])
    done = convert_voc(folder, tmp_path / "out")
    assert (done.boxes["train"], done.clipped, done.dropped) == (3, 1, 1)
    image = load_coco(tmp_path / "out", "train").images[0]
    assert image.xywh.tolist() == [[0, 0, 10, 10], [0, 0, 80, 40], [0, 0, 80, 40]][: len(image)]


def test_sizes_may_be_missing_but_not_wrong(folder, tmp_path):
    annotate(folder, "2007_1", [thing("dog", (1, 1, 9, 9))])
    file = folder / "Annotations/2007_1.xml"
    file.write_text(file.read_text(encoding="utf-8").replace("<width>80", "<width>0"), encoding="utf-8")
    assert read_voc(file).size is None
    convert_voc(folder, tmp_path / "out")
    annotate(folder, "2007_1", [])
    file.write_text(file.read_text(encoding="utf-8").replace("<width>80", "<width>90"), encoding="utf-8")
    with pytest.raises(DatasetError, match=r"expected 40 x 90 pixels .* got 40 x 80"):
        convert_voc(folder, tmp_path / "again")


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("<name>dog</name>", "<name> </name>", 4, "with a <name>"),
        ("<bndbox><xmin>1</xmin>", "<box><xmin>1</xmin>", None, "broken file"),
        ("<xmin>1</xmin>", "<xmin>x</xmin>", 5, "expected a number in <xmin>, got 'x'"),
        ("<xmin>1</xmin>", "<xmin>nan</xmin>", 5, "got 'nan'"),
        ("<xmin>1</xmin>", "", 5, "expected a number in <xmin>, got ''"),
        ("<xmin>1</xmin>", "<xmin>81</xmin>", 5, "expected xmin <= xmax and ymin <= ymax, got 81 1 80 40"),
        ("<name>dog</name>", "<difficult>maybe</difficult><name>dog</name>", 5, "a number in <difficult>"),
        ("<annotation>", "<annotations>", None, "broken file"),
        ("</annotation>", "", None, "broken file"),
    ],
)
def test_a_wrong_line_is_named(folder, tmp_path, old, new, line, words):
    file = folder / "Annotations/2007_1.xml"
    content = file.read_text(encoding="utf-8")
    assert old in content
    file.write_text(content.replace(old, new, 1), encoding="utf-8")
    message = refusal(folder, tmp_path)
    assert message.startswith(f"{file}, line {line}: " if line else f"{file}: ")
    assert words in message


def test_other_faults(folder, tmp_path):
    (folder / "JPEGImages/2007_2.jpg").unlink()
    assert "2007_2.xml: expected its picture '2007_2.jpg'" in refusal(folder, tmp_path)
    text(folder / "Annotations/2007_1.xml", "<svg/>")
    assert "expected the element <annotation>, got <svg>" in refusal(folder, tmp_path)
    text(folder / "ImageSets/Main/train.txt", "gone")
    assert "gone.xml: expected an annotation, cannot read it" in refusal(folder, tmp_path)
    text(folder / "ImageSets/Main/train.txt", "2007_3\n../2007_1")
    assert "train.txt, line 2: expected a picture's name" in refusal(folder, tmp_path)
    text(folder / "ImageSets/Main/train.txt", "2007_1 -1")
    assert "train.txt, line 1: expected a picture's name" in refusal(folder, tmp_path)
    with pytest.raises(DatasetError, match=r"found none: name .*VOC2012$"):
        convert_voc(tmp_path, tmp_path / "out")


BODY = "<annotation><object><name>{}</name></object></annotation>"
ENTITIES = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12))
HOSTILE = {
    "laughs": f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "ha">{ENTITIES}]>{BODY.format("&a11;")}',
    "file": f'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/hostname">]>{BODY.format("&f;")}',
    "external": f'<!DOCTYPE annotation SYSTEM "http://localhost/x.dtd">{BODY.format("x")}',
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_document_types_are_refused_before_entities_grow(tmp_path, name, encoding):
    file = tmp_path / "a.xml"
    file.write_bytes(HOSTILE[name].encode(encoding))
    with pytest.raises(DatasetError, match="expected no <!DOCTYPE>"):
        read_voc(file)


@pytest.mark.parametrize("data", [b"", b"\0\0", b"<a", b'<?xml version="1.0" encoding="nonsense"?><annotation/>'])
def test_what_is_no_xml(tmp_path, data):
    (tmp_path / "a.xml").write_bytes(data)
    with pytest.raises(DatasetError, match="broken file") as caught:
        read_voc(tmp_path / "a.xml")
    assert "\n" not in str(caught.value)


def test_links_are_the_same_files(folder, tmp_path):
    convert_voc(folder, tmp_path / "out", link=True)
    (image,) = load_coco(tmp_path / "out", "val").images
    assert image.path.samefile(folder / "JPEGImages/2007_3.jpg")


def test_there_and_back(tmp_path):
    """Drawn shapes written as VOC give the boxes they were drawn with."""
    drawn = make_shapes(tmp_path / "shapes", ShapesConfig(train=6, val=3, test=0, size=64))
    root = tmp_path / "VOC"
    for split in ("train", "val"):
        dataset = load_coco(drawn, split)
        for image in dataset.images:
            rows = zip(image.xywh.astype(int).tolist(), image.labels.tolist(), strict=True)
            objects = [thing(dataset.classes.names[c], (x + 1, y + 1, x + w, y + h)) for (x, y, w, h), c in rows]
            annotate(root, image.path.stem, objects, (64, 64), picture=False)
            text(root / "images" / image.file_name, "").write_bytes(image.path.read_bytes())
        text(root / f"ImageSets/Main/{split}.txt", "\n".join(image.path.stem for image in dataset.images))
    convert_voc(root, tmp_path / "out")
    for split in ("train", "val"):
        assert load_coco(tmp_path / "out", split).to_coco() == load_coco(drawn, split).to_coco() | {
            "annotations": [
                a | {"area": a["bbox"][2] * a["bbox"][3]} for a in load_coco(drawn, split).to_coco()["annotations"]
            ]
        }
