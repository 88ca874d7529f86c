"""Soft-NMS, batched over pictures and classes: the function, its options, and which backend runs where.

Source: Bodla et al., "Soft-NMS: Improving Object Detection With One Line of Code", ICCV 2017; the order of operations
and the rounding are those of the implementation that CornerNet's published results were measured with.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from cornernet.errors import ConfigError
from cornernet.ops.available import has_triton
from cornernet.ops.soft_nms.host import soft_nms_host
from cornernet.ops.soft_nms.portable import soft_nms_portable
from cornernet.ops.soft_nms.types import Kept, SoftNMSConfig

__all__ = ["Kept", "SoftNMSConfig", "soft_nms"]

_DEFAULT = SoftNMSConfig()


def soft_nms(
    boxes: Tensor, scores: Tensor, labels: Tensor, *, config: SoftNMSConfig = _DEFAULT, max_det: int = 100
) -> Kept:
    """Pick the best box, let it decay the scores of its class by overlap, and again, until `max_det` are picked.

    In words, for each picture: the entry with the highest score is picked, whatever its score; the scores of the
    remaining entries of its class are multiplied by what `config.method` makes of their overlap with it; entries, of
    any class, whose score is then below `config.min_score` are dropped; and so on with what remains. Of equal scores
    the entry that comes first is picked. Works in float32 whatever comes in; nothing is waited for on a device.

    Args:
        boxes: (N, M, 4) xyxy, in pixels of any one picture.
        scores: (N, M); an entry at -0.1 or less (-1 marks a rejected pair, and pads pictures of fewer boxes), or one
            that is not finite in score or box, never takes part.
        labels: (N, M) int64 in 0..C-1.
        config: The kind of decay and its thresholds.
        max_det: The most entries to keep per picture; picks come best first, so the rest is never computed.

    Returns:
        The kept entries of each picture, D = min(max_det, M) places for each.

    Raises:
        ConfigError: When shapes do not fit each other or `max_det` is negative.
    """
    if boxes.shape != (*scores.shape, 4) or scores.shape != labels.shape or scores.ndim != 2:
        raise ConfigError(
            f"expected boxes (N, M, 4), scores (N, M) and labels (N, M), "
            f"got {tuple(boxes.shape)}, {tuple(scores.shape)} and {tuple(labels.shape)}"
        )
    if max_det < 0:
        raise ConfigError(f"expected max_det to be 0 or more, got {max_det}")
    boxes, scores = boxes.float(), scores.float()
    if min(max_det, scores.shape[1]) == 0:
        nothing = scores.new_zeros((len(scores), 0))
        return Kept(nothing.long(), nothing, nothing.long().sum(1))
    return _backend(boxes)(boxes, scores, labels, config, max_det)


def _backend(boxes: Tensor) -> Callable[[Tensor, Tensor, Tensor, SoftNMSConfig, int], Kept]:
    """What these boxes are quickest with."""
    # A traced, exported or fake tensor names a device, but has no numbers there to look at.
    if type(boxes) is not Tensor or torch.compiler.is_compiling():
        return soft_nms_portable
    if boxes.device.type == "cpu":
        return soft_nms_host
    if boxes.device.type == "cuda" and has_triton():
        from cornernet.ops.soft_nms import triton_kernel

        if boxes.shape[1] <= triton_kernel.MOST_ENTRIES:
            return triton_kernel.soft_nms_triton
    return soft_nms_portable
