"""`cornernet train` as a user meets it: flags, the printed recipe, refusals, a run and its end."""

import pytest

from cornernet.cli.main import main
from cornernet.data.synth import ShapesConfig, make_shapes
from cornernet.training.recipe import load_recipe, parse_recipe

TINY = [
    "--model.channels", "8,8", "--model.blocks=1,1", "--model.stem_channels", "8", "--model.feature-channels=8",
    "--model.pool_channels=8", "--model.head_channels=8", "--augment.size", "64,64", "--augment.border=16",
]  # fmt: skip


def printed(capsys, *argv):
    assert main(["train", *argv, "--print-config"]) == 0
    return parse_recipe(capsys.readouterr().out, "printed")


def test_the_recipe_is_printed_as_it_would_be(capsys, tmp_path):
    assert printed(capsys, "--recipe", "demo") == load_recipe("demo")
    flags = ["--batch", "3", "--accumulate=2", "--precision", "bf16", "--epochs", "7", "--no-ema", "--compile"]
    more = ["--workers", "0", "--seed", "5", "--weights", "w.pth", "--optimiser.lr", "1e-3", "--data", str(tmp_path)]
    r = printed(capsys, "--recipe", "demo", *flags, *more)
    assert (r.train.batch, r.train.accumulate, r.train.precision, r.schedule.epochs) == (3, 2, "bf16", 7)
    assert (r.train.ema, r.train.compile, r.data.workers, r.train.seed) == (False, True, 0, 5)
    assert (r.train.weights, r.optimiser.lr, r.data.root) == ("w.pth", 1e-3, tmp_path)
    (tmp_path / "mine.yaml").write_text("train: {batch: 9}", encoding="utf-8")
    assert printed(capsys, "--recipe", str(tmp_path / "mine.yaml")).train.batch == 9


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "expected --recipe, got none: small suits a CPU"),
        (["--recipe", "smal"], "did you mean small?"),
        (["--recipe", "small", "--optimiser.lrr", "3"], "did you mean lr?"),
        (["--recipe", "small", "--optimiser.lr"], "expected a value behind --optimiser.lr"),
        (["--recipe", "small", "--batch", "0"], "expected --batch to be a whole number from 1 up, or auto, got '0'"),
        (["--recipe", "small", "--batch", "few"], "or auto, got 'few'"),
        (["--recipe", "small", "--devices", "0"], "expected --devices to be 1 or more"),
        (["--recipe", "small", "--precision", "64"], "expected --precision to be one of 32, bf16, fp16"),
        (["--resume", "--recipe", "small"], "expected --resume to go on with a run as it is, got --recipe too"),
        (["--resume", "x", "--optimiser.lr=3"], "got a recipe's field too"),
        (["--resume", "nowhere"], "expected the folder of a run with checkpoints behind --resume, got 'nowhere'"),
        (["--resume"], "expected a run in runs"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_line(argv, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", *argv]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_failures_end_with_1(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--recipe", "demo"]) == 1
    assert "expected --data, got none" in capsys.readouterr().err
    assert main(["train", "--recipe", "demo", "--data", "nowhere"]) == 1
    assert "expected a dataset folder" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_run_and_going_on_with_it(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_shapes("shapes", ShapesConfig(train=8, val=2, test=0, size=64))
    run = [
        "--batch",
        "2",
        "--device",
        "cpu",
        "--workers",
        "0",
        "--run.drawn",
        "1",
        "--run.val_every",
        "1",
        "--optimiser.lr=0.002",
    ]
    assert main(["train", "--recipe", "demo", "--data", "shapes", "--epochs", "1", *run, *TINY]) == 0
    captured = capsys.readouterr()
    assert "AP50" in captured.out
    best = tmp_path / "runs" / "train" / "demo" / "weights" / "best"
    assert "now: cornernet predict PICTURES --weights runs" in captured.err
    assert (best / "model.safetensors").exists()
    assert "learning rate 0.0005: 0.002 is meant for 8 pictures a step" in captured.err
    assert main(["train", "--resume", "--epochs", "2", "--device", "cpu"]) == 0
    assert "epoch 2:" in capsys.readouterr().err
    assert main(["train", "--resume", "demo", "--device", "cpu"]) == 0
    assert load_recipe(best.parents[1] / "recipe.yaml").schedule.epochs == 2
    assert main(["predict", str(tmp_path / "shapes" / "val"), "--weights", str(best), "--device", "cpu"]) == 0
