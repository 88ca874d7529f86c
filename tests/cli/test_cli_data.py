"""`cornernet data ...`: commands below a command."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib import import_module

import pytest

from cornernet.cli import data
from cornernet.cli.command import Command, Group
from cornernet.cli.flags import flags_of
from cornernet.cli.main import COMMANDS, find, main
from cornernet.data.coco import load_coco
from cornernet.data.images import read_image
from cornernet.data.synth import MIN_SIZE, ShapesConfig, make_shapes

HEAVY = ("torch", "cv2", "hotcoco", "matplotlib", "numpy")
VERBS = list(data.COMMAND.commands)


def module(verb):
    return import_module(f"cornernet.cli.data.{verb}")


def test_words_name_a_command_or_a_group():
    assert find(["data", "synth", "--help"]) == (["data", "synth"], module("synth").COMMAND)
    assert find(["data", "--help"]) == (["data"], data.COMMAND)
    assert find(["convert", "data"])[0] == ["convert"]
    path, top = find([])
    assert (path, top.commands) == ([], COMMANDS)
    for name in COMMANDS:
        assert isinstance(find([name])[1], Command | Group)


def test_the_group_explains_itself(capsys):
    assert main(["data", "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: cornernet data COMMAND [flags]")
    assert all(f"  {verb} " in text for verb in VERBS)
    assert "--version" not in text
    assert main(["data"]) == 2
    assert capsys.readouterr().out == text


def test_a_wrong_verb_is_answered_with_the_right_one(capsys):
    assert main(["data", "snyth"]) == 2
    assert "got 'snyth': did you mean synth?" in capsys.readouterr().err
    assert main(["data", "--output", "x"]) == 2
    assert "got '--output': see cornernet data --help" in capsys.readouterr().err
    assert main(["data", "synth", "--outptu", "x"]) == 2
    assert "(cornernet data synth --help lists what there is)" in capsys.readouterr().err


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_is_documented(verb, capsys):
    found = module(verb).COMMAND
    if isinstance(found, Command):
        assert {flag.name for flag in flags_of(found.options)} == set(found.options.__dataclass_fields__)
    assert main(["data", verb, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: cornernet data {verb}")


def test_help_needs_nothing_heavy():
    program = f"""
import sys, io, contextlib, json
from cornernet.cli.main import main
with contextlib.redirect_stdout(io.StringIO()):
    codes = [main(["data", "--help"])] + [main(["data", verb, "--help"]) for verb in {VERBS!r}]
