"""What a person sees while a network trains, on standard error: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Protocol

_SECONDS_BETWEEN_LINES = 15.0


class Display(Protocol):
    """How far training is."""

    def train(self, values: Mapping[str, float], step: int, seconds_left: float) -> None:
        """After a step: its `LogLine`'s numbers."""

    def look(self, done: int, total: int) -> None:
        """After a validation picture."""

    def say(self, text: str) -> None:
        """A line that stays."""

    def close(self) -> None:
        """Takes the bar away."""


def open_display(epochs: int, total_steps: int, steps_done: int, *, shown: bool) -> Display:
    """The display that fits standard error; one that shows nothing where it is not `shown`."""
    if not shown:
        return _Nothing()
    return _Bar(epochs, total_steps, steps_done) if sys.stderr.isatty() else _Lines(epochs, total_steps)


class _Nothing:
    def train(self, values: Mapping[str, float], step: int, seconds_left: float) -> None:
        pass

    def look(self, done: int, total: int) -> None:
        pass

    def say(self, text: str) -> None:
        pass

    def close(self) -> None:
        pass


class _Lines(_Nothing):
    def __init__(self, epochs: int, total_steps: int) -> None:
        self._epochs, self._total = epochs, total_steps
        self._next = 0.0

    def train(self, values: Mapping[str, float], step: int, seconds_left: float) -> None:
        if time.monotonic() >= self._next or step == self._total:
            self._next = time.monotonic() + _SECONDS_BETWEEN_LINES
            text = f"epoch {values['epoch']:.0f}/{self._epochs}, step {step}/{self._total}"
            self.say(f"{text}: {numbers(values)}, {_duration(seconds_left)} left")

    def say(self, text: str) -> None:
        print(f"cornernet: {text}", file=sys.stderr, flush=True)


class _Bar(_Nothing):
    def __init__(self, epochs: int, total_steps: int, steps_done: int) -> None:
        from rich.console import Console, Group
        from rich.live import Live
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.text import Text

        self._epochs = epochs
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}")
        )
        self._steps = self._bar.add_task("training", total=total_steps, completed=steps_done, left="")
        self._look = self._bar.add_task("validating", total=None, visible=False, left="")
        self._numbers = Text(no_wrap=False)
        shown = Group(self._bar, self._numbers)
        self._live = Live(shown, console=self._console, transient=True, redirect_stdout=sys.stdout.isatty())
        self._live.start()

    def train(self, values: Mapping[str, float], step: int, seconds_left: float) -> None:
        text = f"epoch {values['epoch']:.0f}/{self._epochs}"
        self._bar.update(self._steps, completed=step, description=text, left=f"{_duration(seconds_left)} left")
        self._numbers.plain = numbers(values)

    def look(self, done: int, total: int) -> None:
        self._bar.update(self._look, completed=done, total=total, visible=done < total)

    def say(self, text: str) -> None:
        self._console.print(f"cornernet: {text}", markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        self._live.stop()


def numbers(values: Mapping[str, float]) -> str:
    """A step's numbers in a few words."""
    losses = "  ".join(f"{name} {values[name]:.3f}" for name in ("det", "pull", "push", "off"))
    memory = f", {values['memory_gb']:.1f} GB" if "memory_gb" in values else ""
    return f"{losses}  lr {values['lr']:.2g}, {values['pictures_per_second']:.1f} pictures/s{memory}"


def _duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{seconds:.0f} s" if minutes < 1.5 else f"{minutes:.0f} min" if hours < 1.5 else f"{hours:.1f} h"
