"""The four directions of corner pooling, and what each means for a loop."""

from __future__ import annotations

from typing import Literal

Direction = Literal["top", "left", "bottom", "right"]
"""Where corner pooling brings features to: the border its name says."""


def axis_of(direction: str) -> int:
    """Return the axis of an (N, C, H, W) map that a direction pools along: -2 down the columns or -1 along the rows."""
    return -2 if direction in ("top", "bottom") else -1


def starts_at_end(direction: str) -> bool:
    """Return whether the running maximum starts at the axis's last cell (top, left) and not at its first."""
    return direction in ("top", "left")
