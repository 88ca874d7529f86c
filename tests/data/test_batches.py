"""What an epoch holds and that it repeats: in any number of workers and ranks, begun anywhere, and in its errors."""

import json
import pickle
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

from cornernet.data.augment import AugmentConfig
from cornernet.data.batches import EpochSampler, TrainingLoader, TrainingPictures, collate
from cornernet.data.coco import load_coco
from cornernet.data.synth import ShapesConfig, make_shapes
from cornernet.errors import ConfigError, DatasetError, ImageError
from synthetic import synthetic_image

SMALL = AugmentConfig(size=(63, 95), border=16)
MEAN = (123.675, 116.28, 103.53)


def write_split(root, sizes, boxes, split="train"):
    """A dataset of pictures of these sizes; `boxes` lists (x, y, w, h, category, crowd) for each picture."""
    (root / split).mkdir(parents=True)
    (root / "annotations").mkdir(exist_ok=True)
    images, annotations = [], []
    for image_id, ((height, width), rows) in enumerate(zip(sizes, boxes, strict=True), start=10):
        name = f"{image_id}.png"
        cv2.imwrite(str(root / split / name), synthetic_image(height, width, image_id))
        images.append({"id": image_id, "file_name": name, "height": height, "width": width})
        for *box, category, crowd in rows:
            ids = {"id": len(annotations) + 1, "image_id": image_id, "category_id": category, "iscrowd": crowd}
            annotations.append({**ids, "bbox": box})
    categories = [{"id": 3, "name": "a"}, {"id": 7, "name": "b"}]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations" / f"{split}.json").write_text(json.dumps(document), encoding="utf-8")
    return load_coco(root, split)


@pytest.fixture
def dataset(tmp_path):
    """Nine pictures: odd sizes, one without boxes, one with a crowd alone, one with 300 boxes."""
    sizes = [(40, 60), (97, 131), (200, 33), (1, 1), (1, 300), (64, 64), (80, 80), (120, 120), (50, 70)]
    many = [(x * 5, y * 7, 5, 7, 3, 0) for x in range(20) for y in range(15)]
    boxes = [[(5, 5, 20, 30, 3, 0), (30, 2, 25, 30, 7, 0)] for _ in sizes]
    boxes[2] = [(0, 0, 33, 200, 7, 0)]
    boxes[3] = [(0, 0, 1, 1, 3, 0)]
    boxes[4] = [(298, 0, 2, 1, 7, 0)]
    boxes[5] = []
    boxes[6] = [(0, 0, 80, 80, 3, 1)]
    boxes[7] = many
    boxes[8] = [(0, 0, 70, 50, 3, 1), (60, 40, 10, 10, 7, 0)]
    return write_split(tmp_path, sizes, boxes)


def pictures_of(dataset, config=SMALL, seed=3, **options):
    return TrainingPictures(dataset, config, seed=seed, border_colour=MEAN, **options)


def assert_same(first, second):
    assert vars(first).keys() == vars(second).keys()
    for name, value in vars(first).items():
        other = getattr(second, name)
        assert torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other, name