print(json.dumps([codes, [m for m in {HEAVY!r} if m in sys.modules]]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    codes, heavy = json.loads(done.stdout)
    assert set(codes) == {0}
    assert heavy == []


def test_synth_draws_what_is_asked_for(tmp_path, capsys):
    numbers = "--train 3 --val 1 --test 0 --size 40 --seed 5 --empty 0 --max-objects 1"
    argv = ["data", "synth", "--output", str(tmp_path / "d"), *numbers.split()]
    assert main(argv) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{tmp_path / 'd'}\n"
    assert "3 pictures in train, 1 pictures in val" in captured.err
    train = load_coco(tmp_path / "d", "train")
    assert [(len(image), image.height, image.width) for image in train.images] == [(1, 40, 40)] * 3
    assert main(argv) == 1
    assert "expected a new or empty folder" in capsys.readouterr().err


def test_synth_defaults_and_limits_are_the_packages(capsys):
    options = module("synth").SynthOptions(output="x")
    assert all(getattr(options, name) == value for name, value in vars(ShapesConfig()).items())
    assert main(["data", "synth", "--output", "x", "--size", str(MIN_SIZE - 1)]) == 2
    assert f"expected --size to be {MIN_SIZE} or more" in capsys.readouterr().err


def drawn(folder, **options):
    return make_shapes(folder, ShapesConfig(**{"train": 3, "val": 2, "test": 0, "size": 40, "empty": 0.0, **options}))


def test_check_of_a_clean_dataset(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    drawn(tmp_path / "shapes")
    assert main(["data", "check", "shapes"]) == 0
    captured = capsys.readouterr()
    assert "train" in captured.out
    assert "nothing found" in captured.err
    report = json.loads((tmp_path / "runs/check/shapes/report.json").read_text(encoding="utf-8"))
    assert report["counts"] == {"error": 0, "warning": 0, "note": 0}
    assert [s["split"] for s in report["splits"]] == ["train", "val"]


def test_check_ends_with_1_for_errors_alone(tmp_path, capsys):
    root = drawn(tmp_path / "shapes")
    shutil.copy(root / "train/train_00001.png", root / "train/[bold]stray.png")
    argv = ["data", "check", str(root), "--output", str(tmp_path / "out")]
    assert main(argv) == 0
    captured = capsys.readouterr()
    assert "files that nobody annotated" in captured.out
    assert "[bold]" in captured.out
    assert "1 warnings found" in captured.err
    (root / "val/val_00001.png").unlink()
    assert main([*argv, "--no-pictures"]) == 1
    assert main([*argv, "--split", "train"]) == 0
    assert main(argv) == 1
    report = json.loads((tmp_path / "out/report.json").read_text(encoding="utf-8"))
    assert [(f["severity"], f["image_id"]) for f in report["findings"]] == [("warning", None), ("error", 1)]


def test_stats_of_all_splits_side_by_side(tmp_path, capsys):
    root = drawn(tmp_path / "shapes")
    out = tmp_path / "out"
    assert main(["data", "stats", str(root), "--output", str(out), "--plots"]) == 0
    captured = capsys.readouterr()
    assert "train" in captured.out
    assert "triangle (id 3)" in captured.out
    assert sorted(p.name for p in out.iterdir()) == ["stats.json", "train.png", "val.png"]
    numbers = json.loads((out / "stats.json").read_text(encoding="utf-8"))
    train = load_coco(root, "train")
    assert numbers["train"]["boxes"] == sum(map(len, train.images))
    assert numbers["val"]["collisions"]["cells"] == 128
    assert main(["data", "stats", str(root), "--split", "val", "--crop", "64", "--no-plots", "--output", str(out)]) == 0
    numbers = json.loads((out / "stats.json").read_text(encoding="utf-8"))
    assert (list(numbers), numbers["val"]["collisions"]["cells"]) == (["val"], 16)


def test_stats_of_nothing(tmp_path, capsys):
    assert main(["data", "stats", str(tmp_path)]) == 1
    assert "found no annotations" in capsys.readouterr().err
    assert main(["data", "stats", str(tmp_path), "--stride", "0"]) == 2


def test_convert_names_its_formats(capsys):
    assert main(["data", "convert"]) == 2
    text = capsys.readouterr().out
    assert "cornernet data convert COMMAND" in text
    for name in ("yolo", "voc"):
        assert f"  {name} " in text
        assert main(["data", "convert", name, "--help"]) == 0
        assert f"cornernet data convert {name} [flags] SOURCE TARGET" in capsys.readouterr().out
    assert main(["data", "convert", "yollo", "a", "b"]) == 2
    assert "did you mean yolo?" in capsys.readouterr().err


def test_convert_yolo(tmp_path, capsys):
    picture = drawn(tmp_path / "shapes") / "train/train_00001.png"
    root = tmp_path / "yolo"
    (root / "images").mkdir(parents=True)
    (root / "labels").mkdir()
    shutil.copy(picture, root / "images/a.png")
    (root / "classes.txt").write_text("ant\nbee\n", encoding="utf-8")
    (root / "labels/a.txt").write_text("1 0.5 0.5 0.5 0.5\n0 0 0.5 0.5 0.5\n0 0.5 0.5 0 0.1\n", encoding="utf-8")
    assert main(["data", "convert", "yolo", str(root), str(tmp_path / "out"), "--link"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{tmp_path / 'out'}\n"
    assert "train: 1 pictures, 2 boxes" in captured.err
    assert "1 boxes have no area" in captured.err
    assert "1 boxes reached beyond" in captured.err
    assert load_coco(tmp_path / "out", "train").images[0].path.samefile(root / "images/a.png")
    assert main(["data", "convert", "yolo", str(root), str(tmp_path / "out")]) == 1
    assert "expected a new or empty folder" in capsys.readouterr().err


def test_convert_voc(tmp_path, capsys):
    picture = drawn(tmp_path / "shapes") / "train/train_00001.png"
    root = tmp_path / "voc"
    (root / "Annotations").mkdir(parents=True)
    (root / "images").mkdir()
    shutil.copy(picture, root / "images/a.png")
    frame = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>40</xmax><ymax>20</ymax></bndbox>"
    objects = "".join(
        f"<object><name>{name}</name><difficult>{difficult}</difficult>{frame}</object>"
        for name, difficult in (("ant", 0), ("bee", 1))
    )
    (root / "Annotations/a.xml").write_text(f"<annotation>{objects}</annotation>", encoding="utf-8")
    assert main(["data", "convert", "voc", str(root), str(tmp_path / "out"), "--skip-difficult"]) == 0
    assert "classes: ant" in capsys.readouterr().err
    assert load_coco(tmp_path / "out", "train").images[0].boxes.tolist() == [[0, 0, 40, 20]]


def test_view_draws_what_training_begins_with(tmp_path, capsys):
    root = drawn(tmp_path / "shapes")
    argv = ["data", "view", str(root), "--recipe", "demo", "--output", str(tmp_path / "out")]
    assert main([*argv, "--count", "18"]) == 0  # more than one epoch, and more than one sheet
    captured = capsys.readouterr()
    sheets = [tmp_path / "out/batch-1.png", tmp_path / "out/batch-2.png"]
    assert captured.out.splitlines() == [str(path) for path in sheets]
    first, second = (read_image(path) for path in sheets)
    assert (first.shape, second.shape) == ((4 * 256 + 12, 4 * 256 + 12, 3), (256, 2 * 256 + 4, 3))
    assert main([*argv, "--count", "16"]) == 0
    assert (read_image(sheets[0]) == first).all()
    assert main([*argv, "--count", "16", "--seed", "7"]) == 0
    assert (read_image(sheets[0]) != first).any()
    assert main([*argv, "--count", "1", "--split", "val"]) == 0
    assert "1 pictures of val" in capsys.readouterr().err


def test_view_refuses_what_it_cannot_draw(tmp_path, capsys):
    root = drawn(tmp_path / "shapes")
    assert main(["data", "view", str(root), "--recipe", "smal"]) == 1
    assert "did you mean small?" in capsys.readouterr().err
    assert main(["data", "view", str(root), "--split", "trian"]) == 1
    assert "expected a split 'trian'" in capsys.readouterr().err
    assert main(["data", "view", str(root), "--count", "0"]) == 2
