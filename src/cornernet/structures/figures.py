"""Figures of matplotlib, an extra that is imported only when one is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cornernet.errors import MissingExtraError
from cornernet.structures.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def require_plots() -> None:
    """Finds out whether figures can be drawn, before the long work that leads to them.

    Raises:
        MissingExtraError: Without matplotlib (extra `plots`).
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("matplotlib", "plots", "drawing a figure") from error


def new_figure(inches: tuple[float, float], **layout: float) -> Figure:
    """An empty figure of that width and height; `layout` is what its panels are spaced by.

    Raises:
        MissingExtraError: Without matplotlib (extra `plots`).
    """
    require_plots()
    from matplotlib.figure import Figure  # by itself it draws with Agg and keeps no global state
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    spacing: Any = layout
    return Figure(figsize=inches, dpi=120, layout=ConstrainedLayoutEngine(**spacing))


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure, whole or not at all; the suffix (.png, .svg, .pdf) decides the format.

    Raises:
        OSError: When the file cannot be written.
    """
    with atomic_path(path) as temporary:
        figure.savefig(temporary)
