from __future__ import annotations

from pathlib import Path

import pytest

from cornernet.cli.output import Background, Names, run_folder, write_picture
from cornernet.cli.sources import find_sources
from cornernet.errors import ImageError


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a2.jpg", "a10.PNG", "clip.mp4", "notes.txt", "odd[1].jpg", ".hidden.jpg", "sub/c.webp", "sub/d.MOV"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    Path("videos").mkdir()
    Path("videos/e.mkv").touch()
    return tmp_path


def names(*sources: str, recursive: bool = False) -> tuple[list[str], list[str]]:
    found = find_sources(sources, recursive=recursive)
    return [s if isinstance(s, str) else s.as_posix() for s in found.pictures], [v.as_posix() for v in found.videos]


def test_folders(tree):
    assert names(".") == (["a2.jpg", "a10.PNG", "odd[1].jpg"], ["clip.mp4"])
    pictures, videos = names(".", recursive=True)
    assert set(pictures) == {"a2.jpg", "a10.PNG", "odd[1].jpg", "sub/c.webp"}
    assert set(videos) == {"clip.mp4", "sub/d.MOV", "videos/e.mkv"}
    assert names("videos") == ([], ["videos/e.mkv"])


def test_patterns(tree):
    assert names("a*") == (["a10.PNG", "a2.jpg"], [])
    assert names("*") == (["a10.PNG", "a2.jpg", "odd[1].jpg"], ["clip.mp4"])
    assert names("**/*.webp") == (["sub/c.webp"], [])
    assert names(str(tree / "sub" / "*")) == ([(tree / "sub/c.webp").as_posix()], [(tree / "sub/d.MOV").as_posix()])


def test_files_and_addresses(tree):
    assert names("odd[1].jpg", "notes.txt") == (["odd[1].jpg", "notes.txt"], [])
    assert names("https://host/x.jpg?size=1", "a2.jpg") == (["https://host/x.jpg?size=1", "a2.jpg"], [])


def test_nothing_twice(tree):
    assert names("a2.jpg", "*.jpg", "a2.jpg") == (["a2.jpg", "odd[1].jpg"], [])


@pytest.mark.parametrize("source", ["b.jpg", "b*.jpg", "notes*", "empty"])
def test_what_is_not_there_is_named(tree, source):
    Path("empty").mkdir()
    with pytest.raises(ImageError, match=f"^{source.replace('*', '.')}: expected"):
        find_sources(["a2.jpg", source])


def test_names_are_unique_and_safe():
    names = Names()
    suffixes = (".png", ".jpg")
    given = [
        "x/a.jpg",
        "y/a.jpg",
        "a-2.jpg",
        "A.JPG",
        "a.webp",
        "https://h/p/q%3F.jpg?x=/../y",
        "https://h/",
        "https://h/" + "n" * 300,
    ]
    assert [names.unique(source, suffixes) for source in given] == [
        "a.jpg", "a-2.jpg", "a-2-2.jpg", "A-3.JPG", "a.png", "q_3F.jpg", "picture.png", "n" * 100 + ".png",
    ]  # fmt: skip


def test_a_folder_that_was_asked_for_is_taken_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_folder(tmp_path / "x" / "y", "predict", "a") == tmp_path / "x" / "y"
    assert run_folder(tmp_path / "x" / "y", "predict", "a").is_dir()
    assert [run_folder(None, "evaluate", "val2017").as_posix() for _ in range(2)] == [
        "runs/evaluate/val2017",
        "runs/evaluate/val2017-2",
    ]


def test_errors_of_the_background_are_raised():
    def fail():
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), Background(2) as background:
        background.submit(fail)
    done = []
    with Background(1) as background:
        for n in range(20):
            background.submit(done.append, n)
    assert done == list(range(20))


def test_a_picture_no_jpeg_can_hold(tmp_path):
    import numpy as np

    with pytest.raises(ImageError, match="--no-draw"):
        write_picture(tmp_path / "a.jpg", np.zeros((1, 70000, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []
