"""Training steps in one way: some per line read from stdin, always with the same batch."""

import itertools
import json
import sys
import time
from pathlib import Path
from unittest.mock import patch

import torch

import cornernet
from cornernet.data.coco import load_coco
from cornernet.inference.machine import peak_device_bytes, peak_process_bytes
from cornernet.inference.roofline import synchronize
from cornernet.training import setup
from cornernet.training.loop import Epoch
from cornernet.training.machine import Machine, launch
from cornernet.training.recipe import load_recipe, override


def main() -> None:
    """Builds the network, its optimiser and one batch, then makes steps on demand."""
    way, folder, name, device, threads, steps, *changes = sys.argv[1:]
    torch.set_num_threads(int(threads))
    recipe = override(load_recipe(name), ["data.workers=0", "run.log_steps=1000000", *changes])
    fabric = launch(recipe, Machine(device=device))
    train = load_coco(Path(folder), "train")
    with patch.object(setup, "can_fuse", setup.can_fuse if way == "ours" else lambda *_: False):
        session = setup.open_session(fabric, recipe, train, state=None, fit_batch=False, say=lambda _: None)
    session.module.train()
    epoch, batches = Epoch(session, say=lambda _: None), itertools.repeat(next(iter(session.loader)))
    print(json.dumps({"ready": f"cornernet {cornernet.__version__}, PyTorch {torch.__version__}"}), flush=True)
    for _ in sys.stdin:
        synchronize(fabric.device)
        start = time.perf_counter()
        for _ in range(int(steps)):
            epoch._step(batches)
        synchronize(fabric.device)
        seconds = (time.perf_counter() - start) / int(steps)
        peak = peak_process_bytes() if fabric.device.type == "cpu" else peak_device_bytes(fabric.device)
        print(json.dumps({"seconds": seconds, "peak_gb": (peak or 0) / 1e9}), flush=True)


main()
