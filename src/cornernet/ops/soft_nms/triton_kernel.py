# Triton itself is not typed:
# mypy: disable-error-code="no-untyped-call, no-untyped-def, untyped-decorator"
"""Soft-NMS on a GPU: one Triton program for each picture, its entries in registers from the first pick to the last.

In plain PyTorch every pick is four small kernels, whose launches alone take milliseconds a batch.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from cornernet.ops.soft_nms.types import ABSENT, PRESENT_ABOVE, Kept, SoftNMSConfig

MOST_ENTRIES = 8192
"""Entries of a picture that registers have room for."""

_METHODS = {"gaussian": 0, "linear": 1, "hard": 2}


def soft_nms_triton(boxes: Tensor, scores: Tensor, labels: Tensor, config: SoftNMSConfig, max_det: int) -> Kept:
    """The definition in `cornernet.ops.soft_nms.soft_nms`, for up to `MOST_ENTRIES` entries a picture on a GPU."""
    pictures, entries = scores.shape
    places = min(max_det, entries)
    index = torch.empty(pictures, places, dtype=torch.int64, device=scores.device)
    kept = torch.empty(pictures, places, dtype=torch.float32, device=scores.device)
    count = torch.empty(pictures, dtype=torch.int64, device=scores.device)
    if pictures == 0:
        return Kept(index, kept, count)
    block = max(16, triton.next_power_of_2(entries))
    with torch.cuda.device_of(scores):
        _kernel[(pictures,)](
            boxes.contiguous(),
            scores.contiguous(),
            labels.contiguous(),
            index,
            kept,
            count,
            entries,
            places,
            config.sigma,
            config.iou_threshold,
            config.min_score,
            METHOD=_METHODS[config.method],
            PRESENT_ABOVE=PRESENT_ABOVE,
            ABSENT=ABSENT,
            BLOCK=block,
            num_warps=max(1, min(16, block // 256)),
            enable_fp_fusion=False,  # the rounding of boxes shifted by class is the reference's: see portable.py
        )
    return Kept(index, kept, count)


@triton.jit
def _kernel(
    boxes_ptr,
    scores_ptr,
    labels_ptr,
    index_ptr,
    kept_ptr,
    count_ptr,
    entries,
    places,
    sigma,
    iou_threshold,
    min_score,
    METHOD: tl.constexpr,
    PRESENT_ABOVE: tl.constexpr,
    ABSENT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    picture = tl.program_id(0).to(tl.int64)
    boxes_ptr += picture * entries * 4
    scores_ptr += picture * entries
    labels_ptr += picture * entries
    entry = tl.arange(0, BLOCK)
    here = entry < entries
    x0 = tl.load(boxes_ptr + entry * 4, mask=here, other=0.0)
    y0 = tl.load(boxes_ptr + entry * 4 + 1, mask=here, other=0.0)
    x1 = tl.load(boxes_ptr + entry * 4 + 2, mask=here, other=0.0)
    y1 = tl.load(boxes_ptr + entry * 4 + 3, mask=here, other=0.0)
    score = tl.load(scores_ptr + entry, mask=here, other=ABSENT)
    label = tl.load(labels_ptr + entry, mask=here, other=-1)

    # What is not finite, less itself, is NaN.
    odd = (score - score) + (x0 - x0) + (y0 - y0) + (x1 - x1) + (y1 - y1)
    present = here & (score > PRESENT_ABOVE) & (odd == 0.0)
    x0 = tl.where(present, x0, 0.0)
    y0 = tl.where(present, y0, 0.0)
    x1 = tl.where(present, x1, 0.0)
    y1 = tl.where(present, y1, 0.0)
    largest = tl.where(here, tl.maximum(tl.maximum(x0, x1), tl.maximum(y0, y1)), float("-inf"))
    reach = tl.max(largest, 0) + 1.0
    shift = label.to(tl.float32) * reach
    x0 += shift
    y0 += shift
    x1 += shift
    y1 += shift
    area = (x1 - x0) * (y1 - y0)
    alive = tl.where(present, score, ABSENT)

    found = 0
    for place in range(places):
        top, pick = tl.max(alive, 0, return_indices=True, return_indices_tie_break_left=True)
        # Nothing is dropped before the first pick, everything below the minimum after it.
        keep = top >= tl.where(place == 0, PRESENT_ABOVE, min_score)
        if keep:
            found += 1
            pick_label = tl.load(labels_ptr + pick)
            pick_shift = pick_label.to(tl.float32) * reach
            pick_x0 = tl.load(boxes_ptr + pick * 4) + pick_shift
            pick_y0 = tl.load(boxes_ptr + pick * 4 + 1) + pick_shift
            pick_x1 = tl.load(boxes_ptr + pick * 4 + 2) + pick_shift
            pick_y1 = tl.load(boxes_ptr + pick * 4 + 3) + pick_shift
            width = tl.maximum(tl.minimum(x1, pick_x1) - tl.maximum(x0, pick_x0), 0.0)
            height = tl.maximum(tl.minimum(y1, pick_y1) - tl.maximum(y0, pick_y0), 0.0)
            shared = width * height
            union = (pick_x1 - pick_x0) * (pick_y1 - pick_y0) + area - shared
            iou = tl.div_rn(shared, tl.maximum(union, 1.1754943508222875e-38))  # no area overlaps by 0, not 0 / 0
            if METHOD == 0:
                weight = tl.exp(tl.div_rn(-(iou * iou), sigma + tl.zeros_like(iou)))
            elif METHOD == 1:
                weight = tl.where(iou >= iou_threshold, 1.0 - iou, 1.0)
            else:
                weight = tl.where(iou >= iou_threshold, 0.0, 1.0)
            alive = tl.where(label == pick_label, alive * weight, alive)
            alive = tl.where(entry == pick, ABSENT, alive)
        tl.store(index_ptr + picture * places + place, tl.where(keep, pick, -1).to(tl.int64))
        tl.store(kept_ptr + picture * places + place, tl.where(keep, top, ABSENT))
    tl.store(count_ptr + picture, found)
