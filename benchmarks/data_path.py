"""Training pictures per second of one core, from files to the network's input, against MMDetection in the same run.

python -m benchmarks.data_path --reference DIR    (DIR/venv/bin/python has MMDetection 3.3.0)

Both read the same pictures and boxes, by the same recipe, in turn, each in a process with one thread on the same core.
`worker` is what a data loader's worker does of each picture when a GPU does the rest: ours reads, crops, resizes, flips
and makes batches; MMDetection's pipeline changes colours as well, and normalises later. `batch` is the rest on the same
core, up to a normalised batch: our colours and normalising, MMDetection's making of batches and normalising.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.report import save
from benchmarks.worker import Worker
from cornernet.data.images import list_images, read_image
from cornernet.inference.machine import describe

BOXES = 7
"""Boxes of each picture, as in COCO on average."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", type=Path, help="folder whose venv has MMDetection")
    parser.add_argument("--pictures", type=Path, help="folder of pictures; without it, 640 x 480 JPEGs are drawn")
    parser.add_argument("--count", type=int, default=48, help="how many pictures, at most")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="where to write the result")
    options = parser.parse_args()
    here = Path(__file__).parent
    commands = {"cornernet": (sys.executable, here / "data_path_worker.py")}
    if options.reference:
        python = str(options.reference / "venv" / "bin" / "python")
        commands["MMDetection"] = (python, here / "data_path_reference_worker.py")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        kib = write_dataset(root, options.pictures, options.count)
        workers = {name: Worker([python, str(script), folder]) for name, (python, script) in commands.items()}
        for worker in workers.values():
            worker.ask()  # the first round warms up
        rounds = [{name: worker.ask() for name, worker in workers.items()} for _ in range(options.rounds)]
        for worker in workers.values():
            worker.close()
    result = {"kib_a_picture": kib, **summary(rounds, {name: worker.ready for name, worker in workers.items()})}
    print(json.dumps(result, indent=1))
    save(options.json, {**describe(torch.device("cpu")), "threads": 1, "programs": result})


def write_dataset(root: Path, source: Path | None, count: int) -> int:
    """Writes pictures and made-up boxes in COCO's layout; returns the mean size of a file in KiB."""
    (root / "train").mkdir()
    (root / "annotations").mkdir()
    if source is None:
        for index in range(count):
            cv2.imwrite(str(root / "train" / f"{index}.jpg"), drawn(index), [cv2.IMWRITE_JPEG_QUALITY, 90])
    else:
        for path in list_images(source)[:count]:
            shutil.copy(path, root / "train" / path.name)
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    rng = np.random.default_rng(0)
    paths = list_images(root / "train")
    for image_id, path in enumerate(paths, start=1):
        height, width, _ = read_image(path).shape
        images.append({"id": image_id, "file_name": path.name, "height": height, "width": width})
        for _ in range(BOXES):
            x, y = rng.uniform(0, (width - 16, height - 16))
            w, h = rng.uniform(8, (width - x, height - y))
            box = {"id": len(annotations) + 1, "image_id": image_id, "category_id": 1, "bbox": [x, y, w, h]}
            annotations.append({**box, "area": w * h, "iscrowd": 0})
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]}
    (root / "annotations" / "train.json").write_text(json.dumps(document), encoding="utf-8")
    return round(sum(path.stat().st_size for path in paths) / len(paths) / 1024)


def drawn(seed: int) -> np.ndarray:
    """480 x 640 BGR: noise at every scale, whose JPEG has the size of a photograph's."""
    rng = np.random.default_rng(seed)
    image = np.full((480, 640, 3), 127.5)
    for side in (4, 16, 64, 256):
        image += cv2.resize(rng.normal(0, 24, (side, side, 3)), (640, 480), interpolation=cv2.INTER_CUBIC)
    return np.clip(image, 0, 255).astype(np.uint8)


def summary(rounds: list[dict[str, dict[str, object]]], versions: dict[str, object]) -> dict[str, object]:
    """Milliseconds a picture and pictures a second of each, and the medians of the rounds' ratios."""

    def milliseconds(name: str, *parts: str) -> list[float]:
        return [
            1000 * sum(float(str(r[name][part])) for part in parts) / float(str(r[name]["pictures"])) for r in rounds
        ]

    def times_faster(*parts: str) -> dict[str, float]:
        pairs = zip(milliseconds("MMDetection", *parts), milliseconds("cornernet", *parts), strict=True)
        ratios = [theirs / ours for theirs, ours in pairs]
        return {"median": round(statistics.median(ratios), 2), "min": round(min(ratios), 2)}

    table: dict[str, object] = {}
    for name, version in versions.items():
        worker, batch = (statistics.median(milliseconds(name, part)) for part in ("worker_s", "batch_s"))
        table[name] = {
            "version": version,
            "worker_ms": round(worker, 2),
            "batch_ms": round(batch, 2),
            "worker_pictures_a_second": round(1000 / worker, 1),
            "pictures_a_second": round(1000 / (worker + batch), 1),
        }
    if "MMDetection" in versions:
        table["times_faster_worker"] = times_faster("worker_s")
        table["times_faster_whole"] = times_faster("worker_s", "batch_s")
    return table


if __name__ == "__main__":
    main()
