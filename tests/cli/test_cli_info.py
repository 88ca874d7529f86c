from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from cornernet.cli import info
from cornernet.cli.info import measure
from cornernet.cli.main import main
from cornernet.models.build import build_model
from cornernet.models.config import VARIANTS, CornerNetConfig
from cornernet.weights.zoo import PUBLISHED


def test_the_table_of_models(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("CORNERNET_HOME", str(tmp_path))
    published = PUBLISHED["cornernet-hourglass104"]
    (tmp_path / published.file_name).touch()
    assert main(["info", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    models = {m["name"]: m for m in content["models"]}
    assert set(models) == set(VARIANTS)
    large = models["cornernet-hourglass104"]
    assert large["parameters"] == 201_035_212
    assert large["gflop_all_heads"] == pytest.approx(904.6, abs=0.05)
    assert large["gflop"] < large["gflop_all_heads"]
    weights = {w["name"]: w for w in content["weights"]}
    assert weights[published.name]["present"] is True
    assert weights[published.name]["path"] == str(tmp_path / published.file_name)
    assert weights["cornernet-hourglass104-32x3"]["present"] is False

    monkeypatch.setattr(info, "measure", lambda config: info.Size(parameters=1234, gflop=1, gflop_all_heads=2))
    assert main(["info"]) == 0
    text = capsys.readouterr().out
    for words in (*VARIANTS, *PUBLISHED, "1,234", "40.9", "41.2", published.recipe, published.file_name, str(tmp_path)):
        assert words in text


def test_what_a_checkpoint_is(model_folder, capsys):
    assert main(["info", "--weights", str(model_folder), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["origin"] == "cornernet"
    config = CornerNetConfig(**content["architecture"])
    assert content["parameters"] == sum(p.numel() for p in build_model(config).parameters())
    assert content["classes"] == [{"id": 2, "name": "circle"}, {"id": 5, "name": "square"}, {"id": 7, "name": "cross"}]
    assert main(["info", "--weights", str(model_folder)]) == 0
    text = capsys.readouterr().out
    assert "circle, square, cross" in text
    assert f"{content['parameters']:,}" in text


def test_operations_of_a_network_small_enough_to_count():
    config = CornerNetConfig(
        num_classes=1, stacks=1, channels=(1, 1), blocks=(1, 1), stem_channels=1, feature_channels=1, pool_channels=1,
        head_channels=1,
    )  # fmt: skip
    size = measure(config)
    assert asdict(size)["gflop"] == size.gflop_all_heads  # one stack, one head
    # The stem's first convolution alone: 256 x 256 outputs of 7 x 7 x 3 multiplications and additions each.
    assert size.gflop > 2 * 256 * 256 * 147 / 1e9
    assert size.gflop < 0.1
