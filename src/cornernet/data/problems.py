"""What was mended while reading annotations: counted by kind, with the first case of each to look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class ProblemKind(StrEnum):
    """What can be wrong with annotations that are used all the same, and what was done about it."""

    NO_AREA = "boxes without area, dropped"
    INVERTED = "boxes of negative width or height, dropped"
    OUTSIDE = "boxes wholly outside the picture, dropped"
    BEYOND = "boxes reaching beyond the picture, clipped"
    DUPLICATE_BOX = "annotations given twice (same image, category and box), dropped"
    UNKNOWN_IMAGE = "annotations of images that are not listed, dropped"
    NEGATIVE_AREA = "negative areas, computed from the box"
    ANNOTATION_ID_MISSING = "annotations without a whole number as id, numbered anew"
    ANNOTATION_ID_ZERO = "annotations with id 0, numbered anew"
    ANNOTATION_ID_TWICE = "annotation ids used twice, numbered anew"
    IMAGE_TWICE = "images listed twice, dropped"
    FILE_TWICE = "picture files listed under several image ids, kept"

    @property
    def of_images(self) -> bool:
        """Whether it is a problem of the file's images; the others are of its annotations."""
        return self in (ProblemKind.IMAGE_TWICE, ProblemKind.FILE_TWICE)


@dataclass(frozen=True)
class Problem:
    """One kind of problem.

    Attributes:
        kind: What was wrong and what was done.
        rows: Each case's position, from 0, in the file's list of annotations or images.
        example: The first case, in words.
    """

    kind: ProblemKind
    rows: tuple[int, ...]
    example: str

    @property
    def count(self) -> int:
        """How often."""
        return len(self.rows)

    def __str__(self) -> str:
        return f"{self.count} {self.kind} (first: {self.example})"


@dataclass(frozen=True)
class Problems:
    """All problems of one annotation file; false when there are none."""

    entries: tuple[Problem, ...] = ()

    def __len__(self) -> int:
        return len(self.entries)

    def count(self, kind: ProblemKind) -> int:
        """How often a kind was met."""
        return sum(problem.count for problem in self.entries if problem.kind is kind)

    def lines(self) -> list[str]:
        """One line of text for each kind that was met."""
        return [str(problem) for problem in self.entries]


class ProblemLog:
    """Collects problems while annotations are read."""

    def __init__(self) -> None:
        self._found: dict[ProblemKind, Problem] = {}

    def add(self, kind: ProblemKind, rows: Sequence[int], describe: Callable[[int], str]) -> None:
        """Counts cases: their positions in the file's list, and what says in words which one stands at a position."""
        if rows:
            before = self._found.get(kind)
            self._found[kind] = Problem(
                kind, (*before.rows, *rows) if before else tuple(rows), before.example if before else describe(rows[0])
            )

    def result(self) -> Problems:
        """What was collected, in the order of `ProblemKind`."""
        return Problems(tuple(self._found[kind] for kind in ProblemKind if kind in self._found))
