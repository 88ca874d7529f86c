"""Training pictures by this package: every picture once per line read from stdin, on one core."""

import json
import os
import sys
import time

import cv2
import torch

import cornernet
from cornernet.data.augment import AugmentConfig
from cornernet.data.batches import EpochSampler, TrainingLoader, TrainingPictures
from cornernet.data.coco import load_coco
from cornernet.data.photometric import colour_and_normalise
from cornernet.weights.record import MMDETECTION


def main() -> None:
    """Loads the annotations once, then goes through an epoch on demand."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    dataset = load_coco(sys.argv[1], "train")
    pictures = TrainingPictures(dataset, AugmentConfig(), seed=0, border_colour=MMDETECTION.mean)
    sampler = EpochSampler(len(pictures), batch_size=6, seed=0)
    loader = TrainingLoader(pictures, sampler)
    print(json.dumps({"ready": f"cornernet {cornernet.__version__}, OpenCV {cv2.__version__}"}), flush=True)
    for epoch, _ in enumerate(sys.stdin):
        sampler.set_epoch(epoch)
        batch_s = 0.0
        start = time.perf_counter()
        for batch in loader:
            begun = time.perf_counter()
            colour_and_normalise(batch, MMDETECTION)
            batch_s += time.perf_counter() - begun
        worker_s = time.perf_counter() - start - batch_s
        result = {"pictures": len(sampler), "worker_s": worker_s, "batch_s": batch_s}
        print(json.dumps(result), flush=True)


main()
