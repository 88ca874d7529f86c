"""Folders of 10, 100 and 1,000 pictures through `Detector.stream`: `python -m benchmarks.folder`.

Time should grow with the number of pictures, memory should not. The pictures are JPEGs of mixed sizes, drawn first; the
network is a small one with random weights, so that what is around it counts. Each folder has a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.report import save, show
from cornernet import Detector, build_model
from cornernet.inference.machine import describe, peak_device_bytes, peak_process_bytes
from cornernet.inference.prepare import choose_device
from cornernet.inference.timing import made_up_picture
from cornernet.models.config import CornerNetConfig
from cornernet.structures.classes import Classes
from cornernet.weights.record import MMDETECTION, ModelRecord

COLUMNS = {
    "pictures": "{pictures}",
    "seconds": "{seconds:.2f}",
    "ms a picture": "{ms_a_picture:.1f}",
    "peak of the process, MiB": "{process_mib:.0f}",
    "of the device, MiB": "{device_mib:.0f}",
}
SIZES = ((240, 320), (320, 240), (256, 256), (200, 356), (240, 300))
NARROW = CornerNetConfig(
    num_classes=3, stacks=1, channels=(32, 48, 64), blocks=(1, 1, 1), stem_channels=16, feature_channels=32,
    pool_channels=32, head_channels=16,
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=(10, 100, 1000))
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--device")
    parser.add_argument("--json", type=Path, help="where to write the result")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(one(options.one, options.batch, options.device)))
        return
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for count in options.counts:
            folder = Path(temporary) / str(count)
            folder.mkdir()
            for i in range(count):
                (folder / f"{i:05d}.jpg").write_bytes(made_up_picture(*SIZES[i % len(SIZES)], seed=i))
            command = [sys.executable, "-m", "benchmarks.folder", "--one", str(folder), "--batch", str(options.batch)]
            command += ["--device", options.device] if options.device else []
            rows.append({"pictures": count, **json.loads(subprocess.check_output(command, text=True))})
            rows[-1]["ms_a_picture"] = 1e3 * rows[-1]["seconds"] / count
    show(rows, COLUMNS)
    save(options.json, describe(choose_device(options.device)) | {"batch": options.batch, "rows": rows})


def one(folder: Path, batch: int, device: str | None) -> dict[str, float]:
    """Seconds and memory of one folder, after a few pictures to warm up."""
    torch.manual_seed(0)
    record = ModelRecord(architecture=NARROW, preprocessing=MMDETECTION, classes=Classes.unnamed(3))
    detector = Detector(build_model(NARROW), record, device=device)
    paths = sorted(folder.iterdir())
    for _ in range(2):
        detector.predict(paths[: 4 * len(SIZES)], batch=batch)
    start = time.perf_counter()
    boxes = sum(len(detections) for _, detections in detector.stream(iter(paths), batch=batch))
    seconds = time.perf_counter() - start
    peaks = ((peak_process_bytes() or 0) / 2**20, (peak_device_bytes(detector.device) or 0) / 2**20)
    return {"seconds": seconds, "boxes": boxes, "process_mib": peaks[0], "device_mib": peaks[1]}


if __name__ == "__main__":
    main()
