"""Reading pictures ahead of the network, in order and in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cornernet.errors import CornerNetError


@dataclass(frozen=True)
class Read:
    """One source after reading: its picture, or the error that came instead."""

    source: Any
    picture: NDArray[np.uint8] | None
    error: CornerNetError | None


def read_ahead(
    sources: Iterable[Any], read: Callable[[Any], NDArray[np.uint8]], workers: int, ahead: int
) -> Iterator[Read]:
    """Each source read, in order, by threads that stay at most `ahead` pictures in front of the consumer."""

    def attempt(source: Any) -> Read:
        try:
            return Read(source, read(source), None)
        except CornerNetError as error:
            return Read(source, None, error)

    with ThreadPoolExecutor(workers, thread_name_prefix="cornernet-read") as pool:
        pending: deque[Future[Read]] = deque()
        todo = iter(sources)
        try:
            pending.extend(pool.submit(attempt, source) for source in islice(todo, ahead))
            while pending:
                done = pending.popleft().result()
                pending.extend(pool.submit(attempt, source) for source in islice(todo, 1))
                yield done
        finally:  # the consumer stopped early: do not read what nobody will see
            for future in pending:
                future.cancel()


def window_size(batch: int) -> int:
    """Pictures looked at together: more than a batch, so that some of one canvas size are found among mixed sizes."""
    return 1 if batch == 1 else 4 * batch


def windows(items: Iterable[Read], size: int) -> Iterator[list[Read]]:
    """The items in lists of `size`; the last may be shorter."""
    todo = iter(items)
    while window := list(islice(todo, size)):
        yield window
