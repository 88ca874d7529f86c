"""From corner maps to boxes: the best corners of each kind, joined into pairs.

Source: Law & Deng, "CornerNet: Detecting Objects as Paired Keypoints", ECCV 2018, sections 3.1 and 4.2; the arithmetic
is that of the implementation that the published results were measured with.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cornernet.corners.peaks import top_peaks
from cornernet.errors import ConfigError
from cornernet.structures.maps import CornerMaps


@dataclass(frozen=True, kw_only=True)
class DecodeConfig:
    """How corners are found and paired. The defaults are CornerNet's.

    Attributes:
        top_k: Corners of each kind kept per picture, over all classes.
        peak_window: A corner must be the highest of its class among this many cells squared; odd, 1 takes every cell.
        embedding_threshold: The farthest apart that embeddings of one object's corners may lie.
        pairs: Pairs given per picture, best first.

    Raises:
        ConfigError: On a count below 1, an even window or a negative threshold.
    """

    top_k: int = 100
    peak_window: int = 3
    embedding_threshold: float = 0.5
    pairs: int = 1000

    def __post_init__(self) -> None:
        for name in ("top_k", "peak_window", "pairs"):
            if not isinstance(value := getattr(self, name), int) or value < 1:
                raise ConfigError(f"expected {name} to be a whole number from 1 up, got {value!r}")
        if self.peak_window % 2 == 0:
            raise ConfigError(f"expected peak_window to be odd, got {self.peak_window}")
        if not self.embedding_threshold >= 0:
            raise ConfigError(f"expected embedding_threshold to be 0 or more, got {self.embedding_threshold!r}")


_DEFAULT = DecodeConfig()


@dataclass(frozen=True)
class CornerPairs:
    """Boxes of each picture before soft-NMS, best first.

    Attributes:
        boxes: (N, M, 4) float32 xyxy in pixels of the network's input, less `origin` where one was given; cut off at
            0 above and to the left, not below and to the right. Finite.
        scores: (N, M) float32, the mean of both corners' probabilities; -1 for a rejected pair, whose box and label
            mean nothing.
        labels: (N, M) int64 in 0..C-1.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor


# Lets torch.export (and through it ONNX export) see the three tensors inside.
torch.export.register_dataclass(CornerPairs, serialized_type_name="cornernet.CornerPairs")


@dataclass(frozen=True)
class _Corners:
    """K corners of one kind: points (N, K, 2) in pixels, x then y; scores, labels (N, K); embeddings (N, K, E)."""

    points: Tensor
    scores: Tensor
    labels: Tensor
    embeddings: Tensor


def decode(
    maps: CornerMaps,
    input_size: tuple[int, int],
    *,
    origin: Tensor | None = None,
    config: DecodeConfig = _DEFAULT,
) -> CornerPairs:
    """Join the best top-left and bottom-right corners of each picture into boxes.

    Every top-left corner is paired with every bottom-right one. A pair is rejected when the classes differ, the
    embeddings lie farther apart than the threshold, the box would have no width or height, or a number in it is not
    finite. Nothing is waited for on a device.

    Args:
        maps: One stack's maps, in any floating dtype and memory layout; what follows the choice of cells is computed
            in float32. Embeddings of several channels are compared by Euclidean distance, which for one channel is
            the absolute difference.
        input_size: (height, width) in pixels of the network's input.
        origin: (N, 2) the x, y in pixels of each picture's top-left corner on the network's input, subtracted from
            every corner; None for (0, 0).
        config: Counts and thresholds.

    Returns:
        M = min(pairs, K * K) pairs, where K = min(top_k, C*H*W). Which of equal pairs come first is `torch.topk`'s
        choice; so is it for equal corners, see `top_peaks`. With fewer peaks than K, the missing corners have
        probability 0.
    """
    tl = _corners(maps.tl_heat, maps.tl_emb, maps.tl_off, input_size, origin, config)
    br = _corners(maps.br_heat, maps.br_emb, maps.br_off, input_size, origin, config)
    scores = (tl.scores[:, :, None] + br.scores[:, None]) / 2
    distance = torch.linalg.vector_norm(tl.embeddings[:, :, None] - br.embeddings[:, None], dim=-1)
    accepted = (
        (tl.labels[:, :, None] == br.labels[:, None])
        & (distance <= config.embedding_threshold)  # false for NaN, as is every comparison below
        & (tl.points[:, :, None] < br.points[:, None]).all(-1)
        & (scores >= 0)
    )
    corners = br.scores.shape[1]
    best, pair = torch.where(accepted, scores, -1.0).flatten(1).topk(min(config.pairs, corners * corners))
    tl_index = pair // corners
    br_index = pair - tl_index * corners
    boxes = torch.cat([_take(tl.points, tl_index), _take(br.points, br_index)], -1)
    return CornerPairs(boxes.nan_to_num(nan=0.0), best, tl.labels.gather(1, tl_index))


def _corners(
    heat: Tensor, emb: Tensor, off: Tensor, input_size: tuple[int, int], origin: Tensor | None, config: DecodeConfig
) -> _Corners:
    """The best corners of one kind: cell plus offset, scaled to pixels, less the origin, not below 0, in that order."""
    height, width = heat.shape[2:]
    peaks = top_peaks(heat, config.top_k, config.peak_window)
    cell = peaks.ys * width + peaks.xs
    offset = _take(off.flatten(2).transpose(1, 2), cell).float()
    xs = (peaks.xs + offset[..., 0]) * (input_size[1] / width)
    ys = (peaks.ys + offset[..., 1]) * (input_size[0] / height)
    points = torch.stack([xs, ys], -1)
    if origin is not None:
        points = points - origin[:, None].to(points)
    points = torch.where(torch.isfinite(points), points.clamp(min=0), torch.nan)  # NaN rejects every pair of it
    picture = torch.arange(len(heat), device=heat.device)[:, None]
    spoilt = heat[picture, peaks.labels, peaks.ys, peaks.xs].isnan()  # no peak, but named for want of better ones
    scores = torch.where(spoilt, torch.nan, peaks.logits.float().sigmoid())
    embeddings = _take(emb.flatten(2).transpose(1, 2), cell).float()
    return _Corners(points, scores, peaks.labels, embeddings)


def _take(rows: Tensor, index: Tensor) -> Tensor:
    """The rows (N, R, D) of each picture that `index` (N, K) names: (N, K, D)."""
    return rows.gather(1, index[..., None].expand(-1, -1, rows.shape[2]))
