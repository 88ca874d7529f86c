"""Options that commands share. They are spelled alike everywhere, and their docs are the help.

Nothing here needs the network, so that options are checked before it is loaded. The defaults of the decoder and of
soft-NMS stand here once more for that reason; a test holds them against theirs.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from cornernet.errors import ConfigError

if TYPE_CHECKING:
    from cornernet.inference.detector import Detector


@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """Every command.

    Attributes:
        debug: Show the whole traceback of an error; the environment's CORNERNET_DEBUG=1 does so too.
    """

    debug: bool = False


@dataclass(frozen=True, kw_only=True)
class DeviceOptions(CommonOptions):
    """Speed.

    Attributes:
        device: Where to run, such as cpu, cuda, cuda:1 or mps; the machine's accelerator, or else the CPU, by default.
        dtype: What the network computes in; float32 gives the published results.
        mode: How the network is run: kernel by kernel (eager); the same, but 3x3 convolutions by Winograd's algorithm
            (winograd, the default in float32 on x86 processors); as CUDA graphs (graph, the default on CUDA); or
            compiled by PyTorch, which takes minutes for each size of picture (compile).
        batch: Pictures that go through the network at once; lower it when memory runs out.
        workers: Threads that read pictures ahead of the network.
        max_pixels: Pictures with more pixels than this are refused before they are decoded.
    """

    device: str | None = None
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    mode: Literal["eager", "winograd", "graph", "compile"] | None = None
    batch: int = 1
    workers: int = 2
    max_pixels: int = 100_000_000

    def __post_init__(self) -> None:
        require_from("--batch", self.batch, 1)
        require_from("--workers", self.workers, 1)
        require_from("--max-pixels", self.max_pixels, 1)


@dataclass(frozen=True, kw_only=True)
class DetectorOptions(DeviceOptions):
    """Weights.

    Attributes:
        weights: A published model (see cornernet info), a checkpoint file, a folder, or a Hugging Face Hub repository.
    """

    weights: str


@dataclass(frozen=True, kw_only=True)
class FindingOptions(DetectorOptions):
    """What is found.

    Attributes:
        conf: Least score of a detection that is kept; 0 keeps all that the reference lists.
        max_det: Most detections per picture.
        tta: Look at each picture's mirror image too, and merge both: slower, a little better.
        scales: Look at each picture at these scales and merge what is found, such as 0.5,0.75,1,1.25,1.5.
        top_k: Corners of each kind that are paired.
        embedding_threshold: Corners whose embeddings differ by more are not of one object.
        nms: How much the score of a box falls that overlaps a better one.
        nms_sigma: Width of the gaussian of --nms gaussian.
        nms_iou: Overlap from which --nms linear and hard act.
    """

    conf: float = 0.0
    max_det: int = 100
    tta: bool = False
    scales: tuple[float, ...] = (1.0,)
    top_k: int = 100
    embedding_threshold: float = 0.5
    nms: Literal["gaussian", "linear", "hard"] = "gaussian"
    nms_sigma: float = 0.5
    nms_iou: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        require_score("--conf", self.conf)
        require_from("--max-det", self.max_det, 1)
        require_from("--top-k", self.top_k, 1)
        if not self.scales or not all(0 < s <= 16 for s in self.scales):
            shown = ",".join(f"{s:g}" for s in self.scales) or "none"
            raise ConfigError(f"expected --scales to be numbers above 0 and up to 16, got {shown}")
        if not self.embedding_threshold >= 0:
            raise ConfigError(f"expected --embedding-threshold to be 0 or more, got {self.embedding_threshold:g}")
        if not 0 < self.nms_sigma < math.inf:
            raise ConfigError(f"expected --nms-sigma above 0, got {self.nms_sigma:g}")
        if not 0 <= self.nms_iou <= 1:
            raise ConfigError(f"expected --nms-iou between 0 and 1, got {self.nms_iou:g}")


def require_from(flag: str, value: int, low: int) -> None:
    """Refuses a number below `low`.

    Raises:
        ConfigError: When it is.
    """
    if value < low:
        raise ConfigError(f"expected {flag} to be {low} or more, got {value}")


def require_score(flag: str, value: float) -> None:
    """Refuses what is no probability.

    Raises:
        ConfigError: When it is not between 0 and 1.
    """
    if not 0 <= value <= 1:
        raise ConfigError(f"expected {flag} between 0 and 1, got {value:g}")


def load_detector(options: FindingOptions) -> Detector:
    """The detector the options ask for; this is where PyTorch is loaded."""
    from cornernet.corners.decode import DecodeConfig
    from cornernet.inference.detector import Detector
    from cornernet.ops.soft_nms import SoftNMSConfig

    return Detector.from_pretrained(
        options.weights,
        device=options.device,
        dtype=options.dtype,
        mode=options.mode,
        decoding=DecodeConfig(top_k=options.top_k, embedding_threshold=options.embedding_threshold),
        soft_nms=SoftNMSConfig(method=options.nms, sigma=options.nms_sigma, iou_threshold=options.nms_iou),
        max_pixels=options.max_pixels,
        progress=sys.stderr.isatty(),
    )


def stream_settings(options: FindingOptions) -> dict[str, Any]:
    """What `Detector.stream` takes of the options."""
    return {name: getattr(options, name) for name in ("conf", "max_det", "tta", "scales", "batch", "workers")}
