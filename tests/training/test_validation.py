"""Every validation picture is looked at once, however many processes share them."""

import numpy as np
import pytest
from tiny_runs import shapes

from cornernet.data.coco import load_coco
from cornernet.data.images import read_image
from cornernet.structures.detections import Detections
from cornernet.training import validation


class Seer:
    """Sees one box in each picture, as large as the picture's number, and remembers what it was shown."""

    def __init__(self, classes):
        self.classes, self.seen = classes, []

    def stream(self, paths, *, batch):
        for path in paths:
            self.seen.append(path.name)
            picture = read_image(path)
            side = int(path.stem.split("_")[1])
            box = np.array([[0, 0, side, side]], np.float32)
            found = np.ones(1, np.float32), np.zeros(1, np.int64)
            yield picture, Detections(box, *found, self.classes, picture.shape[:2])


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_each_picture_once_and_in_order(tmp_path, monkeypatch, processes):
    val = load_coco(shapes(tmp_path / "data", train=1, val=5), "val")
    seers = [Seer(val.classes) for _ in range(processes)]
    shares = {}

    def gather(found, rank, world_size):
        shares[rank] = found
        return [shares[i] for i in range(world_size)] if rank == 0 else None

    monkeypatch.setattr(validation, "_gather", gather)
    results = [
        validation.validate(seers[rank], val, batch=2, rank=rank, world_size=processes, step=lambda: None)
        for rank in reversed(range(processes))
    ]
    assert sorted(name for seer in seers for name in seer.seen) == [image.file_name for image in val.images]
    assert max(len(seer.seen) for seer in seers) <= -(-5 // processes)
    assert results[:-1] == [None] * (processes - 1)
    assert [r["image_id"] for r in results[-1].results] == [image.id for image in val.images]
    assert [r["bbox"][2] for r in results[-1].results] == [int(i.path.stem.split("_")[1]) for i in val.images]
