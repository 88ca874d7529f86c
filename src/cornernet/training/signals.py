"""Ending a run in good order when the system or the user asks for it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch

from cornernet.training.module import mean_over_processes

_STEPS_BETWEEN = 10


class StopRequest:
    """Whether somebody wants the run to end: SIGTERM (a scheduler) or SIGINT (Ctrl-C).

    Attributes:
        signal: The signal's number; 0 when none came.
    """

    def __init__(self) -> None:
        self.signal = 0

    def agreed(self, device: torch.device, world_size: int, step: int) -> bool:
        """Whether any process was asked; every process must call this after every step.

        Several processes ask each other every tenth step, as each time all wait for the slowest; until then nobody
        stops.
        """
        if world_size > 1:
            if step % _STEPS_BETWEEN != 0:
                return False
            mean = mean_over_processes(torch.tensor(float(self.signal), device=device))
            self.signal = self.signal or round(float(mean) * world_size)
        return self.signal != 0


@contextmanager
def listening() -> Iterator[StopRequest]:
    """Notes the first signal, so that the step under way can end; the second acts as ever."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():  # signals reach no other
        yield request
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def note(number: int, frame: FrameType | None) -> None:
        request.signal = number
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in before:
        signal.signal(number, note)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
