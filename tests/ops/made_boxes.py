"""Boxes for soft-NMS."""

import torch
from torch import Tensor


def made(n: int, m: int, classes: int, seed: int = 0, side: float = 400) -> tuple[Tensor, Tensor, Tensor]:
    """Random boxes; no two scores alike."""
    g = torch.Generator().manual_seed(seed)
    xy = torch.rand(n, m, 2, generator=g) * side
    boxes = torch.cat([xy, xy + torch.rand(n, m, 2, generator=g) * side / 2], -1)
    scores = torch.stack([torch.randperm(m, generator=g) + 1.0 for _ in range(n)]) / max(m, 1)
    return boxes, scores, torch.randint(0, classes, (n, m), generator=g)
