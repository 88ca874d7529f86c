"""The errors a user can cause. Each message is one line: what was expected, what came, what to do."""

from __future__ import annotations


class CornerNetError(Exception):
    """Base of every error that tells a user about their input; the command line prints it and exits with 1."""


class ImageError(CornerNetError):
    """A picture that cannot be read, or is too large to be read safely."""


class WeightsError(CornerNetError):
    """A checkpoint that is missing, damaged, unsafe, or belongs to another model."""


class DatasetError(CornerNetError):
    """Annotations or a dataset folder that cannot be used as they are."""


class ConfigError(CornerNetError, ValueError):
    """An option, name or configuration value outside what is allowed."""


class MissingExtraError(CornerNetError, ImportError):
    """An optional package is absent; the message names the extra that brings it."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed: run pip install 'cornernet[{extra}]'"
        )
        self.args = (package, extra, purpose)  # what pickling makes the error from again, in another process
