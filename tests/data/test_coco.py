"""COCO annotations in, arrays per picture out, and back again."""

from __future__ import annotations

import copy
import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO as PycocoCOCO

from cornernet.data.coco import check_size, load_coco
from cornernet.data.images import read_image
from cornernet.data.problems import ProblemKind
from cornernet.errors import DatasetError


def annotation(number, image, category, bbox, **more):
    return {"id": number, "image_id": image, "category_id": category, "bbox": bbox, **more}


# Category ids with gaps and out of order, image id 0, a picture without boxes, a crowd, a float box.
DOCUMENT = {
    "images": [
        {"id": 7, "file_name": "b.jpg", "height": 40, "width": 60},
        {"id": 0, "file_name": "a.jpg", "height": 30, "width": 20},
        {"id": 9, "file_name": "empty.jpg", "height": 10, "width": 10},
    ],
    "annotations": [
        annotation(11, 0, 90, [1, 2, 3, 4]),
        annotation(12, 7, 5, [10.5, 20.25, 30, 10], area=123.5, iscrowd=0, segmentation=[[1, 2, 3, 4, 5, 6]]),
        annotation(13, 7, 0, [0, 0, 60, 40], area=9.0, iscrowd=1, segmentation={"counts": [1, 2], "size": [40, 60]}),
    ],
    "categories": [
        {"id": 90, "name": "zebra"},
        {"id": 0, "name": "ant"},
        {"id": 5, "name": "bee", "supercategory": "x"},
    ],
}


def write(root, document, split="val"):
    path = root / "annotations" / f"instances_{split}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return root


def changed(key, position, **values):
    """The document with keys of one entry set, or removed where the value is `...`."""
    document = copy.deepcopy(DOCUMENT)
    for name, value in values.items():
        if value is ...:
            del document[key][position][name]
        else:
            document[key][position][name] = value
    return document


def with_boxes(*boxes, **more):
    """One picture of 30 x 20 pixels (height x width) with these boxes of one class."""
    return {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 30, "width": 20}],
        "annotations": [annotation(i + 1, 1, 1, box, **more) for i, box in enumerate(boxes)],
        "categories": [{"id": 1, "name": "thing"}],
    }


def test_arrays_of_each_picture(tmp_path):
    dataset = load_coco(write(tmp_path, DOCUMENT), "val")
    assert dataset.classes.names == ("ant", "bee", "zebra")
    assert dataset.classes.ids == (0, 5, 90)
    assert (len(dataset), dataset.split, dataset.root) == (3, "val", tmp_path)
    assert not dataset.problems
    assert dataset.has_annotations
    first, second, empty = dataset.images
    assert (first.id, first.file_name, first.height, first.width) == (7, "b.jpg", 40, 60)
    assert first.path == tmp_path / "val" / "b.jpg"
    np.testing.assert_array_equal(first.boxes, np.array([[10.5, 20.25, 40.5, 30.25], [0, 0, 60, 40]], np.float32))
    np.testing.assert_array_equal(first.xywh, [[10.5, 20.25, 30, 10], [0, 0, 60, 40]])
    np.testing.assert_array_equal(first.labels, [1, 0])
    np.testing.assert_array_equal(first.crowd, [False, True])
    np.testing.assert_array_equal(first.areas, [123.5, 9.0])
    assert [a.dtype for a in (first.boxes, first.labels, first.crowd)] == [np.float32, np.int64, np.bool_]
    np.testing.assert_array_equal(second.labels, [2])
    np.testing.assert_array_equal(second.areas, [12.0])  # not written: width x height
    assert (len(empty), empty.boxes.shape, empty.xywh.shape, empty.labels.shape) == (0, (0, 4), (0, 4), (0,))


def test_many_boxes_keep_their_order_within_a_picture(tmp_path):
    document = copy.deepcopy(DOCUMENT)
    order = np.random.default_rng(0).permutation(900)
    document["annotations"] = [
        annotation(n + 1, (7, 0, 9)[k % 3], 5, [1, 1, 1 + k / 300, 2]) for n, k in enumerate(order)
    ]
    dataset = load_coco(write(tmp_path, document), "val")
    for index, image in enumerate(dataset.images):
        expected = [1 + k / 300 for k in order if k % 3 == index]
        assert image.xywh[:, 2].tolist() == expected


