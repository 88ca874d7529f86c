import pytest
from hypothesis import given
from hypothesis import strategies as st

from cornernet.errors import WeightsError
from cornernet.structures.classes import COCO
from cornernet.weights.record import MMDETECTION, PRINCETON, Preprocessing
from cornernet.weights.recorded import read_classes, read_preprocessing

BGR = Preprocessing(channel_order="bgr", mean=(1.5, 2, 3), std=(4, 5, 6))
RGB = Preprocessing(channel_order="rgb", mean=(1.5, 2, 3), std=(4, 5, 6))


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("config", "img_norm_cfg = dict(\n    mean=[1.5, 2, 3], std=[4, 5, 6], to_rgb=True)\nmodel = dict()", RGB),
        ("config", "img_norm_cfg = dict(mean=[1.5, 2, 3], std=[4, 5, 6], to_rgb=False)", BGR),
        ("config", "img_norm_cfg = dict(mean=[1.5, 2, 3], std=[4, 5, 6])", RGB),
        ("cfg", "data_preprocessor = dict(bgr_to_rgb=True, mean=[1.5, 2, 3], std=[4, 5, 6], type='D')", RGB),
        ("cfg", "data_preprocessor = dict(bgr_to_rgb=False, mean=(1.5, 2, 3), std=(4, 5, 6), type='D')", BGR),
        ("cfg", "data_preprocessor = dict(mean=(1.5, 2, 3), std=(4, 5, 6), type='D')", BGR),
        ("cfg", "model = dict(data_preprocessor=dict(mean=[1.5, 2, 3], std=[4, 5, 6], type='D'), b=1)", BGR),
        ("cfg", "model = {'data_preprocessor': {'mean': [1.5, 2, 3], 'std': [4, 5, 6], 'bgr_to_rgb': True}}", RGB),
        (
            "cfg",
            "data_preprocessor = dict(mean=[f(), 2], std=[4])\nimg_norm_cfg = dict(mean=[1.5, 2, 3], std=[4, 5, 6])",
            RGB,
        ),
        # nothing to be had: the project's own values
        ("cfg", "model = dict(type='CornerNet')", MMDETECTION),
        ("cfg", "pad = dict(mean=[0, 0, 0], std=[1, 1, 1])", MMDETECTION),
        ("cfg", "this is (not Python", MMDETECTION),
        ("cfg", "", MMDETECTION),
        ("cfg", 3, MMDETECTION),
        ("cfg", "x = " + "(" * 3000 + ")" * 3000, MMDETECTION),
        ("cfg", "img_norm_cfg = dict(mean=[1.5, 2, 3], std=[4, 5, 6])" + " " * 2_000_000, MMDETECTION),
        ("other", "img_norm_cfg = dict(mean=[1.5, 2, 3], std=[4, 5, 6])", MMDETECTION),
    ],
)
def test_the_configs_text_gives_the_preprocessing(key: str, text: object, expected: Preprocessing) -> None:
    assert read_preprocessing("mmdetection", {key: text}) == expected


def test_the_configs_text_is_never_run() -> None:
    ran: list[int] = []
    text = "data_preprocessor = dict(mean=ran.append(1), std=__import__('os').abort(), bgr_to_rgb=True)"
    assert read_preprocessing("mmdetection", {"cfg": text, "ran": ran}) == MMDETECTION
    assert not ran


@given(text=st.text(max_size=60))
def test_any_text_gives_a_preprocessing(text: str) -> None:
    assert isinstance(read_preprocessing("mmdetection", {"cfg": text}), Preprocessing)


@pytest.mark.parametrize(("mean", "std"), [("[1, 2]", "[1, 2, 3]"), ("None", "None"), ("['a', 'b', 'c']", "[1, 2, 3]")])
def test_a_mean_of_another_length_is_refused(mean: str, std: str) -> None:
    with pytest.raises(WeightsError, match="three numbers"):
        read_preprocessing("mmdetection", {"cfg": f"data_preprocessor = dict(mean={mean}, std={std})"})


def test_princetons_files_carry_no_record() -> None:
    assert read_preprocessing("princeton", {}) == PRINCETON
    assert PRINCETON.channel_order == "bgr"
    assert PRINCETON.border == "black"
    assert read_preprocessing("cornernet", {}) == MMDETECTION


@pytest.mark.parametrize(
    ("meta", "count", "names"),
    [
        ({"CLASSES": ("cat", "dog")}, 2, ("cat", "dog")),
        ({"CLASSES": ["cat", "dog"]}, 2, ("cat", "dog")),
        ({"CLASSES": "cat"}, 1, ("cat",)),
        ({"dataset_meta": {"classes": ("cat", "dog")}}, 2, ("cat", "dog")),
        ({"dataset_meta": {"CLASSES": ("cat", "dog"), "PALETTE": [(1, 2, 3)]}}, 2, ("cat", "dog")),
        ({"dataset_meta": {"classes": ("cat", "dog")}, "CLASSES": ("other", "one")}, 2, ("cat", "dog")),
        ({"CLASSES": ("cat", "dog")}, 4, ("cat", "dog", "class_2", "class_3")),
        ({"CLASSES": None}, 2, ("class_0", "class_1")),
        ({"CLASSES": (1, 2)}, 2, ("class_0", "class_1")),
        ({"dataset_meta": 3}, 1, ("class_0",)),
        ({}, 2, ("class_0", "class_1")),
    ],
)
def test_class_names_are_found(meta: dict[str, object], count: int, names: tuple[str, ...]) -> None:
    classes = read_classes(meta, count)
    assert classes.names == names
    assert classes.ids == tuple(range(1, count + 1))


def test_cocos_names_bring_cocos_ids() -> None:
    assert read_classes({"CLASSES": list(COCO.names)}, 80) == COCO
    assert read_classes({}, 80) == COCO
    named = read_classes({"CLASSES": ("cat", "dog")}, 80)
    assert named.names[:3] == ("cat", "dog", "class_2")
    assert named.ids[-1] == 80


def test_more_names_than_heatmaps_are_refused() -> None:
    with pytest.raises(WeightsError, match=r"at most 1 class names.*got 2"):
        read_classes({"CLASSES": ("cat", "dog")}, 1)
