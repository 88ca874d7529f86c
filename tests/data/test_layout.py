"""Which splits a folder holds, and names that must not lead out of it."""

from __future__ import annotations

import pytest

from cornernet.data.layout import find_split, find_splits, picture_paths
from cornernet.errors import DatasetError


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def link(path, target):
    try:
        path.symlink_to(target, target_is_directory=target.is_dir())
    except OSError:
        pytest.skip("this system makes no links")


def test_all_layouts_are_found_side_by_side(tmp_path):
    instances = touch(tmp_path / "annotations/instances_val2017.json")
    plain = touch(tmp_path / "annotations/mine.json")
    listed = touch(tmp_path / "annotations/image_info_test-dev2017.json")
    roboflow = touch(tmp_path / "valid/_annotations.coco.json")
    for other in ("captions_val2017", "person_keypoints_val2017", "stuff_val2017", "panoptic_val2017"):
        touch(tmp_path / f"annotations/{other}.json")
    (tmp_path / "test2017").mkdir()
    found = find_splits(tmp_path)
    assert list(found) == ["mine", "test-dev2017", "val2017", "valid"]
    assert (found["val2017"].annotations, found["val2017"].pictures) == (instances, tmp_path / "val2017")
    assert found["mine"].annotations == plain
    assert (found["test-dev2017"].annotations, found["test-dev2017"].pictures) == (listed, tmp_path / "test2017")
    assert [files.without_boxes for files in found.values()] == [False, True, False, False]
    assert (found["valid"].annotations, found["valid"].pictures) == (roboflow, tmp_path / "valid")


def test_boxes_go_before_plain_names_before_lists(tmp_path):
    listed = touch(tmp_path / "annotations/image_info_a.json")
    assert find_split(tmp_path, "a").annotations == listed
    plain = touch(tmp_path / "annotations/a.json")
    assert find_split(tmp_path, "a").annotations == plain
    instances = touch(tmp_path / "annotations/instances_a.json")
    touch(tmp_path / "a/_annotations.coco.json")
    assert find_split(tmp_path, "a").annotations == instances


def test_pictures_may_lie_under_images(tmp_path):
    touch(tmp_path / "annotations/val.json")
    (tmp_path / "images/val").mkdir(parents=True)
    assert find_split(tmp_path, "val").pictures == tmp_path / "images/val"
    (tmp_path / "val").mkdir()
    assert find_split(tmp_path, "val").pictures == tmp_path / "val"


def test_a_missing_split_is_answered_with_those_there_are(tmp_path):
    with pytest.raises(DatasetError, match=r"found none at all: put them at annotations/instances_val\.json"):
        find_split(tmp_path, "val")
    touch(tmp_path / "annotations/instances_train.json")
    touch(tmp_path / "test/_annotations.coco.json")
    for asked in ("val", "../annotations/instances_train"):
        with pytest.raises(DatasetError, match="found test, train: name one of these"):
            find_split(tmp_path, asked)
    for root, said in ((tmp_path / "gone", "nothing there"), (touch(tmp_path / "file"), "a file")):
        with pytest.raises(DatasetError, match=said):
            find_split(root, "val")


def test_names_become_paths_whichever_way_their_slashes_lean(tmp_path):
    names = ["a.jpg", "sub/b.jpg", "sub\\c.jpg", "./d.jpg", "two..dots.jpg", "..e.jpg", "12:30.jpg", "sub/deep\\f.jpg"]
    expected = ["a.jpg", "sub/b.jpg", "sub/c.jpg", "d.jpg", "two..dots.jpg", "..e.jpg", "12:30.jpg", "sub/deep/f.jpg"]
    paths = picture_paths(names, tmp_path / "val", tmp_path, "a.json")
    assert [path.relative_to(tmp_path / "val").as_posix() for path in paths] == expected


@pytest.mark.parametrize(
    "name",
    [
        *("../a.jpg", "sub/../../a.jpg", "..\\a.jpg", "/etc/a.jpg", "\\a.jpg", "C:\\a.jpg", "C:a.jpg"),
        *("\\\\host\\d\\a.jpg", "", ".", "..", "a\0.jpg", "sub/.."),
    ],
)
def test_names_that_lead_out_are_refused(name, tmp_path):
    with pytest.raises(DatasetError, match=r"^a\.json: expected file names inside") as caught:
        picture_paths(["fine.jpg", name], tmp_path / "val", tmp_path, "a.json")
    assert repr(name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_links_out_of_the_dataset_are_refused_and_others_allowed(tmp_path):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    touch(root / "val/plain.jpg")
    touch(root / "train/other.jpg")
    secret = touch(elsewhere / "secret.jpg")
    link(root / "val/inside.jpg", root / "train/other.jpg")
    link(root / "val/outside.jpg", secret)
    link(root / "val/dangling.jpg", elsewhere / "gone.jpg")
    link(root / "val/folder", elsewhere)
    names = ["plain.jpg", "inside.jpg", "missing.jpg"]
    assert [path.name for path in picture_paths(names, root / "val", root, "a.json")] == names
    for name in ("outside.jpg", "dangling.jpg", "folder/secret.jpg"):
        with pytest.raises(DatasetError, match="a link out of it") as caught:
            picture_paths([*names, name], root / "val", root, "a.json")
        assert repr(name) in str(caught.value)


def test_the_folder_of_pictures_may_itself_be_a_link(tmp_path):
    root, store = tmp_path / "root", tmp_path / "store"
    touch(store / "a.jpg")
    root.mkdir()
    link(root / "val", store)
    (path,) = picture_paths(["a.jpg"], root / "val", root, "a.json")
    assert path.is_file()
