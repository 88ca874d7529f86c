"""Soft-NMS in plain PyTorch, for every device: no loop over boxes, no wait for it, no shape that depends on data.

The overlaps of all pairs are computed at once, so that a pick costs four small operations. That takes a few (N, M, M)
float32 tensors: 4 MB each for a picture's 1000 boxes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cornernet.ops.soft_nms.types import ABSENT, PRESENT_ABOVE, Kept, SoftNMSConfig


def soft_nms_portable(boxes: Tensor, scores: Tensor, labels: Tensor, config: SoftNMSConfig, max_det: int) -> Kept:
    """The definition in `cornernet.ops.soft_nms.soft_nms`, with tensors on any device."""
    present = (scores > PRESENT_ABOVE) & torch.isfinite(scores) & torch.isfinite(boxes).all(-1)
    boxes = torch.where(present[..., None], boxes, 0)
    weights = _weights(_shift_by_class(boxes, labels), labels, config)
    alive = torch.where(present, scores, ABSENT)
    picks, tops = [], []
    for _ in range(min(max_det, scores.shape[1])):
        top, pick = alive.max(dim=1, keepdim=True)  # the first of equal scores
        picks.append(pick)
        tops.append(top)
        row = pick[..., None].expand(-1, 1, weights.shape[2])
        alive = (alive * weights.gather(1, row).squeeze(1)).scatter(1, pick, ABSENT)
    return _kept(torch.cat(picks, 1), torch.cat(tops, 1), config)


def _shift_by_class(boxes: Tensor, labels: Tensor) -> Tensor:
    """Boxes moved apart by class, as the reference does before it takes overlaps.

    It is not needed to keep classes apart, but coordinates thousands of pixels out have fewer bits left for fractions:
    with 80 classes this changes decayed scores in the fourth digit, and published results were measured with it.
    """
    reach = boxes.amax(dim=(1, 2), keepdim=True) + 1
    return boxes + labels[..., None].to(boxes.dtype) * reach


def _weights(boxes: Tensor, labels: Tensor, config: SoftNMSConfig) -> Tensor:
    """(N, M, M): what a pick of the first entry leaves of the second one's score."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    width = torch.minimum(x2[:, :, None], x2[:, None]) - torch.maximum(x1[:, :, None], x1[:, None])
    height = torch.minimum(y2[:, :, None], y2[:, None]) - torch.maximum(y1[:, :, None], y1[:, None])
    shared = width.clamp(min=0) * height.clamp(min=0)
    area = (x2 - x1) * (y2 - y1)
    union = area[:, :, None] + area[:, None] - shared
    iou = shared / union.clamp(min=torch.finfo(union.dtype).tiny)  # two boxes without area overlap by 0, not 0 / 0
    if config.method == "gaussian":
        weight = torch.exp(-(iou * iou) / config.sigma)
    else:
        weight = torch.where(iou >= config.iou_threshold, 1 - iou if config.method == "linear" else 0.0, 1.0)
    return torch.where(labels[:, :, None] == labels[:, None], weight, 1.0)


def _kept(picks: Tensor, tops: Tensor, config: SoftNMSConfig) -> Kept:
    # Scores only ever fall, so what is below the minimum when picked is what the reference had dropped by then: nothing
    # is dropped before the first pick, everything below the minimum after it.
    floor = torch.full_like(tops, config.min_score)
    floor[:, :1] = PRESENT_ABOVE
    keep = tops >= floor
    return Kept(torch.where(keep, picks, -1), torch.where(keep, tops, ABSENT), keep.sum(1))