class TestSamples:
    def test_contents(self, dataset):
        pictures = pictures_of(dataset)
        assert len(pictures) == 7
        for epoch in range(8):
            for index in range(len(pictures)):
                sample = pictures[epoch, index]
                annotated = dataset.images[[0, 1, 2, 3, 4, 7, 8][index]]
                assert (sample.name, sample.image_id) == (str(annotated.path), annotated.id)
                assert sample.image.shape == (63, 95, 3)
                assert sample.image.dtype == torch.uint8
                assert sample.boxes.dtype == torch.float32
                assert sample.boxes.shape == (len(sample.labels), 4)
                assert sample.labels.dtype == torch.int64
                assert len(sample.labels) >= 1
                assert set(sample.labels.tolist()) <= set(annotated.labels[~annotated.crowd].tolist())
                assert (sample.boxes[:, 2:] > sample.boxes[:, :2]).all()
                assert (sample.boxes >= 0).all()
                assert (sample.boxes <= torch.tensor([95, 63, 95, 63])).all()
                assert sample.visible.shape == (4,)
                assert sample.colour.shape == (8,)
                x0, y0, x1, y1 = sample.visible.tolist()
                outside = torch.ones(63, 95, dtype=torch.bool)
                outside[max(y0 - 1, 0) : y1 + 1, max(x0 - 1, 0) : x1 + 1] = False  # the last pixels are mixed
                assert (sample.image[outside] == torch.tensor([124, 116, 104])).all()

    def test_pixels_are_the_pictures(self, dataset):
        plain = AugmentConfig(size=(97, 131), ratios=(1.0,), border=1000, flip=0)
        pictures = pictures_of(dataset, plain)
        rgb = synthetic_image(97, 131, 11)[..., ::-1]
        sample = pictures[0, 1]
        x0, y0, x1, y1 = sample.visible.tolist()
        left, top = (131 - x1 if x0 == 0 else -x0), (97 - y1 if y0 == 0 else -y0)
        expected = rgb[max(top, 0) : max(top, 0) + y1 - y0, max(left, 0) : max(left, 0) + x1 - x0]
        np.testing.assert_array_equal(sample.image[y0:y1, x0:x1].numpy(), expected)

    def test_keys_and_seed_decide(self, dataset):
        first, second = pictures_of(dataset), pictures_of(dataset)
        for key in [(0, 0), (5, 1), (0, 0)]:
            assert_same(first[key], second[key])
        for other in (first[1, 1], first[0, 0], pictures_of(dataset, seed=4)[0, 1]):
            assert not torch.equal(other.colour, first[0, 1].colour)

    def test_without_boxes(self, dataset):
        kept = pictures_of(dataset, keep_empty=True)
        assert len(kept) == 9
        for index in (5, 6):  # a crowd counts as nothing
            sample = kept[0, index]
            assert sample.boxes.shape == (0, 4)
            assert sample.labels.shape == (0,)

    def test_nothing_left(self, tmp_path):
        empty = write_split(tmp_path, [(20, 20)] * 2, [[], [(0, 0, 9, 9, 3, 1)]])
        with pytest.raises(DatasetError, match="with boxes in split 'train', got 2 without") as error:
            pictures_of(empty)
        assert "\n" not in str(error.value)
        assert len(pictures_of(empty, keep_empty=True)) == 2

    def test_wrong_size(self, dataset):
        path = dataset.images[1].path
        cv2.imwrite(str(path), synthetic_image(131, 97))
        with pytest.raises(DatasetError, match="EXIF"):
            pictures_of(dataset)[0, 1]

    def test_annotated(self, dataset):
        image = pictures_of(dataset).annotated(6)
        assert (image.id, image.height, image.width) == (18, 50, 70)
        assert image.boxes.tolist() == [[60, 40, 70, 50]]
        assert image.xywh.tolist() == [[60, 40, 10, 10]]
        assert image.areas.tolist() == [100]

    def test_refuses_a_negative_seed(self, dataset):
        with pytest.raises(ConfigError, match="seed"):
            pictures_of(dataset, seed=-1)


class TestBatches:
    def test_collate(self, dataset):
        pictures = pictures_of(dataset, keep_empty=True)
        samples = [pictures[0, index] for index in (1, 5, 7)]
        batch = collate(samples)
        assert len(batch) == 3
        for index, sample in enumerate(samples):
            own = batch.image_index == index
            assert torch.equal(batch.images[index], sample.image)
            assert torch.equal(batch.boxes[own], sample.boxes)
            assert torch.equal(batch.labels[own], sample.labels)
            assert torch.equal(batch.visible[index], sample.visible)
            assert torch.equal(batch.colour[index], sample.colour)
            assert (batch.names[index], batch.image_ids[index]) == (sample.name, sample.image_id)

    def test_no_boxes_at_all(self, dataset):
        batch = collate([pictures_of(dataset, keep_empty=True)[0, 5]])
        assert batch.boxes.shape == (0, 4)
        assert batch.image_index.shape == (0,)
        assert batch.image_index.dtype == torch.int64

    def test_moves(self, dataset):
        batch = collate([pictures_of(dataset)[0, 0]])
        moved = batch.to("meta")
        assert all(v.is_meta for v in vars(moved).values() if isinstance(v, torch.Tensor))
        assert moved.names == batch.names
        assert_same(batch.to("cpu"), batch)


