"""CUDA graphs: the network's few hundred kernels launched as one, which the host alone would take longer to launch.

A graph is recorded for one shape of batch. The canvas rule rounds sides up to few sizes, so a few graphs serve all
pictures; they share their memory, as one alone runs at a time.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from cornernet.inference.cudnn import fastest_convolutions
from cornernet.structures.maps import CornerMaps

Network = Callable[[Tensor], CornerMaps]
Capture = Callable[[Network, Tensor, Any], Network]

_MOST = 16
_WARMUP = 3

log = logging.getLogger("cornernet")


class GraphedNetwork:
    """A network that is recorded for a shape when it comes the second time, and replayed from then on.

    Where a recording fails (memory is full, or a kernel cannot be recorded), it says so once and stays with the plain
    network.

    Args:
        network: From (N, 3, H, W) canvases to maps; it waits for nothing on the device.
        capture: Records it.
        most: Recordings that are kept, those used last.
    """

    def __init__(self, network: Network, *, capture: Capture | None = None, most: int = _MOST) -> None:
        self._network = network
        self._capture = capture or capture_cuda
        self._most = most
        self._seen: set[torch.Size] = set()
        self._recorded: OrderedDict[torch.Size, Network] = OrderedDict()
        self._pool: Any = None
        self._failed = False
        self._lock = threading.Lock()

    def __call__(self, canvases: Tensor) -> CornerMaps:
        """The network's maps, in memory of their own."""
        with self._lock:  # recordings share their memory: threads take turns
            return self._run(canvases)

    def _run(self, canvases: Tensor) -> CornerMaps:
        shape = canvases.shape
        if shape in self._recorded:
            self._recorded.move_to_end(shape)
            return self._recorded[shape](canvases)
        if self._failed or shape not in self._seen:
            self._seen.add(shape)
            return self._network(canvases)
        if self._pool is None and torch.cuda.is_available():
            self._pool = torch.cuda.graph_pool_handle()
        try:
            recorded = self._capture(self._network, canvases, self._pool)
        except RuntimeError as error:
            self._failed = True
            log.warning("no CUDA graph could be recorded, going on without: %s", str(error).strip().splitlines()[0])
            return self._network(canvases)
        self._recorded[shape] = recorded
        if len(self._recorded) > self._most:
            self._recorded.popitem(last=False)
        return recorded(canvases)


def capture_cuda(network: Network, example: Tensor, pool: Any) -> Network:
    """Records a network for canvases of the example's shape; what it gives plays the recording back."""
    canvases = example.clone()
    current, aside = torch.cuda.current_stream(example.device), torch.cuda.Stream(example.device)  # type: ignore[no-untyped-call]
    with fastest_convolutions(), torch.cuda.device(example.device):
        aside.wait_stream(current)
        with torch.cuda.stream(aside):  # kernels are compiled and chosen before they are recorded
            for _ in range(_WARMUP):
                network(canvases)
        current.wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):  # other threads may use CUDA
            maps = network(canvases)

    def replay(new: Tensor) -> CornerMaps:
        canvases.copy_(new)
        graph.replay()
        # The next replay, of any graph that shares the memory, writes where these lie.
        return CornerMaps(**{f.name: getattr(maps, f.name).clone() for f in fields(maps)})

    return replay
