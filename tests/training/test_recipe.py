"""Recipes: those that ship, what they say, what they refuse, and the way to YAML and back."""

import math
import re
from dataclasses import fields
from pathlib import Path

import pytest

from cornernet.errors import ConfigError
from cornernet.models.build import build_model
from cornernet.training import options
from cornernet.training.recipe import Recipe, dump_recipe, load_recipe, override, parse_recipe, recipe_names

PUBLISHED = {
    "cornernet_hourglass104_10xb5-crop511-210e-mstest_coco": (10, 5),
    "cornernet_hourglass104_8xb6-210e-mstest_coco": (8, 6),
    "cornernet_hourglass104_32xb3-210e-mstest_coco": (32, 3),
}


def test_every_recipe_is_read_and_written_back():
    assert set(recipe_names()) >= {*PUBLISHED, "small", "demo", "finetune"}
    for name in recipe_names():
        recipe = load_recipe(name)
        assert parse_recipe(dump_recipe(recipe), name) == recipe


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_recipes_have_the_published_numbers(name):
    devices, each = PUBLISHED[name]
    r = load_recipe(name)
    assert (r.train.batch, r.train.embedding_pictures, r.optimiser.base_batch) == (each, each, devices * each)
    assert (r.optimiser.name, r.optimiser.lr, r.optimiser.weight_decay, r.optimiser.clip) == ("adam", 5e-4, 0, 35)
    assert (r.schedule.epochs, r.schedule.kind, r.schedule.milestones, r.schedule.factor) == (210, "step", (180,), 0.1)
    assert (r.schedule.warmup, r.schedule.warmup_from) == (500, pytest.approx(1 / 3))
    assert r.augment.size == (511, 511)
    assert r.augment.ratios == (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3)
    assert (r.augment.border, r.augment.flip, r.augment.brightness, r.augment.hue) == (128, 0.5, 32, 18)
    assert r.augment.contrast == r.augment.saturation == (0.5, 1.5)
    assert (r.loss.pull_weight, r.loss.push_weight, r.loss.alpha, r.loss.gamma) == (0.1, 0.1, 2, 4)
    assert r.preprocessing.mean == (123.675, 116.28, 103.53)
    assert (r.model.stacks, r.model.channels) == (2, (256, 256, 384, 384, 384, 512))
    assert (r.train.precision, r.train.ema, r.data.keep_empty) == ("32", False, False)


@pytest.mark.parametrize("name", ["small", "demo"])
def test_recipes_for_a_cpu_have_small_networks(name):
    parameters = sum(p.numel() for p in build_model(load_recipe(name).model, num_classes=3).parameters())
    assert parameters < 5_000_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optimizer: {lr: 1}", "expected a section (.*), got 'optimizer': did you mean optimiser?"),
        ("optimiser: {learning_rate: 1}", "expected a field of optimiser .*'learning_rate'"),
        ("schedule: {epoch: 3}", "got 'epoch': did you mean epochs?"),
        ("augment: {lr: 3}", "got 'lr': did you mean optimiser.lr?"),
        ("model: {num_classes: 3}", "model.num_classes comes from the data"),
        ("train: {batch: 0}", "train: expected batch of 1 or more, got 0"),
        ("train: {batch: 1.5}", "expected train.batch to be a whole number, got 1.5"),
        ("train: {batch: true}", "expected train.batch to be a whole number, got True"),
        ("train: {ema: 1}", "expected train.ema to be true or false, got 1"),
        ("train: {precision: bf17}", "expected train.precision to be one of 32, bf16, fp16, got 'bf17'"),
        ("augment: {size: [511]}", "expected augment.size to be 2 values, got 1"),
        ("augment: {size: {a: 1}}", "expected augment.size to be a list"),
        ("optimiser: {lr: fast}", "expected optimiser.lr to be a number, got 'fast'"),
        ("optimiser: {lr: .nan}", "optimiser: expected lr above 0"),
        ("optimiser: {betas: [0.9, 1]}", "expected betas as two numbers"),
        ("train: {seed: 4294967296}", "expected seed in 0"),
        ("run: {trackers: [wandbb]}", "expected each of run.trackers to be one of wandb, mlflow"),
        ("loss: {alpha: 0.5}", "loss: expected alpha of 1 or more"),
        ("train: 3", "expected train to hold fields"),
        ("- 1", "expected sections"),
        ("a: [", "expected a recipe as YAML, got a broken file"),
    ],
)
def test_what_a_recipe_refuses(text, message):
    with pytest.raises(ConfigError, match="file.yaml: .*" + message.replace("?", r"\?")) as caught:
        parse_recipe(text, "file.yaml")
    assert "\n" not in str(caught.value)


def test_numbers_that_yaml_takes_for_text():
    r = parse_recipe("optimiser: {lr: 5e-4, clip: .inf}\ntrain: {precision: 32, batch: 8.0}", "x")
    assert (r.optimiser.lr, r.optimiser.clip, r.train.precision, r.train.batch) == (5e-4, math.inf, "32", 8)


def test_overrides_win_and_the_last_of_two_counts():
    changes = [
        "optimiser.lr=1e-3",
        "augment.size=255,127",
        "augment.ratios=[0.5, 1]",
        "data.root=/a b/c",
        "train.ema=true",
    ]
    r = override(load_recipe("demo"), [*changes, "optimiser.lr=2e-3", "data.val=none", "data.max-pixels=5"])
    assert (r.optimiser.lr, r.augment.size, r.augment.ratios, r.train.ema) == (2e-3, (255, 127), (0.5, 1.0), True)
    assert (r.data.root, r.data.val, r.data.max_pixels) == (Path("/a b/c"), None, 5)
    with pytest.raises(ConfigError, match="did you mean lr"):
        override(r, ["optimiser.lrr=3"])
    with pytest.raises(ConfigError, match=r"expected SECTION\.FIELD=VALUE"):
        override(r, ["lr=3"])


def test_unknown_names_and_files(tmp_path):
    with pytest.raises(ConfigError, match="did you mean demo"):
        load_recipe("deno")
    with pytest.raises(ConfigError, match="cannot read it"):
        load_recipe(tmp_path / "none.yaml")
    (tmp_path / "mine.yaml").write_text("", encoding="utf-8")
    assert load_recipe(tmp_path / "mine.yaml") == Recipe()


def test_every_field_is_documented():
    sections = [Recipe, *(getattr(options, n) for n in dir(options) if n.endswith("Options"))]
    assert len(sections) == 6
    for section in sections:
        named = set(re.findall(r"^ {8}(\w+): ", section.__doc__, re.MULTILINE))
        assert {f.name for f in fields(section)} == named
