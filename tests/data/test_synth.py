"""Drawn datasets: the same everywhere, boxes exact, and what the options promise."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from cornernet.data import synth
from cornernet.data.coco import load_coco
from cornernet.data.images import read_image
from cornernet.data.synth import SHAPES, ShapesConfig, draw_scene, make_shapes
from cornernet.errors import ConfigError, DatasetError

SMALL = ShapesConfig(train=12, val=3, test=0, size=64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_shapes(tmp_path_factory.mktemp("synth") / "shapes", SMALL)


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_pixels_are_those_of_every_machine():
    digest = hashlib.sha256()
    for split in ("train", "val", "test"):
        scene = draw_scene(ShapesConfig(), split, 1)
        digest.update(scene.pixels.tobytes() + scene.boxes().tobytes() + scene.labels.tobytes())
    assert digest.hexdigest()[:16] == "287ebbf6efcfbdd0"


def test_the_same_options_write_the_same_bytes(folder, tmp_path):
    assert files(make_shapes(tmp_path / "again", SMALL)) == files(folder)


def test_a_picture_depends_on_seed_split_and_number_alone():
    first = draw_scene(SMALL, "train", 5)
    assert np.array_equal(first.pixels, draw_scene(ShapesConfig(train=99, val=0, size=64), "train", 5).pixels)
    others = [draw_scene(SMALL, "val", 5), draw_scene(SMALL, "train", 6)]
    others.append(draw_scene(ShapesConfig(size=64, seed=1), "train", 5))
    assert not any(np.array_equal(first.pixels, other.pixels) for other in others)


def test_what_is_written_is_what_was_drawn(folder):
    for split, count in SMALL.counts().items():
        dataset = load_coco(folder, split)
        assert (len(dataset), dataset.classes, len(dataset.problems)) == (count, SHAPES, 0)
        for number, image in enumerate(dataset.images, start=1):
            scene = draw_scene(SMALL, split, number)
            assert np.array_equal(read_image(image.path), scene.pixels)
            assert image.xywh.tolist() == scene.boxes().tolist()
            assert image.labels.tolist() == scene.labels.tolist()
            assert image.areas.tolist() == scene.areas().tolist()
    assert sorted(p.name for p in folder.iterdir()) == ["annotations", "train", "val"]


def test_each_box_holds_its_object_exactly_and_most_of_it_is_seen():
    covered = 0
    for number in range(1, 60):
        scene = draw_scene(ShapesConfig(), "train", number)
        for k, ((x, y, w, h), label) in enumerate(zip(scene.boxes().tolist(), scene.labels.tolist(), strict=True)):
            seen = scene.owner == k
            inside = seen[y : y + h, x : x + w]
            assert inside.sum() == seen.sum()
            assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))
            if w == h:  # nothing of its outline is covered: the whole shape has this side
                whole = max(synth._mask(label, w, turns).sum() for turns in range(4))
                assert whole >= seen.sum() >= 0.6 * whole
                covered += bool(seen.sum() < whole)
    assert covered > 5


@pytest.mark.parametrize("side", [6, 7, 24, 37])
@pytest.mark.parametrize("label", range(3))
@pytest.mark.parametrize("turns", range(4))
def test_shapes_touch_all_four_edges(label, side, turns):
    mask = synth._mask(label, side, turns)
    assert mask.shape == (side, side)
    assert all(edge.any() for edge in (mask[0], mask[-1], mask[:, 0], mask[:, -1]))
    share = mask.mean()
    assert share == pytest.approx({0: np.pi / 4, 1: 1.0, 2: 0.5}[label], abs=1.2 / side)


def test_objects_stand_out_from_the_background():
    for number in range(1, 40):
        scene = draw_scene(ShapesConfig(), "train", number)
        for k in range(len(scene.labels)):
            object_color = scene.pixels[scene.owner == k].mean(axis=0)
            around = scene.pixels[scene.owner != k].reshape(-1, 3).mean(axis=0)
            assert np.abs(object_color - around).max() > 20


def test_the_share_without_objects_is_the_one_asked_for():
    def counts(**options):
        return [len(draw_scene(ShapesConfig(size=32, **options), "train", n).labels) for n in range(1, 201)]

    assert set(counts(empty=1.0)) == {0}
    assert min(counts(empty=0.0)) == 1
    assert set(counts(empty=0.0, max_objects=1)) == {1}
    some = counts(empty=0.3, max_objects=6)
    assert 0.2 < some.count(0) / 200 < 0.4
    assert max(some) == 6


def test_every_class_is_drawn_about_as_often():
    labels = np.concatenate([draw_scene(ShapesConfig(size=32), "train", n).labels for n in range(1, 301)])
    assert np.bincount(labels, minlength=3).min() > len(labels) * 0.28


@pytest.mark.parametrize(
    "wrong", [{"train": 0}, {"val": -1}, {"size": 31}, {"max_objects": 0}, {"empty": 1.1}, {"empty": float("nan")},
              {"seed": -1}],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(wrong):
    with pytest.raises(ConfigError, match=f"expected {next(iter(wrong))} to be"):
        ShapesConfig(**wrong)


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(DatasetError, match="new or empty folder"):
        make_shapes(tmp_path, SMALL)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_filled(tmp_path):
    make_shapes(tmp_path, ShapesConfig(train=1, val=0, test=0, size=32))
    assert len(load_coco(tmp_path, "train")) == 1


def test_nothing_is_left_when_it_stops_half_way(tmp_path):
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_shapes(tmp_path / "shapes", SMALL, step=stop)
    assert list(tmp_path.iterdir()) == []


def test_whole_numbers_are_written_as_such(folder):
    document = json.loads((folder / "annotations/instances_train.json").read_text(encoding="utf-8"))
    assert all(type(v) is int for a in document["annotations"] for v in (*a["bbox"], a["area"]))
    assert [c["id"] for c in document["categories"]] == [1, 2, 3]