def test_round_trip_gives_the_original_ids_boxes_and_areas(tmp_path):
    dataset = load_coco(write(tmp_path / "one", DOCUMENT), "val")
    document = dataset.to_coco()
    assert [c["id"] for c in document["categories"]] == [0, 5, 90]
    assert [{k: i[k] for k in ("id", "file_name", "height", "width")} for i in document["images"]] == DOCUMENT["images"]
    assert document["annotations"] == [
        annotation(1, 7, 5, [10.5, 20.25, 30, 10], area=123.5, iscrowd=0),
        annotation(2, 7, 0, [0, 0, 60, 40], area=9.0, iscrowd=1),
        annotation(3, 0, 90, [1, 2, 3, 4], area=12.0, iscrowd=0),
    ]
    again = load_coco(write(tmp_path / "two", document), "val")
    assert again.to_coco() == document
    assert not again.problems


def test_pycocotools_reads_what_is_given_back(tmp_path):
    dataset = load_coco(write(tmp_path, DOCUMENT), "val")
    path = tmp_path / "clean.json"
    path.write_text(json.dumps(dataset.to_coco()), encoding="utf-8")
    reference = PycocoCOCO(path)
    for image in dataset.images:
        theirs = reference.loadAnns(reference.getAnnIds(imgIds=[image.id]))
        assert [a["bbox"] for a in theirs] == image.xywh.tolist()
        assert [a["category_id"] for a in theirs] == [dataset.classes.ids[label] for label in image.labels]
        assert reference.loadImgs([image.id])[0]["file_name"] == image.file_name


@pytest.mark.parametrize(
    ("box", "kind"),
    [
        ([5, 5, 0, 3], ProblemKind.NO_AREA),
        ([5, 5, 3, 0], ProblemKind.NO_AREA),
        ([0, 0, 0.0, 0.0], ProblemKind.NO_AREA),
        ([5, 5, 1e-12, 3], ProblemKind.NO_AREA),
        ([5, 5, -3, 3], ProblemKind.INVERTED),
        ([5, 5, 0, -3], ProblemKind.INVERTED),
        ([20, 5, 3, 3], ProblemKind.OUTSIDE),
        ([5, 30, 3, 3], ProblemKind.OUTSIDE),
        ([-3, 5, 3, 3], ProblemKind.OUTSIDE),
        ([5, -9, 3, 3], ProblemKind.OUTSIDE),
    ],
)
def test_unusable_boxes_are_dropped_and_counted(box, kind, tmp_path):
    dataset = load_coco(write(tmp_path, with_boxes([1, 1, 2, 2], box, [3, 3, 4, 4], box)), "val")
    np.testing.assert_array_equal(dataset.images[0].xywh, [[1, 1, 2, 2], [3, 3, 4, 4]])
    assert len(dataset.to_coco()["annotations"]) == 2
    assert len(dataset.problems) == 1
    assert dataset.problems.count(kind) == 2
    (line,) = dataset.problems.lines()
    assert line == f"2 {kind} (first: annotation 2, image 1, bbox {box})"


def test_boxes_beyond_the_picture_are_clipped_but_given_back_as_annotated(tmp_path):
    boxes = [[-5, -6, 10, 10], [15, 25, 50, 60], [-1e300, 0, 2e300, 1e308], [1, 1, 19.005, 2]]
    dataset = load_coco(write(tmp_path, with_boxes(*boxes)), "val")
    expected = [[0, 0, 5, 4], [15, 25, 20, 30], [0, 0, 20, 30], [1, 1, 20, 3]]
    np.testing.assert_array_equal(dataset.images[0].boxes, np.array(expected, np.float32))
    assert [a["bbox"] for a in dataset.to_coco()["annotations"]] == boxes
    assert dataset.problems.count(ProblemKind.BEYOND) == 3  # the last is no more than rounding


