"""A picture's way to boxes: canvas -> network -> corner pairs -> soft-NMS -> the picture's own pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cornernet.corners.decode import CornerPairs, DecodeConfig, decode
from cornernet.inference.cudnn import full_precision
from cornernet.inference.geometry import Placement, View, origins, place, to_picture
from cornernet.inference.graphs import Network
from cornernet.inference.preprocess import to_canvas
from cornernet.ops.soft_nms import Kept, SoftNMSConfig, soft_nms
from cornernet.structures.maps import CornerMaps
from cornernet.weights.record import Preprocessing


@dataclass(frozen=True)
class BatchBoxes:
    """The boxes of N pictures, best first, on the device; a score of -1 marks an empty place.

    Attributes:
        boxes: (N, D, 4) float32 xyxy in pixels of each original picture.
        scores: (N, D) float32.
        labels: (N, D) int64.
        finite: (N,) bool, false where the network's output was not finite.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    finite: Tensor


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """The network and everything around it, for batches of pictures that share their canvases.

    Called, it goes the whole way; each step is a method of its own, so that it can be timed alone.

    Attributes:
        network: Prepared for inference, on its device.
        preprocessing: How the weights want their pictures.
        decoding: Thresholds and counts of the decoder.
        nms: Method and parameters of soft-NMS.
        device: Where the network is.
        dtype: Type the network computes in.
    """

    network: Network
    preprocessing: Preprocessing
    decoding: DecodeConfig
    nms: SoftNMSConfig
    device: torch.device
    dtype: torch.dtype

    def placements(self, size: tuple[int, int], views: Sequence[View]) -> list[Placement]:
        """Where a picture of (height, width) pixels lies on each view's canvas."""
        return [place(size, self.preprocessing.canvas, view, scale=self.preprocessing.scale) for view in views]

    def placed(self, pictures: Sequence[NDArray[np.uint8]], view: View) -> list[Placement]:
        """Where each of N pictures lies on a view's canvas."""
        return [self.placements((p.shape[0], p.shape[1]), [view])[0] for p in pictures]

    def canvases(self, pictures: list[NDArray[np.uint8]], placements: list[Placement]) -> Tensor:
        """The network's input of N pictures in one view."""
        return to_canvas(pictures, placements, self.preprocessing, device=self.device, dtype=self.dtype)

    def maps(self, canvases: Tensor) -> CornerMaps:
        """The network's maps, float32."""
        with full_precision(self.device, self.dtype):
            return self.network(canvases).float()

    def pairs(self, maps: CornerMaps, placements: list[Placement]) -> CornerPairs:
        """Joined corners, in pixels of the resized pictures."""
        return decode(maps, placements[0].canvas, origin=origins(placements, self.device), config=self.decoding)

    def kept(self, pairs: CornerPairs, max_det: int) -> Kept:
        """The pairs that soft-NMS keeps."""
        return soft_nms(pairs.boxes, pairs.scores, pairs.labels, config=self.nms, max_det=max_det)

    def on_pictures(self, maps: CornerMaps, pairs: CornerPairs, kept: Kept, placements: list[Placement]) -> BatchBoxes:
        """What was kept, in pixels of the original pictures."""
        boxes, scores, labels = _gather(kept, pairs.boxes, pairs.labels)
        # The two embedding maps are small, and not finite when the features they come from are not.
        finite = torch.isfinite(maps.tl_emb + maps.br_emb).flatten(1).all(dim=1)
        return BatchBoxes(to_picture(boxes, placements), scores, labels, finite)

    def __call__(self, pictures: list[NDArray[np.uint8]], views: Sequence[View], max_det: int) -> BatchBoxes:
        """Boxes of N pictures; every view is a whole prediction, and several views are merged by soft-NMS again.

        Args:
            pictures: (height, width, 3) uint8 RGB; in each view, their canvases must be of one size.
            views: Scales and flips to look at.
            max_det: Boxes kept per picture, of each view and of all together.
        """
        found = [self._one_view(pictures, view, max_det) for view in views]
        if len(found) == 1:
            return found[0]
        boxes, scores, labels = (
            torch.cat([getattr(view, name) for view in found], dim=1) for name in ("boxes", "scores", "labels")
        )
        kept = soft_nms(boxes, scores, labels, config=self.nms, max_det=max_det)
        finite = torch.stack([view.finite for view in found]).all(dim=0)
        return BatchBoxes(*_gather(kept, boxes, labels), finite)

    def _one_view(self, pictures: list[NDArray[np.uint8]], view: View, max_det: int) -> BatchBoxes:
        placements = self.placed(pictures, view)
        maps = self.maps(self.canvases(pictures, placements))
        pairs = self.pairs(maps, placements)
        return self.on_pictures(maps, pairs, self.kept(pairs, max_det), placements)


def _gather(kept: Kept, boxes: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes, decayed scores and labels of what soft-NMS kept; score -1 in empty places."""
    index = kept.index.clamp(min=0)
    scores = torch.where(kept.index >= 0, kept.scores, -1.0)
    return boxes.gather(1, index[..., None].expand(-1, -1, 4)), scores, labels.gather(1, index)
