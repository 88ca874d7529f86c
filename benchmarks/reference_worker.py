"""Runs under the Python of an environment that has MMDetection 3: one prediction per line read from stdin.

Arguments: checkpoint in MMDetection's naming, picture height, width, threads. Prints a JSON object per line.
"""

import json
import resource
import sys
import time
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

import mmdet  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from mmdet.apis import inference_detector  # noqa: E402
from mmdet.registry import MODELS  # noqa: E402
from mmdet.utils import register_all_modules  # noqa: E402
from mmengine.config import Config  # noqa: E402


def main() -> None:
    """Builds the published configuration once, then predicts on demand."""
    checkpoint, height, width, threads = sys.argv[1], *map(int, sys.argv[2:5])
    torch.set_num_threads(threads)
    register_all_modules()
    folder = Path(mmdet.__file__).parent / ".mim" / "configs" / "cornernet"
    config = Config.fromfile(folder / "cornernet_hourglass104_8xb6-210e-mstest_coco.py")
    model = MODELS.build(config.model).eval()
    model.load_state_dict(torch.load(checkpoint, weights_only=True, mmap=True)["state_dict"])
    model.cfg = config
    bgr = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)[..., ::-1].copy()
    print(json.dumps({"ready": f"MMDetection {mmdet.__version__}, PyTorch {torch.__version__}"}), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        found = inference_detector(model, bgr).pred_instances
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        result = {"seconds": seconds, "peak_mib": peak, "scores": found.scores[:5].tolist(), "n": len(found)}
        print(json.dumps(result), flush=True)


main()