def test_annotations_given_twice_are_dropped_but_not_what_only_looks_alike(tmp_path):
    document = with_boxes([1, 1, 2, 2], [1, 1, 2, 2], [1, 1, 2, 3], [1, 1, 2, 2])
    document["categories"].append({"id": 2, "name": "other"})
    document["annotations"].append(annotation(5, 1, 2, [1, 1, 2, 2]))
    document["annotations"].append(annotation(6, 1, 1, [1, 1, 2, 2], iscrowd=1))
    dataset = load_coco(write(tmp_path, document), "val")
    assert dataset.problems.count(ProblemKind.DUPLICATE_BOX) == 2
    assert "first: annotation 2," in dataset.problems.lines()[0]
    np.testing.assert_array_equal(dataset.images[0].labels, [0, 0, 1, 0])


def test_annotation_ids_are_numbered_anew_and_faults_counted(tmp_path):
    document = with_boxes(*([i, 1, 2, 2] for i in range(6)))
    for entry, number in zip(document["annotations"], (0, 3, 3, 3, None, "five"), strict=True):
        entry["id"] = number
    dataset = load_coco(write(tmp_path, document), "val")
    assert [a["id"] for a in dataset.to_coco()["annotations"]] == [1, 2, 3, 4, 5, 6]
    assert dataset.problems.count(ProblemKind.ANNOTATION_ID_ZERO) == 1
    assert dataset.problems.count(ProblemKind.ANNOTATION_ID_TWICE) == 2
    assert dataset.problems.count(ProblemKind.ANNOTATION_ID_MISSING) == 2
    assert [problem.example for problem in dataset.problems.entries] == [
        "annotation at position 4",
        "annotation 0",
        "annotation 3",
    ]


def test_annotations_of_unlisted_images_are_dropped(tmp_path):
    document = with_boxes([1, 1, 2, 2])
    document["annotations"].append(annotation(2, 99, 1, [1, 1, -2, 2]))
    dataset = load_coco(write(tmp_path, document), "val")
    assert dataset.problems.lines() == [
        f"1 {ProblemKind.UNKNOWN_IMAGE} (first: annotation 2, image 99, bbox [1, 1, -2, 2])"
    ]


def test_images_listed_twice_and_files_used_twice(tmp_path):
    document = with_boxes([1, 1, 2, 2])
    document["images"] += [dict(document["images"][0]), {"id": 2, "file_name": "a.jpg", "height": 30, "width": 20}]
    dataset = load_coco(write(tmp_path, document), "val")
    assert [(image.id, len(image)) for image in dataset.images] == [(1, 1), (2, 0)]
    assert dataset.problems.count(ProblemKind.IMAGE_TWICE) == 1
    assert dataset.problems.count(ProblemKind.FILE_TWICE) == 1


def test_areas_missing_or_negative_are_computed(tmp_path):
    document = with_boxes([1, 1, 2, 3], [1, 1, 4, 5], [2, 2, 3, 3])
    document["annotations"][0]["area"] = None
    document["annotations"][1]["area"] = -20
    document["annotations"][2]["area"] = 0
    dataset = load_coco(write(tmp_path, document), "val")
    np.testing.assert_array_equal(dataset.images[0].areas, [6, 20, 0])
    assert dataset.problems.count(ProblemKind.NEGATIVE_AREA) == 1


box_numbers = st.one_of(st.integers(-40, 60), st.floats(-40, 60, width=32), st.sampled_from([0, 0.0, 20, 30, 1e-9]))


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 3), st.integers(1, 2), st.lists(box_numbers, min_size=4, max_size=4), st.booleans()),
        max_size=12,
    )
)
def test_columns_agree_with_a_plain_loop(rows, tmp_path_factory):
    sizes = {1: (30, 20), 2: (7, 50), 3: (1, 1)}
    document = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "height": h, "width": w} for i, (h, w) in sizes.items()],
        "annotations": [annotation(n + 1, i, c, b, iscrowd=int(crowd)) for n, (i, c, b, crowd) in enumerate(rows)],
        "categories": [{"id": 1, "name": "one"}, {"id": 2, "name": "two"}],
    }
    expected = {image: [] for image in sizes}
    seen = set()
    for image, category, box, crowd in rows:
        if image not in sizes:
            continue
        height, width = sizes[image]
        x, y, w, h = map(float, box)
        corners = [min(max(v, 0.0), m) for v, m in zip((x, y, x + w, y + h), (width, height) * 2, strict=True)]
        x0, y0, x1, y1 = np.array(corners, np.float32)
        key = (image, category, x, y, w, h, crowd)
        if w <= 0 or h <= 0 or x1 <= x0 or y1 <= y0 or key in seen:
            continue
        seen.add(key)
        expected[image].append(([x0, y0, x1, y1], category - 1, crowd))
    dataset = load_coco(write(tmp_path_factory.mktemp("loop"), document), "val")
    for image in dataset.images:
        found = list(zip(image.boxes.tolist(), image.labels.tolist(), image.crowd.tolist(), strict=True))
        assert found == expected[image.id]
    dropped = sum(p.count for p in dataset.problems.entries if p.kind is not ProblemKind.BEYOND)
    assert dropped == len(rows) - sum(map(len, expected.values()))


