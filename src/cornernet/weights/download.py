"""Getting a checkpoint from the network into the cache, and making sure that it is the published one."""

from __future__ import annotations

import hashlib
import os
import re
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import IO, cast

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from cornernet.errors import WeightsError
from cornernet.structures.files import atomic_path
from cornernet.weights.native import CONFIG, WEIGHTS

TIMEOUT = 30.0
"""Seconds without an answer after which the network counts as absent."""

_HASHED = re.compile(r".+-([0-9a-f]{8})\.(?:pth|pt|pkl)")
_CHUNK = 1 << 20


def cache_folder() -> Path:
    """Where downloaded checkpoints lie.

    `$CORNERNET_HOME`; else torch.hub's folder, where `$TORCH_HOME` is set; else `cornernet` in `$XDG_CACHE_HOME` or
    `~/.cache`.
    """
    if own := os.environ.get("CORNERNET_HOME"):
        return Path(own).expanduser()
    if torch_home := os.environ.get("TORCH_HOME"):
        return Path(torch_home).expanduser() / "hub" / "checkpoints"
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "cornernet"


def fetch(url: str, *, sha256_prefix: str, progress: bool = True) -> Path:
    """The file at this address, from the cache or else from the network, its hash checked in either case.

    Args:
        url: http, https or file.
        sha256_prefix: How the hexadecimal SHA-256 of the file begins.
        progress: Whether to draw a progress bar on stderr.

    Raises:
        WeightsError: When the file cannot be had, with its address and the path to put it at; or when it is not the
            one expected, in which case it is not kept.
    """
    path = cache_folder() / url.rsplit("/", 1)[-1]
    if path.is_file():
        check_sha256(path, sha256_prefix)
        return path
    digest = hashlib.sha256()
    try:
        with atomic_path(path) as temporary:
            with _open(url) as response, temporary.open("xb") as file, _bar(path.name, response, progress) as source:
                while chunk := source.read(_CHUNK):
                    digest.update(chunk)
                    file.write(chunk)
            if not digest.hexdigest().startswith(sha256_prefix):
                raise WeightsError(
                    f"expected a file whose SHA-256 starts with {sha256_prefix}, got {digest.hexdigest()[:8]} from "
                    f"{url}: the download was damaged or replaced, nothing was kept, try again"
                )
    except (OSError, HTTPException) as error:
        reason = " ".join(str(error).split()).strip("<>") or type(error).__name__
        raise WeightsError(
            f"expected to download {url}, got {reason}: download it on a machine with a network and put it at {path}"
        ) from error
    return path


def check_sha256(path: Path, prefix: str) -> None:
    """Makes sure that a file is the published one: one flipped byte is enough to fail.

    Raises:
        WeightsError: When its SHA-256 does not begin with `prefix`.
        OSError: When it cannot be read.
    """
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(prefix):
        raise WeightsError(
            f"expected the SHA-256 of {path} to start with {prefix}, got {found[:8]}: the file is damaged or another "
            "one, remove it and fetch it again (or rename it, if its name was never meant to end in a hash)"
        )


def check_named_hash(path: Path) -> None:
    """Holds a file against the hash in its name, where there is one (`NAME-79b44c30.pth`).

    Raises:
        WeightsError: When the two differ.
        OSError: When it cannot be read.
    """
    if hashed := _HASHED.fullmatch(path.name):
        check_sha256(path, hashed[1])


def fetch_hub(repository: str) -> Path:
    """The folder of a Hugging Face Hub repository in our format, from the hub's own cache or the network.

    `HF_HOME`, `HF_TOKEN` and `HF_HUB_OFFLINE` are honoured.

    Args:
        repository: "user/name".

    Raises:
        WeightsError: When it cannot be had.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, allow_patterns=[CONFIG, WEIGHTS]))
    except Exception as error:  # its errors come from several HTTP libraries, by version; each means the same to a user
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise WeightsError(
            f"expected the repository {repository!r} on the Hugging Face Hub, got {type(error).__name__}: {reason}; "
            f"check the name and the network, or download {CONFIG} and {WEIGHTS} into a folder and give its path"
        ) from error


def _open(url: str) -> IO[bytes]:
    request = urllib.request.Request(url, headers={"User-Agent": "cornernet"})
    return cast(IO[bytes], urllib.request.urlopen(request, timeout=TIMEOUT))


@contextmanager
def _bar(name: str, response: IO[bytes], progress: bool) -> Iterator[IO[bytes]]:
    """The response, drawn as it is read."""
    length = getattr(response, "headers", {}).get("Content-Length")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not progress) as bar:
        yield bar.wrap_file(response, total=int(length) if length else None, description=name)  # type: ignore[arg-type]
