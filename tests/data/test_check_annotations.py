"""Annotations read to the end: every faulty entry is found, and what is found agrees with what `load_coco` does."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cornernet.data.check_annotations import read_split
from cornernet.data.coco import load_coco
from cornernet.data.findings import Fault, Severity
from cornernet.data.layout import find_split
from cornernet.data.problems import ProblemKind
from cornernet.errors import DatasetError


def clean():
    return {
        "images": [{"id": i, "file_name": f"{i}.jpg", "height": 30, "width": 20} for i in range(1, 7)],
        "annotations": [
            {"id": 10 + i, "image_id": i, "category_id": 1 + i % 2, "bbox": [i, 1, 5, 6]} for i in range(1, 7)
        ],
        "categories": [{"id": 1, "name": "ant"}, {"id": 2, "name": "bee"}],
    }


def read(folder, document):
    path = folder / "annotations" / "instances_val.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return read_split(folder, find_split(folder, "val"))


def test_nothing_is_found_in_a_clean_file(tmp_path):
    dataset, findings = read(tmp_path, clean())
    assert findings == []
    assert dataset.to_coco() == load_coco(tmp_path, "val").to_coco()


def test_every_faulty_entry_is_found_and_the_rest_is_read(tmp_path):
    document = clean()
    document["annotations"][0]["category_id"] = 9
    document["annotations"][1]["bbox"] = [1, 2, float("inf"), 4]
    del document["annotations"][2]["image_id"]
    document["annotations"][3]["bbox"] = [1, 1, 0, 5]
    del document["annotations"][4]["id"]
    document["annotations"][4]["bbox"] = "large"
    document["annotations"].append(7)
    del document["images"][5]["height"]  # its annotation goes with it, without a finding of its own
    document["categories"].append({"id": 3})
    dataset, findings = read(tmp_path, document)
    assert [(f.kind, f.image_id, f.annotation_id) for f in findings] == [
        (Fault.UNUSABLE, None, None),  # category 3
        (Fault.UNUSABLE, 6, None),
        (Fault.UNUSABLE, None, None),  # the number among the annotations
        (Fault.UNUSABLE, 1, 11),
        (Fault.UNUSABLE, 2, 12),
        (Fault.UNUSABLE, None, 13),
        (Fault.UNUSABLE, 5, None),
        (ProblemKind.NO_AREA, 4, 14),
    ]
    messages = [f.message for f in findings]
    assert messages[0] == "category 3 has no 'name'"
    assert messages[1] == "image 6 has no 'height'"
    assert "at position 6" in messages[2]
    assert "for annotation 12" in messages[4]
    assert "at position 4 (from 0)" in messages[6]
    assert findings[3].file.endswith("1.jpg")
    assert [image.id for image in dataset.images] == [1, 2, 3, 4, 5]
    assert sum(map(len, dataset.images)) == 0


def test_each_case_of_what_is_mended_is_found(tmp_path):
    document = clean()
    for entry in document["annotations"][1:4]:
        entry["bbox"] = [25, 5, 3, 3]
    document["annotations"][5]["id"] = document["annotations"][4]["id"]
    document["images"].append({**document["images"][0], "id": 8})
    dataset, findings = read(tmp_path, document)
    assert [(f.kind, f.image_id, f.annotation_id) for f in findings] == [
        (ProblemKind.FILE_TWICE, 8, None),
        *((ProblemKind.OUTSIDE, i, 10 + i) for i in (2, 3, 4)),
        (ProblemKind.ANNOTATION_ID_TWICE, 6, 15),
    ]
    assert all(f.severity is Severity.WARNING for f in findings)
    assert findings[1].message == "annotation 12, image 2, bbox [25, 5, 3, 3]"
    assert findings[1].file == str(tmp_path / "val" / "2.jpg")
    assert dataset.problems.count(ProblemKind.OUTSIDE) == 3


def test_ids_that_stand_for_two_things(tmp_path):
    document = clean()
    document["categories"].append({"id": 2, "name": "wasp"})
    document["images"].append({"id": 3, "file_name": "other.jpg", "height": 30, "width": 20})
    dataset, findings = read(tmp_path, document)
    assert [f.message for f in findings] == [
        "expected each category id once, got 2 for 'bee' and for 'wasp'",
        "expected each image id once, got 3 for '3.jpg' and for 'other.jpg'",
    ]
    assert (dataset.classes.names, len(dataset)) == (("ant", "bee"), 6)


def test_names_that_lead_out_are_all_found(tmp_path):
    document = clean()
    for i in (1, 4):
        document["images"][i]["file_name"] = f"../{i}.jpg"
    dataset, findings = read(tmp_path, document)
    assert [(f.kind, f.image_id, f.file) for f in findings] == [
        (Fault.UNUSABLE, 2, "../1.jpg"),
        (Fault.UNUSABLE, 5, "../4.jpg"),
    ]
    assert len(dataset) == 4


@pytest.mark.parametrize(
    ("document", "words"),
    [("{", "broken file"), ("[]", "a list alone"), ({}, "no 'categories'"),
     ({**clean(), "categories": []}, "at least one category"), ({**clean(), "images": []}, "at least one image"),
     ({**clean(), "images": 5}, "'images' to be a list")],
)  # fmt: skip
def test_what_leaves_nothing_is_one_error(document, words, tmp_path):
    dataset, findings = read(tmp_path, document)
    assert dataset is None
    (finding,) = findings
    assert words in finding.message
    assert "\n" not in finding.message


def test_without_annotations_the_pictures_are_still_read(tmp_path):
    document = clean()
    del document["annotations"]
    dataset, findings = read(tmp_path, document)
    assert len(dataset) == 6
    assert [f.kind for f in findings] == [Fault.UNUSABLE]


BOXES = ([], [1, 1, 0, 4], [25, 1, 2, 2], [-3, 1, 9, 9], [1, 1, -2, 2], [1, 1, 2, "3"], [1, 1, 5, 6])
VALUES = st.sampled_from([None, -1, 0, 1, 2, 99, 2.0, 2.5, "x", "../x.jpg", "1.jpg", "", True, 1e400, *BOXES])
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["images", "annotations", "annotations", "categories"]),
        st.integers(0, 5),
        st.sampled_from(["id", "image_id", "category_id", "bbox", "file_name", "height", "name", "area", "iscrowd"]),
        st.one_of(VALUES, st.just(...)),
    ),
    max_size=4,
)


@settings(max_examples=250, deadline=None)
@given(changes=CHANGES)
def test_findings_agree_with_loading(changes, tmp_path_factory):
    document = copy.deepcopy(clean())
    for key, position, name, value in changes:
        entry = document[key][position % len(document[key])]
        if value is ...:
            entry.pop(name, None)
        else:
            entry[name] = value
    folder = tmp_path_factory.mktemp("any")
    dataset, findings = read(folder, document)
    refused = any(f.severity is Severity.ERROR for f in findings)
    try:
        loaded = load_coco(folder, "val")
    except DatasetError:
        assert refused
    else:
        assert not refused
        assert dataset.to_coco() == loaded.to_coco()
        for kind in ProblemKind:
            assert sum(f.kind is kind for f in findings) == loaded.problems.count(kind)
