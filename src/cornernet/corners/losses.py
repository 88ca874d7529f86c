"""How wrong the corner maps are: the focal, pull, push and offset losses (the paper's equations 1, 2, 4, 5 and 6).

The arithmetic is MMDetection's, which the published results were trained with; where it differs from the paper's or
is made numerically sound, the function says so. Nothing here waits for the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, smooth_l1_loss

from cornernet.errors import ConfigError
from cornernet.structures.maps import CornerMaps
from cornernet.structures.targets import CornerTargets


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights and shapes of the four losses. The defaults are MMDetection's, those of every published recipe.

    Attributes:
        alpha: Focal loss: power of the probability of being wrong, which turns the loss to the hard cells. 1 or more:
            below, the gradient has no bound.
        gamma: Focal loss: power of 1 - target, which spares the cells near a corner.
        margin: Push loss: how far apart the embeddings of different objects should at least lie.
        beta: Offset loss: where smooth L1 turns from a parabola into a line, in cells.
        heat_weight: Weight of the focal loss.
        pull_weight: Weight of the pull loss.
        push_weight: Weight of the push loss.
        offset_weight: Weight of the offset loss.

    Raises:
        ConfigError: On a negative number, an alpha below 1, or a margin or beta of 0.
    """

    alpha: float = 2.0
    gamma: float = 4.0
    margin: float = 1.0
    beta: float = 1.0
    heat_weight: float = 1.0
    pull_weight: float = 0.1
    push_weight: float = 0.1
    offset_weight: float = 1.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            above_zero = field.name in ("margin", "beta")
            least = 1 if field.name == "alpha" else 0
            if not least <= value < float("inf") or (above_zero and value == 0):
                wanted = "above 0" if above_zero else f"of {least} or more"
                raise ConfigError(f"expected {field.name} {wanted}, got {value!r}")


_DEFAULT = LossConfig()


@dataclass(frozen=True)
class LossTerms:
    """The four losses, weighted and summed over the stacks: scalars, float32, or float64 where the maps were.

    Attributes:
        det: Focal loss of the heatmaps.
        pull: Embeddings of one object's corners, drawn together.
        push: Embeddings of different objects, driven apart.
        off: Smooth L1 of the offsets.
    """

    det: Tensor
    pull: Tensor
    push: Tensor
    off: Tensor

    @property
    def total(self) -> Tensor:
        """What is minimised: their sum."""
        return self.det + self.pull + self.push + self.off


def corner_loss(
    stacks: Sequence[CornerMaps],
    targets: CornerTargets,
    config: LossConfig = _DEFAULT,
    *,
    counts: Tensor | None = None,
) -> LossTerms:
    """The losses of every stack's maps, added up.

    Focal and offset loss are divided by the number of corners in the batch and averaged over the two kinds of corner.
    Pull and push are means within a picture, summed over pictures: with the batch grows their weight against the other
    two. All is finite for finite maps, also without boxes; a term that no box takes part in is 0 and has gradient 0.

    Args:
        stacks: `CornerNet.all_stacks`, in any floating dtype and memory layout. Computed in float32, or float64 where
            the heatmaps are, whatever the autocast.
        targets: Those of the same batch, classes and map size.
        config: Weights and shapes of the losses.
        counts: (4,) positive, what to divide by instead of `targets.counts()`, or 1 where these are 0: their mean over
            a distributed run's processes, say.

    Raises:
        ConfigError: Without a stack, or when heatmaps differ from the targets' in shape.
    """
    _check(stacks, targets)
    divisors = targets.counts().clamp(min=1) if counts is None else counts
    tl_peaks, br_peaks, tl_corners, br_corners = divisors.unbind()
    tl_wrong, br_wrong = _FocalTarget.of(targets.tl_heat, config.gamma), _FocalTarget.of(targets.br_heat, config.gamma)
    picture = targets.image_index
    of_picture = picture == torch.arange(len(targets.tl_heat), device=picture.device)[:, None]  # (N, M)
    objects = of_picture.sum(1)  # (N,)

    terms = []
    for maps in stacks:
        dtype = torch.promote_types(maps.tl_heat.dtype, torch.float32)
        tl_det = _focal(maps.tl_heat, tl_wrong, config.alpha, dtype) / tl_peaks
        br_det = _focal(maps.br_heat, br_wrong, config.alpha, dtype) / br_peaks
        tl_emb = _take(maps.tl_emb, picture, targets.tl_cell).to(dtype)
        br_emb = _take(maps.br_emb, picture, targets.br_cell).to(dtype)
        pull = ((tl_emb - br_emb).square().sum(1) / (2 * objects[picture])).sum()
        push = _push((tl_emb + br_emb).sum(1) / 2, of_picture, objects, config.margin)
        tl_off = _offset(_take(maps.tl_off, picture, targets.tl_cell).to(dtype), targets.tl_off, config.beta)
        br_off = _offset(_take(maps.br_off, picture, targets.br_cell).to(dtype), targets.br_off, config.beta)
        off = (tl_off * targets.tl_last).sum() / tl_corners + (br_off * targets.br_last).sum() / br_corners
        terms.append(torch.stack([(tl_det + br_det) / 2, pull, push, off / 2]).to(dtype))
    det, pull, push, off = torch.stack(terms).sum(0).unbind()
    return LossTerms(
        det * config.heat_weight, pull * config.pull_weight, push * config.push_weight, off * config.offset_weight
    )


