"""Runs under the Python of an environment that has MMDetection 3: the recipe's training pipeline, on one core.

Every picture goes through it once per line read from stdin. `worker_s` is the pipeline alone; what turns its pictures
into a normalised batch is `batch_s`.
"""

import json
import os
import sys
import time
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

import cv2  # noqa: E402
import mmdet  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from mmdet.registry import DATASETS, MODELS  # noqa: E402
from mmdet.utils import register_all_modules  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.dataset import pseudo_collate  # noqa: E402


def main() -> None:
    """Builds the published configuration's dataset once, then goes through it on demand."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    register_all_modules()
    folder = Path(mmdet.__file__).parent / ".mim" / "configs" / "cornernet"
    config = Config.fromfile(folder / "cornernet_hourglass104_8xb6-210e-mstest_coco.py")
    dataset = DATASETS.build(
        {
            "type": "CocoDataset",
            "data_root": sys.argv[1],
            "ann_file": "annotations/train.json",
            "data_prefix": {"img": "train/"},
            "metainfo": {"classes": ("thing",)},
            "pipeline": config.train_pipeline,
        }
    )
    preprocessor = MODELS.build(config.data_preprocessor)
    np.random.seed(0)
    print(json.dumps({"ready": f"MMDetection {mmdet.__version__}, OpenCV {cv2.__version__}"}), flush=True)
    for _ in sys.stdin:
        worker_s = batch_s = 0.0
        for first in range(0, len(dataset) // 6 * 6, 6):
            start = time.perf_counter()
            samples = [dataset[index] for index in range(first, first + 6)]
            done = time.perf_counter()
            preprocessor(pseudo_collate(samples), training=True)
            worker_s += done - start
            batch_s += time.perf_counter() - done
        pictures = len(dataset) // 6 * 6
        result = {"pictures": pictures, "worker_s": worker_s, "batch_s": batch_s}
        print(json.dumps(result), flush=True)


main()
