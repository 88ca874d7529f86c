"""A progress bar on standard error, where that is a terminal; elsewhere nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(text: str, total: int | None) -> Iterator[Callable[[], None]]:
    """A bar for the time of the block.

    Args:
        text: What is being done.
        total: How many steps it takes; unknown if None.

    Yields:
        A function that tells the bar of one step done.
    """
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    # Lines printed to the same terminal go above the bar. Those that a pipe or file takes must not be touched.
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
    )
    with bar:
        task = bar.add_task(text, total=total)
        yield lambda: bar.advance(task)
