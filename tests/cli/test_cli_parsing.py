from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from cornernet.cli.flags import flags_of
from cornernet.cli.parsing import parse
from cornernet.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Shared:
    """Shared things.

    Attributes:
        max_det: Most
            of them.
        trace: Tell more.
    """

    max_det: int = 100
    trace: bool = False


@dataclass(frozen=True, kw_only=True)
class Options(Shared):
    """Do a thing, 100% of it.

    More about it.

    Attributes:
        sources: What to read.
        weights: Which weights.
        scales: Sizes.
        format: Kinds of list.
        output: Where to.
        nms: How.
        draw: Whether to draw.
        plots: Whether to plot.
    """

    sources: tuple[str, ...]
    weights: str
    scales: tuple[float, ...] = (1.0,)
    format: tuple[Literal["coco", "csv"], ...] = ("coco",)
    output: Path | None = None
    nms: Literal["gaussian", "hard"] = "gaussian"
    draw: bool = True
    plots: bool | None = None


def run(*argv: str) -> Options:
    return parse(Options, argv, command="do", positionals=("sources",))


def refusal(*argv: str) -> str:
    with pytest.raises(ConfigError) as caught:
        run(*argv)
    assert "\n" not in str(caught.value)
    return str(caught.value)


GIVEN = ("a.jpg", "--weights", "w")


def test_every_field_is_a_flag_with_its_text():
    flags = {flag.name: flag for flag in flags_of(Options, ("sources",))}
    assert set(flags) == set(Options.__dataclass_fields__)
    assert flags["max_det"].help == "Most of them (default: 100)"
    assert flags["max_det"].group == "shared things"
    assert flags["weights"].help == "Which weights (required)"
    assert flags["format"].symbol == "coco|csv,..."


def test_defaults_come_from_the_dataclass():
    assert run(*GIVEN) == Options(sources=("a.jpg",), weights="w")


def test_dashes_and_underscores_are_the_same():
    assert run(*GIVEN, "--max-det", "3") == run(*GIVEN, "--max_det=3")
    assert run(*GIVEN, "--max-det", "3").max_det == 3


@pytest.mark.parametrize(
    "argv",
    [("--scales", "0.5,1,2"), ("--scales=0.5,1,2",), ("--scales", "0.5", "1", "2"), ("--scales", "[0.5, 1, 2]"),
     ("--scales", "0.5,1", "2")],
)  # fmt: skip
def test_lists_are_written_in_any_way(argv):
    assert run(*GIVEN, *argv).scales == (0.5, 1.0, 2.0)


def test_a_list_ends_where_files_begin():
    options = run("--weights", "w", "--scales", "0.5", "1", "a.jpg", "--format", "csv", "coco", "b.jpg")
    assert options.scales == (0.5, 1.0)
    assert options.format == ("csv", "coco")
    assert options.sources == ("a.jpg", "b.jpg")


@pytest.mark.parametrize(
    ("argv", "draw", "trace", "plots"),
    [
        ((), True, False, None),
        (("--trace",), True, True, None),
        (("--no-draw", "--no_plots"), False, False, False),
        (("--draw", "false", "--plots"), False, False, True),
        (("--draw=false", "--trace", "true", "--plots=false"), False, True, False),
    ],
)
def test_switches(argv, draw, trace, plots):
    options = run(*argv, *GIVEN)
    assert (options.draw, options.trace, options.plots) == (draw, trace, plots)
    assert options.sources == ("a.jpg",)


def test_names_that_look_like_values_stay_names():
    assert run("5", "true", "--weights", "7", "--output", "8", "--", "--odd.jpg") == Options(
        sources=("5", "true", "--odd.jpg"), weights="7", output=Path("8")
    )


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--max-dett", "3"), "--max-dett: did you mean --max-det?"),
        (("--no-weights",), "--no-weights"),
        (("--max", "3"), "--max"),
        (("-x",), "-x"),
        (("--max-det", "x"), "expected --max-det to be a whole number, got 'x'"),
        (("--max-det",), "expected a value behind --max-det"),
        (("--max-det", "--trace"), "expected a value behind --max-det"),
        (("--scales", "big"), "expected --scales to be a list, each a number, got 'big'"),
        (("--nms", "hart"), "expected --nms to be one of gaussian, hard, got 'hart'"),
        (("--format", "coco,xml"), "expected --format to be some of coco, csv, got 'xml'"),
        (("--draw=maybe",), "expected --draw to be true or false, got 'maybe'"),
        (("--config", "nowhere.yaml"), "nowhere.yaml"),
    ],
)
def test_what_cannot_be_used_is_one_line(argv, words):
    assert words in refusal(*GIVEN, *argv)


def test_what_is_required():
    assert refusal("a.jpg") == "expected --weights, got none: give which weights"
    assert refusal("--weights", "w") == "expected SOURCES, got none: give what to read"


def test_a_configuration_file_gives_what_the_command_line_does_not(tmp_path):
    file = tmp_path / "options.yaml"
    file.write_text(
        "sources: [x, y]\nweights: v\nmax_det: 7\nscales: [1, 2]\nplots: true\ndraw: false\n", encoding="utf-8"
    )
    assert run("--config", str(file)) == Options(
        sources=("x", "y"), weights="v", max_det=7, scales=(1.0, 2.0), plots=True, draw=False
    )
    for argv in (("z", "--max-det", "9", "--config", str(file)), ("--config", str(file), "z", "--max-det", "9")):
        assert (run(*argv).sources, run(*argv).max_det, run(*argv).weights) == (("z",), 9, "v")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("max_dett: 7", "'max_dett': did you mean max_det?"),
        ("nested: {max_det: 7}", "'nested"),
        ("max_det: seven", "expected --max-det to be a whole number, got 'seven'"),
        ("max_det: null", "expected --max-det to be a whole number, got null"),
        ("- 1\n- {: [", "expected --config to name a YAML file"),
        ("just words", "got just words"),
        ("", "got nothing"),
    ],
)
def test_a_wrong_configuration_file_is_refused(tmp_path, text, words):
    file = tmp_path / "options.yaml"
    file.write_text(text, encoding="utf-8")
    assert words in refusal(*GIVEN, "--config", str(file))


def test_the_printed_configuration_is_a_configuration_file(tmp_path, capsys):
    argv = ("b.jpg", "--weights", "w", "--scales", "0.5,1", "--output", "o", "--no-draw", "--format", "csv")
    with pytest.raises(SystemExit) as stop:
        run(*argv, "--print-config")
    assert stop.value.code == 0
    file = tmp_path / "options.yaml"
    file.write_text(capsys.readouterr().out, encoding="utf-8")
    assert run("--config", str(file)) == run(*argv)


def test_help_lists_every_flag(capsys):
    with pytest.raises(SystemExit) as stop:
        run("--help")
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: cornernet do [flags] SOURCES ...")
    assert all(flag.spelling in text for flag in flags_of(Options, ("sources",)))
    assert "Do a thing, 100% of it." in text
