import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import huggingface_hub
import huggingface_hub.constants
import pytest
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled

from cornernet.errors import WeightsError
from cornernet.weights import download
from cornernet.weights.download import cache_folder, check_named_hash, fetch, fetch_hub

CONTENT = bytes(range(256)) * 20_000  # more than one chunk
HASH = hashlib.sha256(CONTENT).hexdigest()[:8]
NAME = f"net-{HASH}.pth"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CORNERNET_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache"


def serve(handler: Any) -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / NAME).write_bytes(CONTENT)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    yield from serve(partial(Quiet, directory=str(tmp_path / "site")))


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"CORNERNET_HOME": "/c", "TORCH_HOME": "/t", "XDG_CACHE_HOME": "/x"}, "/c"),
        ({"TORCH_HOME": "/t", "XDG_CACHE_HOME": "/x"}, "/t/hub/checkpoints"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/cornernet"),
        ({"HOME": "/h", "USERPROFILE": "/h"}, "/h/.cache/cornernet"),
        ({"CORNERNET_HOME": "", "XDG_CACHE_HOME": "/x"}, "/x/cornernet"),
    ],
)
def test_the_cache_lies_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], folder: str
) -> None:
    for name in ("CORNERNET_HOME", "TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(folder)


@pytest.mark.parametrize("progress", [False, True])
def test_a_file_is_downloaded_once(
    cache: Path, site: str, progress: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = fetch(f"{site}/{NAME}", sha256_prefix=HASH, progress=progress)
    assert path == cache / NAME
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in cache.iterdir()] == [NAME]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert ("net" in captured.err) == progress
    monkeypatch.setattr(download, "_open", None)  # from here on the network would fail
    assert fetch(f"{site}/{NAME}", sha256_prefix=HASH, progress=progress) == path


def test_a_file_address_works(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "x.pth").write_bytes(CONTENT)
    assert fetch((tmp_path / "x.pth").as_uri(), sha256_prefix=HASH, progress=False).read_bytes() == CONTENT


def test_a_download_with_another_hash_is_not_kept(cache: Path, site: str) -> None:
    with pytest.raises(WeightsError, match=f"starts with 00000000, got {HASH}") as caught:
        fetch(f"{site}/{NAME}", sha256_prefix="00000000", progress=False)
    assert "\n" not in str(caught.value)
    assert not list(cache.iterdir())


def test_one_flipped_byte_in_the_cache_is_noticed(cache: Path, site: str) -> None:
    path = fetch(f"{site}/{NAME}", sha256_prefix=HASH, progress=False)
    data = bytearray(CONTENT)
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="remove it and fetch it again"):
        fetch(f"{site}/{NAME}", sha256_prefix=HASH, progress=False)


def refusal(url: str, cache: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        fetch(url, sha256_prefix=HASH, progress=False)
    message = str(caught.value)
    assert url in message
    assert str(cache / url.rsplit("/", 1)[-1]) in message
    assert "\n" not in message
    assert not cache.exists() or not list(cache.iterdir())
    return message


def test_a_missing_file_names_the_address_and_the_place_to_put_it(cache: Path, site: str) -> None:
    assert "404" in refusal(f"{site}/other.pth", cache)


def test_without_a_network_the_address_and_the_place_are_named(cache: Path) -> None:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        port = server.server_port  # free again once closed
    refusal(f"http://127.0.0.1:{port}/{NAME}", cache)


def test_a_name_that_no_server_has_is_told(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise OSError(-2, "Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    assert "Name or service not known" in refusal(f"http://nowhere.invalid/{NAME}", cache)


@pytest.mark.parametrize("body", [b"", CONTENT[:1000]])
def test_a_broken_connection_keeps_nothing(cache: Path, body: bytes) -> None:
    class Breaks(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    for site in serve(Breaks):
        with pytest.raises(WeightsError):
            fetch(f"{site}/{NAME}", sha256_prefix=HASH, progress=False)
    assert not list(cache.iterdir())


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path, site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("CORNERNET_HOME", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match="expected to download"):
        fetch(f"{site}/{NAME}", sha256_prefix=HASH, progress=False)


@pytest.mark.parametrize(
    ("name", "checked"),
    [
        (NAME, True),
        ("net-00000000.pth", True),
        ("net-00000000.pkl", True),
        ("net-0000000.pth", False),
        ("net_00000000.pth", False),
        ("net-00000000.safetensors", False),
    ],
)
def test_a_hash_in_the_name_is_checked(tmp_path: Path, name: str, checked: bool) -> None:
    path = tmp_path / name
    path.write_bytes(CONTENT)
    if checked and name != NAME:
        with pytest.raises(WeightsError, match="to start with 00000000"):
            check_named_hash(path)
    else:
        check_named_hash(path)


def test_the_hub_is_asked_for_two_files_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    def snapshot(repository: str, **options: object) -> str:
        asked.update(options, repository=repository)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert fetch_hub("someone/net") == tmp_path
    assert asked == {"repository": "someone/net", "allow_patterns": ["config.json", "model.safetensors"]}


@pytest.mark.parametrize(
    "error",
    [
        LocalEntryNotFoundError("not in the cache\nand offline"),
        OfflineModeIsEnabled("offline"),
        HFValidationError("bad name"),
        OSError("no network"),
        RuntimeError(),
    ],
)
def test_the_hubs_errors_become_one_line(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fails)
    with pytest.raises(WeightsError, match="'someone/net' on the Hugging Face Hub") as caught:
        fetch_hub("someone/net")
    assert type(error).__name__ in str(caught.value)
    assert "\n" not in str(caught.value)


def test_offline_the_hub_answers_from_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's own code, as far as it goes without a network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--someone--net"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40, encoding="utf-8")
    (repository / "snapshots" / ("0" * 40)).mkdir(parents=True)
    assert fetch_hub("someone/net") == repository / "snapshots" / ("0" * 40)
    with pytest.raises(WeightsError, match="someone/other"):
        fetch_hub("someone/other")
