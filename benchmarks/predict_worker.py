"""The same work as `reference_worker`, by this package: one prediction per line read from stdin."""

import json
import sys
import time

import numpy as np
import torch

import cornernet
from cornernet import Detector
from cornernet.inference.machine import peak_process_bytes


def main() -> None:
    """Loads the checkpoint once, then predicts on demand."""
    checkpoint, height, width, threads = sys.argv[1], *map(int, sys.argv[2:5])
    canvas, dtype, mode = sys.argv[5:]
    torch.set_num_threads(threads)
    detector = Detector.from_pretrained(checkpoint, device="cpu", canvas=canvas, dtype=dtype, mode=mode)
    rgb = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    print(json.dumps({"ready": f"cornernet {cornernet.__version__}, PyTorch {torch.__version__}"}), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        found = detector.predict(rgb)
        seconds = time.perf_counter() - start
        peak = (peak_process_bytes() or 0) / 2**20
        result = {"seconds": seconds, "peak_mib": peak, "scores": found.scores[:5].tolist(), "n": len(found)}
        print(json.dumps(result), flush=True)


main()
