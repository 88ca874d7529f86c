"""The detector: weights in, then pictures in and detections out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack, overload

import numpy as np
import torch
from numpy.typing import NDArray

from cornernet.corners.decode import DecodeConfig
from cornernet.data.images import MAX_PIXELS, read_image
from cornernet.errors import ConfigError, CornerNetError, ImageError
from cornernet.inference.geometry import Placement, View
from cornernet.inference.pipeline import BatchBoxes, Pipeline
from cornernet.inference.prepare import Mode, choose_device, choose_dtype, choose_mode, prepare, runner
from cornernet.inference.stream import Read, read_ahead, window_size, windows
from cornernet.models.cornernet import CornerNet
from cornernet.ops.soft_nms import SoftNMSConfig
from cornernet.structures.detections import Detections
from cornernet.structures.maps import CornerMaps
from cornernet.weights.model import load_model
from cornernet.weights.record import ModelRecord

Picture = NDArray[np.uint8]
OnError = Callable[[Any, ImageError], None]
One = str | Path | bytes


class PredictOptions(TypedDict, total=False):
    """The keywords of `Detector.predict`, which says what they mean."""

    conf: float
    max_det: int
    tta: bool
    scales: Sequence[float]
    batch: int


@dataclass(frozen=True)
class PlacedMaps:
    """What the network says of one picture, and where the picture lies under its maps.

    Attributes:
        maps: `CornerMaps` with N = 1, float32, on the CPU.
        placement: Where the picture lies on the canvas the maps cover.
    """

    maps: CornerMaps
    placement: Placement


@dataclass(frozen=True)
class _Launched:
    """Pictures that are on their way through the network.

    Attributes:
        window: As they were read.
        results: The boxes, on the device, of each batch, and which of the window's pictures these are.
    """

    window: list[Read]
    results: list[tuple[list[int], BatchBoxes]]


class Detector:
    """Finds objects in pictures with one set of weights.

    Examples:
        >>> detector = Detector.from_pretrained("cornernet-hourglass104")  # doctest: +SKIP
        >>> detections = detector.predict("street.jpg", conf=0.3)  # doctest: +SKIP
        >>> detections.names, detections.boxes  # doctest: +SKIP

    Attributes:
        record: Architecture, preprocessing and classes of the weights.
        device: Where the network runs.
        dtype: What it computes in.
        mode: How it is run.
    """

    def __init__(
        self,
        model: CornerNet,
        record: ModelRecord,
        *,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        mode: Mode | None = None,
        decoding: DecodeConfig | None = None,
        soft_nms: SoftNMSConfig | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        """Prepares `model` for inference in place: pass a copy of a network that is to be trained further.

        Args:
            model: Any `CornerNet`, not prepared before.
            record: What its weights expect; `record.architecture` must be the model's.
            device: Where to run; the machine's accelerator if None, or the CPU.
            dtype: "float32" (None), "bfloat16" or "float16".
            mode: "eager", "winograd", "graph" or "compile", see `cornernet.inference.prepare.Mode`; if None "graph" on
                CUDA, "winograd" in float32 on x86 processors and "eager" elsewhere.
            decoding: Thresholds and counts of the decoder; the reference's if None.
            soft_nms: Parameters of soft-NMS; the reference's if None.
            max_pixels: Pictures with more pixels are refused from their header.

        Raises:
            ConfigError: When the record is not the model's, or a device, dtype or mode cannot be had.
        """
        if record.architecture != model.config:
            raise ConfigError(
                f"expected the record of this model, got one of {record.architecture}: pass the model's own"
            )
        self.record = record
        self.device = choose_device(device)
        self.dtype = choose_dtype(dtype, self.device)
        self.mode = choose_mode(mode, self.device, self.dtype)
        self.max_pixels = max_pixels
        self._pipeline = Pipeline(
            network=runner(prepare(model, self.device, self.dtype), self.mode, self.device),
            preprocessing=record.preprocessing,
            decoding=decoding or DecodeConfig(),
            nms=soft_nms or SoftNMSConfig(),
            device=self.device,
            dtype=self.dtype,
        )

    @classmethod
    def from_pretrained(
        cls,
        weights: str | Path,
        *,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        mode: Mode | None = None,
        decoding: DecodeConfig | None = None,
        soft_nms: SoftNMSConfig | None = None,
        max_pixels: int = MAX_PIXELS,
        canvas: Literal["or127", "multiple128"] | None = None,
        num_classes: int | None = None,
        progress: bool = True,
    ) -> Detector:
        """A detector from published weights, a file, a folder, or a Hugging Face Hub repository.

        Args:
            weights: A zoo name ("cornernet-hourglass104"), a path to a checkpoint of MMDetection, Princeton or our own,
                or a hub id ("user/repository").
            device: Where to run; the machine's accelerator if None, or the CPU.
            dtype: "float32" (None), "bfloat16" or "float16".
            mode: "eager", "winograd", "graph" or "compile", see `cornernet.inference.prepare.Mode`; if None "graph" on
                CUDA, "winograd" in float32 on x86 processors and "eager" elsewhere.
            decoding: Thresholds and counts of the decoder; the reference's if None.
            soft_nms: Parameters of soft-NMS; the reference's if None.
            max_pixels: Pictures with more pixels are refused from their header.
            canvas: Another canvas rule than the weights' own, see `Preprocessing`.
            num_classes: Another class count than the weights'; the class layers then start at random, and a warning
                of the logger "cornernet" names them.
            progress: Whether a download shows a bar.

        Raises:
            WeightsError: When the weights are missing, damaged, unsafe or another model's.
            ConfigError: On an option that cannot be had.
        """
        model, record = load_model(weights, num_classes=num_classes, progress=progress)
        if canvas is not None:
            record = replace(record, preprocessing=replace(record.preprocessing, canvas=canvas))
        return cls(
            model,
            record,
            device=device,
            dtype=dtype,
            mode=mode,
            decoding=decoding,
            soft_nms=soft_nms,
            max_pixels=max_pixels,
        )

    @overload
    def predict(self, x: One, **options: Unpack[PredictOptions]) -> Detections: ...
    @overload
    def predict(
        self, x: list[Any] | tuple[Any, ...] | Iterator[Any], **options: Unpack[PredictOptions]
    ) -> list[Detections]: ...
    @overload
    def predict(self, x: Any, **options: Unpack[PredictOptions]) -> Any: ...
    def predict(
        self,
        x: Any,
        *,
        conf: float = 0.0,
        max_det: int = 100,
        tta: bool = False,
        scales: Sequence[float] = (1.0,),
        batch: int = 1,
    ) -> Any:
        """Detections in one picture, or in each of many.

        Args:
            x: A path, URL, `bytes` of a file, PIL image, numpy array (RGB, uint8 (height, width, 3)) or tensor
                ((3, height, width), uint8, or float in 0..1); or a list or iterator of them, of any mix of sizes, or a
                4-d array or tensor.
            conf: Least score of a detection; 0 gives the reference's own list.
            max_det: Most detections per picture.
            tta: Looks at the mirrored picture too, and merges both by soft-NMS.
            scales: Looks at each of these scales, and merges them likewise.
            batch: Pictures of one canvas size go through the network this many at a time.

        Returns:
            `Detections` for one picture, a list of them, in order, for many.

        Raises:
            ImageError: When a picture cannot be read.
            ConfigError: On an option out of its range.
        """
        many = isinstance(x, list | tuple | Iterator) or getattr(x, "ndim", 0) == 4
        sources = x if many else [x]
        found = [d for _, d in self.stream(sources, conf=conf, max_det=max_det, tta=tta, scales=scales, batch=batch)]
        return found if many else found[0]

    def stream(
        self,
        sources: Iterable[Any],
        *,
        conf: float = 0.0,
        max_det: int = 100,
        tta: bool = False,
        scales: Sequence[float] = (1.0,),
        batch: int = 1,
        workers: int = 2,
        on_error: OnError | None = None,
    ) -> Iterator[tuple[Picture, Detections]]:
        """Pictures and their detections one by one, in order, reading ahead; memory does not grow with their number.

        Args:
            sources: Pictures as `predict` takes them.
            conf: As for `predict`.
            max_det: As for `predict`.
            tta: As for `predict`.
            scales: As for `predict`.
            batch: As for `predict`.
            workers: Threads that read pictures ahead of the network.
            on_error: Called with the source and the error of a picture that cannot be read, which is then left out;
                without it the error is raised.

        Yields:
            The picture as read, (height, width, 3) uint8 RGB, and its detections.

        Raises:
            ImageError: When a picture cannot be read and there is no `on_error`.
            ConfigError: On an option out of its range.
        """
        for name, value, low in (("max_det", max_det, 1), ("batch", batch, 1), ("workers", workers, 1)):
            if value < low:
                raise ConfigError(f"expected {name} to be {low} or more, got {value}")
        if not 0 <= conf <= 1:
            raise ConfigError(f"expected conf between 0 and 1, got {conf}")
        views = make_views(scales, tta)
        reads = read_ahead(sources, lambda s: read_image(s, max_pixels=self.max_pixels), workers, ahead=workers + batch)
        # A device works on one window while the host readies the next; a CPU would only make the first one wait.
        ahead = 0 if self.device.type == "cpu" else 1
        launched: deque[_Launched] = deque()
        for window in windows(reads, window_size(batch)):
            launched.append(self._launch(window, views, max_det, batch))
            if len(launched) > ahead:
                yield from self._finish(launched.popleft(), conf, on_error)
        while launched:
            yield from self._finish(launched.popleft(), conf, on_error)

    def corner_maps(self, x: Any) -> PlacedMaps:
        """The network's maps of one picture (as `predict` takes it), to look at or to decode otherwise."""
        picture = read_image(x, max_pixels=self.max_pixels)
        placements = self._pipeline.placed([picture], View())
        with torch.inference_mode():
            maps = self._pipeline.maps(self._pipeline.canvases([picture], placements))
        return PlacedMaps(maps.to(torch.device("cpu")), placements[0])

    def _launch(self, window: list[Read], views: Sequence[View], max_det: int, batch: int) -> _Launched:
        """Sends some pictures through the network, those of equal canvases together, and waits for no device."""
        groups: dict[tuple[tuple[int, int], ...], list[int]] = {}
        for i, read in enumerate(window):
            if read.picture is not None:
                size = (read.picture.shape[0], read.picture.shape[1])
                groups.setdefault(tuple(p.canvas for p in self._pipeline.placements(size, views)), []).append(i)
        results = []
        for members in groups.values():
            for start in range(0, len(members), batch):
                chunk = members[start : start + batch]
                pictures = [picture for i in chunk if (picture := window[i].picture) is not None]
                with torch.inference_mode():
                    results.append((chunk, self._pipeline(pictures, views, max_det)))
        return _Launched(window, results)

    def _finish(
        self, launched: _Launched, conf: float, on_error: OnError | None
    ) -> Iterator[tuple[Picture, Detections]]:
        """Detections of the pictures in their order."""
        found: dict[int, Detections] = {}
        for chunk, result in launched.results:
            found.update(zip(chunk, self._detections(result, [launched.window[i] for i in chunk], conf), strict=True))
        for i, read in enumerate(launched.window):
            if read.picture is not None:
                yield read.picture, found[i]
            elif read.error is not None:
                if on_error is None or not isinstance(read.error, ImageError):
                    raise read.error
                on_error(read.source, read.error)

    def _detections(self, result: BatchBoxes, reads: list[Read], conf: float) -> list[Detections]:
        """The boxes of each picture on the host; this waits for the device."""
        boxes, scores, labels, finite = (
            t.cpu().numpy() for t in (result.boxes, result.scores, result.labels, result.finite)
        )
        detections = []
        for i, read in enumerate(reads):
            name = str(read.source) if isinstance(read.source, str | Path) else None
            if not finite[i]:
                raise CornerNetError(
                    f"expected finite network outputs, got NaN or infinity for {name or 'a picture'} in "
                    f"{str(self.dtype)[6:]}: use float32, or check the weights"
                )
            assert read.picture is not None
            size = (read.picture.shape[0], read.picture.shape[1])
            rows = (scores[i] >= 0) & (scores[i] >= conf)
            detections.append(
                Detections(boxes[i][rows], scores[i][rows], labels[i][rows], self.record.classes, size, name)
            )
        return detections


def make_views(scales: Sequence[float], tta: bool) -> list[View]:
    """The views of a picture: each scale, and with `tta` its mirror image before it, the order the reference merges in.

    Raises:
        ConfigError: Without any scale, or with one out of range.
    """
    if not scales:
        raise ConfigError("expected at least one test scale, got none: 1.0 is the picture's own size")
    return [View(scale=s, flipped=flipped) for s in scales for flipped in ((True, False) if tta else (False,))]