def _check(stacks: Sequence[CornerMaps], targets: CornerTargets) -> None:
    if not stacks:
        raise ConfigError("expected the maps of one stack or more, got none")
    for maps in stacks:
        if maps.tl_heat.shape != targets.tl_heat.shape:
            raise ConfigError(
                f"expected heatmaps of the targets' shape (N, C, H, W) {tuple(targets.tl_heat.shape)}, got "
                f"{tuple(maps.tl_heat.shape)}: give corner_targets the batch's size, classes and map_size"
            )


@dataclass(frozen=True)
class _FocalTarget:
    """Where the logit must be high, and how much each cell matters; the same for all stacks. Both (N, C, H, W)."""

    positive: Tensor
    weight: Tensor

    @classmethod
    def of(cls, heat: Tensor, gamma: float) -> _FocalTarget:
        positive = heat == 1
        return cls(positive, torch.where(positive, 1.0, (1 - heat).pow(gamma)))


def _focal(logits: Tensor, target: _FocalTarget, alpha: float, dtype: torch.dtype) -> Tensor:
    """The sum of w * -log(1 - q) * q^alpha over all cells, with q the probability given to the wrong answer.

    The reference takes log(1 - q + 1e-12) of a rounded 1 - q: in float32 its gradient is gone, or 1e12 times too
    large, from logits of 17 on. The logarithm of the sigmoid, taken from the logit, has no such edge; where 1 - q is
    above 1e-3 the two agree to 1e-9.
    """
    # Cast and layout change in one pass: the targets are contiguous, maps may be channels-last.
    logits = logits.to(dtype, memory_format=torch.contiguous_format)
    wrong = torch.where(target.positive, -logits, logits)
    return (wrong.sigmoid().pow(alpha) * -logsigmoid(-wrong) * target.weight).sum()


def _push(centers: Tensor, of_picture: Tensor, objects: Tensor, margin: float) -> Tensor:
    """The mean of relu(margin - |a - b|) over the pairs a, b of a picture, summed over pictures.

    With a picture's centres in order, a pair nearer than the margin adds margin - upper + lower. The sum over pairs
    is therefore linear in each centre, with a slope that counts the objects near above less those near below, and
    both counts are found by binary search: M log M per picture, and no matrix of pairs.

    Args:
        centers: (M,) the mean of both corners' embeddings, summed over the embedding's channels: where there are
            several, the reference, too, compares their sums.
        of_picture: (N, M) bool, whether the object belongs to the picture.
        objects: (N,) int64, objects per picture.
        margin: Distance beyond which a pair adds nothing.
    """
    # (N, M): each row a picture's objects in ascending order, then infinities in place of the other pictures'.
    ordered, order = torch.where(of_picture, centers.detach(), torch.inf).sort(dim=1)
    place = torch.arange(ordered.shape[1], device=ordered.device).expand_as(ordered).contiguous()
    equal_from = torch.searchsorted(ordered, ordered)
    # Rounding can lift the second above the first: at 1e8, a float32 less 1 is the same.
    near_from = torch.minimum(torch.searchsorted(ordered, ordered - margin, right=True), equal_from)
    near_below = equal_from - near_from
    # The objects that have this one near below: those whose range has begun by this place, less those it has ended for.
    near_above = torch.searchsorted(near_from, place, right=True) - torch.searchsorted(equal_from, place, right=True)
    pairs = near_below + (place - equal_from)  # equal ones pull in no direction, but are at full margin's cost
    real = place < objects[:, None]
    # Not centers[order]: of a single object, PyTorch 2.13 fails to compile its gradient for CPUs.
    placed = centers.expand_as(order).gather(1, order)
    total = (margin * pairs.to(centers.dtype) + (near_above - near_below) * placed) * real
    return (total.sum(1) * 2 / (objects * (objects - 1)).clamp(min=1)).sum()


def _offset(found: Tensor, wanted: Tensor, beta: float) -> Tensor:
    """(M,) smooth L1 of (M, 2) offsets, summed over x and y."""
    return smooth_l1_loss(found, wanted.to(found.dtype), reduction="none", beta=beta).sum(1)


def _take(maps: Tensor, picture: Tensor, cell: Tensor) -> Tensor:
    """(M, D): the channels of (N, D, H, W) maps in these (M,) cells of these (M,) pictures."""
    return maps.flatten(2)[picture, :, cell]