class TestEpochs:
    def keys(self, **options):
        return list(EpochSampler(25, **{"batch_size": 3, "seed": 1, **options}))

    def test_every_picture_once(self):
        sampler = EpochSampler(24, batch_size=3, seed=1)
        assert sorted(sampler) == [(0, index) for index in range(24)]
        assert (len(sampler), sampler.batches) == (24, 8)

    def test_the_rest_waits(self):
        sampler, left_out = EpochSampler(25, batch_size=3, seed=1), set()
        for epoch in range(60):
            sampler.set_epoch(epoch)
            keys = list(sampler)
            assert len(keys) == len(set(keys)) == len(sampler) == 24
            left_out |= set(range(25)) - {index for _, index in keys}
        assert len(left_out) > 15

    def test_epochs_and_seeds_differ(self):
        sampler = EpochSampler(25, batch_size=3, seed=1)
        first = [index for _, index in sampler]
        sampler.set_epoch(1)
        assert [epoch for epoch, _ in sampler] == [1] * 24
        assert [index for _, index in sampler] != first
        assert self.keys() == [(0, index) for index in first]
        assert self.keys(seed=2) != self.keys()

    @pytest.mark.parametrize("world", [2, 4])
    def test_ranks_share_each_global_batch(self, world):
        whole = self.keys(batch_size=4)
        parts = [self.keys(batch_size=4 // world, rank=rank, world_size=world) for rank in range(world)]
        own = 4 // world
        for step in range(6):
            together = [key for part in parts for key in part[step * own : (step + 1) * own]]
            assert together == whole[step * 4 : (step + 1) * 4]

    def test_resumes_in_the_middle(self):
        whole, sampler = self.keys(), EpochSampler(25, batch_size=3, seed=1)
        sampler.start_at(0, 5)
        sampler.set_epoch(0)  # the same epoch: the place stays
        assert list(sampler) == whole[15:]
        assert len(sampler) == 24
        sampler.set_epoch(1)
        assert len(list(sampler)) == 24
        sampler.start_at(0, 8)
        assert list(sampler) == []

    @pytest.mark.parametrize(("epoch", "done"), [(-1, 0), (0, -1), (0, 9)])
    def test_refuses_places_that_are_not(self, epoch, done):
        with pytest.raises(ConfigError, match="go on in an epoch"):
            EpochSampler(25, batch_size=3, seed=1).start_at(epoch, done)

    @pytest.mark.parametrize(
        "wrong", [{"batch_size": 0}, {"rank": 1}, {"rank": -1}, {"world_size": 0}, {"seed": -1}, {"batch_size": 26}]
    )
    def test_refuses(self, wrong):
        with pytest.raises(ConfigError) as error:
            self.keys(**wrong)
        assert "\n" not in str(error.value)


class TestLoader:
    def loader(self, dataset, workers, **options):
        pictures = pictures_of(dataset, **options)
        return TrainingLoader(pictures, EpochSampler(len(pictures), batch_size=2, seed=3), workers=workers)

    def test_workers_change_nothing(self, dataset):
        alone, helped = self.loader(dataset, 0), self.loader(dataset, 2)
        for epoch in range(2):
            for loader in (alone, helped):
                loader.sampler.set_epoch(epoch)
            batches = list(alone)
            assert len(batches) == len(alone) == 3
            for first, second in zip(batches, helped, strict=True):
                assert_same(first, second)

    def test_resumed_batches_are_the_same(self, dataset):
        whole = list(self.loader(dataset, 0))
        resumed = self.loader(dataset, 0)
        resumed.sampler.start_at(0, 1)
        for first, second in zip(whole[1:], resumed, strict=True):
            assert_same(first, second)

    @pytest.mark.parametrize("workers", [0, 1])
    def test_an_unreadable_picture_ends_it_by_name(self, dataset, workers):
        path = dataset.images[1].path
        path.write_bytes(path.read_bytes()[:200])
        with pytest.raises(ImageError) as error:
            list(self.loader(dataset, workers))
        assert str(error.value).startswith(str(path))
        assert "\n" not in str(error.value)

    def test_a_missing_picture(self, dataset):
        dataset.images[1].path.unlink()
        with pytest.raises(ImageError, match="no such file"):
            list(self.loader(dataset, 0))

    def test_pictures_travel_to_workers(self, dataset):
        pictures = pictures_of(dataset)
        assert_same(pickle.loads(pickle.dumps(pictures))[2, 3], pictures[2, 3])


AFTER_OPENCV = """
import sys, time, cv2, numpy as np
from cornernet.data.augment import AugmentConfig
from cornernet.data.batches import EpochSampler, TrainingLoader, TrainingPictures
from cornernet.data.coco import load_coco

if __name__ == "__main__":
    cv2.setNumThreads(2)
    cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.uint8), (0, 0), 3)  # starts OpenCV's threads
    time.sleep(1)  # which go to sleep
    data = load_coco(sys.argv[1], "train")
    pictures = TrainingPictures(data, AugmentConfig(size=(64, 64), border=16), seed=0, border_colour=(0, 0, 0))
    loader = TrainingLoader(pictures, EpochSampler(len(pictures), batch_size=2, seed=0), workers=1)
    print(sum(len(batch) for batch in loader), cv2.getNumThreads())
"""


def test_workers_start_after_opencv_used_its_threads(tmp_path):
    """A forked worker once waited for threads that it had inherited asleep."""
    make_shapes(tmp_path / "shapes", ShapesConfig(train=4, val=0, test=0, size=64, empty=0.0))
    script = tmp_path / "loader.py"
    script.write_text(AFTER_OPENCV, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "shapes")], capture_output=True, text=True, timeout=100, check=True
    )
    assert done.stdout.split() == ["4", "2"]
