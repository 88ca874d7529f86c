"""What the network says of a picture: the six maps of one stack's corner head.

Axis legend, everywhere in this package: N images, C classes, H W cells (or pixels, where said), K corners or boxes,
E embedding channels.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class CornerMaps:
    """Heatmaps, embeddings and offsets of both corners, one cell per `stride` pixels of the network's input.

    Attributes:
        tl_heat: (N, C, H, W) logits of "a top-left corner of class c lies in this cell".
        br_heat: (N, C, H, W) logits for bottom-right corners.
        tl_emb: (N, E, H, W) embeddings; corners of one object have close ones.
        br_emb: (N, E, H, W).
        tl_off: (N, 2, H, W) where in the cell the corner lies, x then y, in cells.
        br_off: (N, 2, H, W).
    """

    tl_heat: Tensor
    br_heat: Tensor
    tl_emb: Tensor
    br_emb: Tensor
    tl_off: Tensor
    br_off: Tensor

    def float(self) -> CornerMaps:
        """The same maps in float32, in which probabilities, losses and boxes are computed."""
        return CornerMaps(**{f.name: getattr(self, f.name).float() for f in fields(self)})

    def to(self, device: torch.device) -> CornerMaps:
        """The same maps on another device."""
        return CornerMaps(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


# Lets torch.export (and through it ONNX export) see the six tensors inside.
torch.export.register_dataclass(CornerMaps, serialized_type_name="cornernet.CornerMaps")
