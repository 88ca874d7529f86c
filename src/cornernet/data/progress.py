"""How the long work of this package tells how far it is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

Progress = Callable[[str, int], AbstractContextManager[Callable[[], None]]]
"""Given what is done and in how many steps, it shows the way for the time of a block: what the block gets, it calls
after each step."""


def silent(_text: str, _total: int) -> AbstractContextManager[Callable[[], None]]:
    """A `Progress` that shows nothing."""
    return nullcontext(lambda: None)
