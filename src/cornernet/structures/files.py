"""Files that appear whole or not at all: written beside their final name, then renamed onto it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path to write to, which becomes `path` when the block ends without an error.

    The temporary file lies in the same folder (a rename does not cross file systems) and has the same suffix (many
    writers choose the format by it); its name starts with a dot. Its content is on the disk before the rename, so
    `path` holds either its old content or all of the new one, whatever happens in between. When the block raises,
    the temporary file is removed and `path` is left as it was.

    Args:
        path: The final name; missing parent folders are made, a file of that name is replaced.

    Yields:
        A path at which nothing exists yet; the block must write a file there.

    Raises:
        OSError: When the folder cannot be written to, or the block wrote nothing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not tempfile.mkstemp: its files are readable by their owner alone, and would stay so under their final name.
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb+") as file:  # writable, which Windows asks for to flush
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomic(path: Path, data: bytes | str) -> None:
    """Writes a whole file at once; see `atomic_path`.

    Args:
        path: The file's name; missing parent folders are made, a file of that name is replaced.
        data: The content; text is written as UTF-8, its line ends as they are.

    Raises:
        OSError: When the file cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)
