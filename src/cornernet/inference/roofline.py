"""The least time that work can take on a device: what there is to compute and to move, and how fast the device can.

A roofline (Williams, Waterman & Patterson, 2009): work takes at least as long as its operations take at the device's
peak rate, and at least as long as its bytes take at the rate of its memory. Peaks are measured, not read off a sheet.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from cornernet.inference.geometry import Placement
from cornernet.inference.prepare import prepare
from cornernet.models.build import build_model
from cornernet.models.config import CornerNetConfig

MIN_SECONDS = 0.05  # a rate is measured over at least this long, so that starting the work does not count
REPEATS = 5  # the fastest of so many measurements is the peak
_POOLED = {torch.ops.cornernet.corner_pool: 1, torch.ops.cornernet.corner_pool_sum: 2}  # maps pooled, at once or not


@dataclass(frozen=True, kw_only=True)
class Work:
    """What has to be done.

    Attributes:
        flop: Multiplications and additions of convolutions and matrix products; nothing else is counted.
        moved: Bytes read from and written to memory at the least.
    """

    flop: float = 0.0
    moved: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(flop=self.flop + other.flop, moved=self.moved + other.moved)


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """What a device reaches at its best.

    Attributes:
        flop: Operations per second.
        moved: Bytes read and written per second.
    """

    flop: float
    moved: float

    def seconds(self, work: Work) -> float:
        """The least time the work takes; 0 for work of which nothing was counted."""
        return max(work.flop / self.flop, work.moved / self.moved)


class WorkCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the work of what is run within it, on tensors of any device, the meta device included.

    Operations are those of `torch.utils.flop_counter`. Bytes are a lower bound: each convolution and matrix product
    reads its input and weights once and writes its output once, corner pooling reads and writes a map once, and all
    other operations are taken to happen within one of these, at no cost.

    Attributes:
        work: What was counted so far.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.work = Work()

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Runs one operation and counts it."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        count = flop_registry.get(func.overloadpacket)
        if count is not None:
            tensors = [value for value in (*args, out) if isinstance(value, Tensor)]
            self.work += Work(flop=count(*args, **kwargs, out_val=out), moved=sum(map(_bytes, tensors)))
        elif maps := _POOLED.get(func.overloadpacket):
            self.work += Work(moved=2 * maps * _bytes(out))
        return out


@functools.lru_cache(maxsize=256)  # a folder of pictures has few canvas sizes
def network_work(config: CornerNetConfig, canvas: tuple[int, int], batch: int, dtype: torch.dtype) -> Work:
    """The work of the prepared network, counted on the meta device: nothing is computed.

    Args:
        config: Its architecture.
        canvas: (height, width) in pixels of its input.
        batch: Pictures at once; the weights are read once for all of them.
        dtype: Type it computes in.
    """
    meta = torch.device("meta")
    with meta:
        network = prepare(build_model(config), meta, dtype)
        canvases = torch.empty(batch, 3, *canvas, dtype=dtype)
    with torch.no_grad(), WorkCounter() as counter:
        network(canvases)
    work: Work = counter.work
    return work


def batch_work(
    config: CornerNetConfig, placements: Sequence[Placement], dtype: torch.dtype, pairs: int
) -> dict[str, Work]:
    """The work of each stage but reading, for one batch of pictures on canvases of one size.

    Preprocessing reads 8-bit pixels and writes the canvases. Decoding reads the float32 heatmaps, soft-NMS its pairs,
    and the way to the host the embeddings, which it checks. Their operations are not counted.

    Args:
        config: The network's architecture.
        placements: Where each picture lies.
        dtype: Type the network computes in.
        pairs: Pairs per picture that soft-NMS looks at.
    """
    count, canvas = len(placements), placements[0].canvas
    cells = count * -(-canvas[0] // config.stride) * -(-canvas[1] // config.stride)
    pixels = sum(3 * p.visible[0] * p.visible[1] for p in placements)
    return {
        "preprocessing": Work(moved=pixels + 3 * count * canvas[0] * canvas[1] * dtype.itemsize),
        "network": network_work(config, canvas, count, dtype),
        "decoding": Work(moved=2 * config.num_classes * cells * 4),
        "soft-NMS": Work(moved=count * pairs * (4 * 4 + 4 + 8)),  # float32 box and score, int64 label
        "to the host": Work(moved=2 * config.embedding_channels * cells * 4),
    }


def measure_flop(device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second of a large matrix product or convolution, measured in about a second.

    The faster of the two counts, since convolutions may use number formats (TF32) and algorithms of their own. Even so
    a convolution may beat it: some algorithms need fewer operations than are counted.

    Args:
        device: Which.
        dtype: Type that is computed in.
    """
    on_cpu = device.type == "cpu"
    with torch.inference_mode():
        product = _product_rate(2048 if on_cpu else 8192, device, dtype)
        return max(product, _convolution_rate(1 if on_cpu else 8, device, dtype))


def measure_copy(device: torch.device) -> float:
    """Bytes per second, read and written, of a copy within a device's memory that is far larger than its caches."""
    size = 1 << 28 if device.type == "cpu" else 1 << 30
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.ones_like(source)
    return rate(lambda: target.copy_(source), 2 * size, device)


def rate(task: Callable[[], object], amount: float, device: torch.device) -> float:
    """The highest of several measured rates at which a task of some amount is done, per second."""
    task()
    calls = 1
    while (seconds := _seconds(task, calls, device)) < MIN_SECONDS:
        calls *= 2
    fastest = min(seconds, *(_seconds(task, calls, device) for _ in range(REPEATS - 1)))
    return calls * amount / fastest


def synchronize(device: torch.device) -> None:
    """Waits until a device has done all it was given."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _product_rate(side: int, device: torch.device, dtype: torch.dtype) -> float:
    # Random numbers: a device at its power limit is faster on equal ones.
    square = torch.randn(side, side, device=device, dtype=dtype)
    return rate(lambda: square @ square, 2 * side**3, device)


def _convolution_rate(batch: int, device: torch.device, dtype: torch.dtype) -> float:
    """Of the network's own kind: most of its work is in 3 x 3 convolutions of 256 channels at the finest scale."""
    cells = torch.randn(batch, 256, 128, 128, device=device, dtype=dtype).to(memory_format=torch.channels_last)
    kernel = torch.randn(256, 256, 3, 3, device=device, dtype=dtype).to(memory_format=torch.channels_last)
    return rate(lambda: conv2d(cells, kernel, padding=1), 2 * kernel.numel() * batch * 128 * 128, device)


def _seconds(task: Callable[[], object], calls: int, device: torch.device) -> float:
    synchronize(device)
    start = time.perf_counter()
    for _ in range(calls):
        task()
    synchronize(device)
    return time.perf_counter() - start


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
