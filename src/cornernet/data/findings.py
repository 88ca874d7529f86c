"""What a check of a dataset finds, and how grave each kind is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from cornernet.data.problems import ProblemKind


class Severity(StrEnum):
    """How grave a finding is."""

    ERROR = "error"
    """Training or evaluation would stop, or their results would mislead."""
    WARNING = "warning"
    """Mended or harmless by itself, and seldom meant."""
    NOTE = "note"
    """Good to know."""


class Fault(StrEnum):
    """What can be wrong with a dataset beyond what reading its annotations mends (`ProblemKind`)."""

    UNUSABLE = "entries that cannot be used"
    NO_BOXES = "splits without boxes"
    MISSING = "pictures that are not there"
    UNREADABLE = "pictures that cannot be read"
    OTHER_SIZE = "pictures of another size than annotated"
    SHARED = "pictures that another split holds too"
    REPEATED = "pictures that the split holds under another name too"
    ALIKE = "pictures named like one of another split"
    STRAY = "files that nobody annotated"
    UNUSED_CLASS = "categories without boxes"
    SAME_NAME = "category names used twice"
    OTHER_CLASSES = "categories unlike those of another split"
    EMPTY = "pictures without boxes"

    @property
    def severity(self) -> Severity:
        """How grave it is."""
        return _SEVERITIES.get(self, Severity.WARNING)


_SEVERITIES = {
    Fault.UNUSABLE: Severity.ERROR,
    Fault.NO_BOXES: Severity.ERROR,
    Fault.MISSING: Severity.ERROR,
    Fault.UNREADABLE: Severity.ERROR,
    Fault.OTHER_SIZE: Severity.ERROR,
    Fault.SHARED: Severity.ERROR,
    Fault.OTHER_CLASSES: Severity.ERROR,
    Fault.EMPTY: Severity.NOTE,
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was found.

    Attributes:
        kind: What it is.
        split: In which split.
        message: The case, in one line.
        file: The picture's path, where one is meant.
        image_id: Its id in the annotations.
        annotation_id: The annotation's id, where one is meant and has an id.
    """

    kind: Fault | ProblemKind
    split: str
    message: str
    file: str | None = None
    image_id: int | None = None
    annotation_id: int | None = None

    @property
    def severity(self) -> Severity:
        """How grave it is; what reading mends is a warning."""
        return self.kind.severity if isinstance(self.kind, Fault) else Severity.WARNING


@dataclass(frozen=True, kw_only=True)
class SplitSummary:
    """What can be used of one split.

    Attributes:
        split: Its name.
        annotations: Its annotation file.
        pictures: How many it lists.
        boxes: How many there are on them.
        classes: The categories' names.
    """

    split: str
    annotations: str
    pictures: int
    boxes: int
    classes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a check found.

    Attributes:
        root: The dataset's folder.
        splits: What was looked at.
        findings: Everything, split by split, in the order of the checks.
    """

    root: Path
    splits: tuple[SplitSummary, ...]
    findings: tuple[Finding, ...]

    def count(self, severity: Severity) -> int:
        """How many findings are this grave."""
        return sum(finding.severity is severity for finding in self.findings)

    @property
    def usable(self) -> bool:
        """Whether there is no error among the findings."""
        return not self.count(Severity.ERROR)

    def to_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        return {
            "root": str(self.root),
            "counts": {severity.value: self.count(severity) for severity in Severity},
            "splits": [asdict(split) for split in self.splits],
            "findings": [{"severity": f.severity.value, **asdict(f)} for f in self.findings],
        }