# What is refused.


def refused(root, document):
    with pytest.raises(DatasetError) as caught:
        load_coco(write(root, document), "val")
    message = str(caught.value)
    assert "instances_val.json" in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (changed("annotations", 1, bbox=...), "annotation 12 has no 'bbox'"),
        (changed("annotations", 1, image_id=...), "annotation 12 has no 'image_id'"),
        (changed("annotations", 1, id=..., category_id=...), "annotation at position 1 (from 0) has no 'category_id'"),
        (changed("images", 2, id=...), "image at position 2 (from 0) has no 'id'"),
        (changed("images", 2, file_name=...), "image 9 has no 'file_name'"),
        (changed("images", 2, width=...), "image 9 has no 'width'"),
        (changed("categories", 0, name=...), "category 90 has no 'name'"),
        (changed("annotations", 0, bbox=[1, 2, float("nan"), 4]), "got [1, 2, nan, 4] for annotation 11"),
        (changed("annotations", 0, bbox=[1, 2, float("inf"), 4]), "got [1, 2, inf, 4] for annotation 11"),
        (changed("annotations", 0, bbox=[1, 2, 10**400, 4]), "for annotation 11"),
        (changed("annotations", 0, bbox=[1, 2, 3]), "four finite numbers (x, y, width, height), got [1, 2, 3]"),
        (changed("annotations", 0, bbox=[1, 2, 3, 4, 5]), "for annotation 11"),
        (changed("annotations", 0, bbox=[1, 2, "3", 4]), "for annotation 11"),
        (changed("annotations", 0, bbox=[1, 2, True, 4]), "for annotation 11"),
        (changed("annotations", 0, bbox={"x": 1, "y": 2, "w": 3, "h": 4}), "for annotation 11"),
        (changed("annotations", 0, bbox=None), "got None for annotation 11"),
        (changed("annotations", 0, category_id=3), "one of the categories (0, 5, 90), got 3 for annotation 11"),
        (changed("annotations", 0, category_id="bee"), "a whole number, got 'bee' for annotation 11"),
        (changed("annotations", 0, category_id=True), "a whole number, got True for annotation 11"),
        (changed("annotations", 0, iscrowd=2), "0 or 1, got 2 for annotation 11"),
        (changed("annotations", 0, iscrowd="no"), "0 or 1, got 'no' for annotation 11"),
        (changed("annotations", 0, area=float("nan")), "a finite number, got nan for annotation 11"),
        (changed("annotations", 0, area="big"), "a finite number, got 'big' for annotation 11"),
        (changed("images", 1, height=0), "got [0, 20] for image 0"),
        (changed("images", 1, width=2.5), "a whole number, got 2.5 for image 0"),
        (changed("images", 1, id=2**70), "at most 64 bits"),
        (changed("images", 1, file_name=""), "a text, got '' for image 0"),
        (changed("images", 1, file_name=3), "a text, got 3 for image 0"),
        (changed("images", 1, file_name="../a.jpg"), "'../a.jpg'"),
        (changed("images", 1, id=7), "expected each image id once, got 7 for 'b.jpg' and for 'a.jpg'"),
        (changed("categories", 1, id=90), "expected each category id once, got 90 more than once"),
        ({k: v for k, v in DOCUMENT.items() if k != "annotations"}, "got no 'annotations'"),
        ({k: v for k, v in DOCUMENT.items() if k != "images"}, "got no 'images'"),
        ({k: v for k, v in DOCUMENT.items() if k != "categories"}, "got no 'categories'"),
        ({**DOCUMENT, "images": []}, "at least one image"),
        ({**DOCUMENT, "categories": []}, "at least one category"),
        ({**DOCUMENT, "images": {"7": {}}}, "expected 'images' to be a list, got a value of type dict"),
        ({**DOCUMENT, "annotations": [[1, 2]]}, "to hold objects, got a value of type list at position 0"),
        ([], "a list alone is a file of results"),
        ("3", "expected a JSON object, got a value of type int"),
        ("", "line 1 column 1"),
        ('{"images": [1,]}', "line 1 column"),
        ("[" * 100_000, "broken file"),
    ],
)
def test_what_cannot_be_mended_is_refused_by_name(document, said, tmp_path):
    assert said in refused(tmp_path, document)


def test_text_that_is_not_utf8_is_refused_and_a_mark_at_its_start_is_not(tmp_path):
    path = write(tmp_path, DOCUMENT) / "annotations/instances_val.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(DOCUMENT).encode())
    assert len(load_coco(tmp_path, "val")) == 3
    path.write_bytes(json.dumps(DOCUMENT).encode("utf-16"))
    with pytest.raises(DatasetError, match="UTF-8"):
        load_coco(tmp_path, "val")


def test_whole_numbers_may_be_written_as_floats(tmp_path):
    document = changed("annotations", 0, image_id=0.0, category_id=90.0, iscrowd=False)
    assert (
        load_coco(write(tmp_path, document), "val").to_coco()
        == load_coco(write(tmp_path / "b", DOCUMENT), "val").to_coco()
    )


def test_a_list_of_test_pictures_has_no_annotations(tmp_path):
    (tmp_path / "annotations").mkdir()
    document = {k: v for k, v in DOCUMENT.items() if k != "annotations"}
    (tmp_path / "annotations/image_info_test-dev2017.json").write_text(json.dumps(document), encoding="utf-8")
    dataset = load_coco(tmp_path, "test-dev2017")
    assert len(dataset) == 3
    assert not dataset.has_annotations
    assert dataset.to_coco()["annotations"] == []
    assert not load_coco(write(tmp_path, {**DOCUMENT, "annotations": []}), "val").has_annotations


def test_roboflows_layout(tmp_path):
    (tmp_path / "valid").mkdir()
    (tmp_path / "valid/_annotations.coco.json").write_text(json.dumps(DOCUMENT), encoding="utf-8")
    assert load_coco(str(tmp_path), "valid").images[0].path == tmp_path / "valid/b.jpg"


# The pictures themselves.


def test_missing_files_are_told_when_asked_for(tmp_path):
    dataset = load_coco(write(tmp_path, DOCUMENT), "val")
    assert dataset.missing_files() == [tmp_path / "val" / name for name in ("b.jpg", "a.jpg", "empty.jpg")]
    (tmp_path / "val").mkdir()
    (tmp_path / "val/a.jpg").touch()
    assert [path.name for path in dataset.missing_files()] == ["b.jpg", "empty.jpg"]


def test_a_picture_of_another_size_than_annotated_is_named(tmp_path):
    image, *_ = load_coco(write(tmp_path, DOCUMENT), "val").images
    check_size(image, np.zeros((40, 60, 3), np.uint8))
    with pytest.raises(DatasetError, match=r"b\.jpg: expected 40 x 60 .* got 60 x 40: .*EXIF"):
        check_size(image, np.zeros((60, 40, 3), np.uint8))
    with pytest.raises(DatasetError, match=r"b\.jpg: expected 40 x 60 .* got 41 x 60: .*version"):
        check_size(image, np.zeros((41, 60, 3), np.uint8))


def test_boxes_fit_the_picture_as_it_is_read(tmp_path):
    image, *_ = load_coco(write(tmp_path, DOCUMENT), "val").images
    image.path.parent.mkdir()
    image.path.write_bytes(cv2.imencode(".jpg", np.zeros((40, 60, 3), np.uint8))[1].tobytes())
    check_size(image, read_image(image.path))
