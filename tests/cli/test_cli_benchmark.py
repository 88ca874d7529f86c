from __future__ import annotations

import json
import math

import pytest
import torch

from cornernet.cli import benchmark
from cornernet.cli.benchmark import BenchmarkOptions, find_pictures, random_detector, rows
from cornernet.cli.flags import flags_of
from cornernet.cli.main import main
from cornernet.cli.options import FindingOptions
from cornernet.errors import ConfigError, ImageError
from cornernet.inference import roofline
from cornernet.inference.roofline import Peaks, Work
from cornernet.inference.timing import STAGES, WHOLE, StageTime
from cornernet.models.config import VARIANTS, CornerNetConfig

NARROW = CornerNetConfig(
    num_classes=3, channels=(8, 8), blocks=(1, 1), stem_channels=4, feature_channels=8, pool_channels=4, head_channels=8
)


@pytest.fixture
def quick_peaks(monkeypatch):
    """Peaks that need not be measured: 100 MFLOP/s, the second time, and 1 MB/s."""
    flop = iter((5e7, 1e8))
    monkeypatch.setattr(roofline, "measure_flop", lambda device, dtype: next(flop))
    monkeypatch.setattr(roofline, "measure_copy", lambda device: 1e6)


def test_a_made_up_picture(model_folder, tmp_path, capsys, quick_peaks):
    path = tmp_path / "deep" / "times.json"
    assert main(
        ["benchmark", "--weights", str(model_folder), "--size", "60", "90", "--rounds", "3", "--device", "cpu",
         "--threads", "1", "--json", str(path)]
    ) == 0  # fmt: skip
    content = json.loads(path.read_text(encoding="utf-8"))
    assert [row["stage"] for row in content["stages"]] == [*STAGES, WHOLE]
    for row in content["stages"]:
        assert 0 < row["q1_ms"] <= row["median_ms"] <= row["q3_ms"]
        assert row["pictures_per_s"] == pytest.approx(1e3 / row["median_ms"])
        assert row["reached"] == pytest.approx(row["least_ms"] / row["median_ms"])
        assert row["megabytes"] > 0
    assert (content["sizes"], content["canvases"], content["pictures"]) == ([[60, 90]], [[127, 127]], 1)
    assert (content["weights"], content["random"]) == (str(model_folder), None)
    assert (content["rounds"], content["warmup"], content["batch"], content["dtype"]) == (3, 1, 1, "float32")
    assert (content["threads"], content["device_type"]) == (1, "cpu")
    assert content["peaks"] == {"flop_per_s": 1e8, "bytes_per_s": 1e6, "host_bytes_per_s": 1e6}
    assert content["peak_memory_bytes"]["device"] is None
    assert CornerNetConfig(**content["architecture"]).num_classes == 3
    text = capsys.readouterr().out
    for words in (*STAGES, WHOLE, "60 x 90", "reached", str(torch.__version__), content["device"], "3 after 1"):
        assert words in text
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # and no temporary file


def test_pictures_of_ones_own_fill_the_batches(model_folder, tmp_path, draw, capsys, quick_peaks):
    draw(tmp_path / "a.png", 60, 90)
    draw(tmp_path / "b.jpg", 200, 30)
    path = tmp_path / "times.json"
    assert main(
        ["benchmark", str(tmp_path), "--weights", str(model_folder), "--batch", "3", "--rounds", "1", "--warmup", "0",
         "--device", "cpu", f"--json={path}"]
    ) == 0  # fmt: skip
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["pictures"] == 4
    assert content["sizes"] == [[60, 90], [200, 30]]
    assert content["canvases"] == [[127, 127], [255, 127]]
    assert "2 sizes, 60 x 90 to 200 x 30" in capsys.readouterr().out


def test_an_architecture_without_weights(tmp_path, monkeypatch, capsys, quick_peaks):
    monkeypatch.setitem(VARIANTS, "narrow", NARROW)
    path = tmp_path / "times.json"
    arguments = ["--size=60,90", "--rounds=1", "--warmup=0", "--device=cpu", f"--json={path}"]
    assert main(["benchmark", "--random", "narrow", *arguments]) == 0
    content = json.loads(path.read_text(encoding="utf-8"))
    assert (content["weights"], content["random"]) == (None, "narrow")
    assert "narrow with random weights" in capsys.readouterr().out
    assert main(["benchmark", "--random", "cornernet-hourglas104", *arguments]) == 1
    assert "did you mean 'cornernet-hourglass104'?" in capsys.readouterr().err


def test_random_weights_repeat_and_leave_the_generator_alone(monkeypatch):
    monkeypatch.setitem(VARIANTS, "narrow", NARROW)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first, second = (random_detector("narrow", device="cpu") for _ in range(2))
    assert torch.equal(torch.rand(1), expected)
    picture = torch.randint(0, 256, (3, 60, 90), dtype=torch.uint8)
    maps = [d.corner_maps(picture).maps for d in (first, second)]
    assert torch.equal(maps[0].tl_heat, maps[1].tl_heat)
    assert not maps[0].tl_emb.any()
    assert not maps[0].br_emb.any()
    found = first.predict(picture)
    assert len(found) == 100
    assert set(found.labels.tolist()) == {0}  # one class: soft-NMS compares them all


def test_a_row_is_of_one_picture_and_the_whole_is_bound_by_its_longest_stage():
    times = {stage: StageTime((0.1, 0.2, 0.3)) for stage in (*STAGES, WHOLE)}
    works = dict.fromkeys(STAGES, Work(moved=4e6)) | {"network": Work(flop=6e9, moved=2e6)}
    found = {
        row.stage: row for row in rows(times, works, 2, Peaks(flop=60e9, moved=100e6), Peaks(flop=math.inf, moved=50e6))
    }
    assert list(found) == [*STAGES, WHOLE]
    network = found["network"]
    assert (network.gflop, network.megabytes) == (3.0, 1.0)
    assert (network.q1_ms, network.median_ms, network.q3_ms) == pytest.approx((150, 200, 250))
    assert network.pictures_per_s == pytest.approx(5)
    assert network.least_ms == pytest.approx(50)
    assert network.reached == pytest.approx(0.25)
    assert found["reading"].least_ms == pytest.approx(40)  # on the host
    assert found["decoding"].least_ms == pytest.approx(20)
    assert found[WHOLE].gflop == 3.0
    assert found[WHOLE].megabytes == pytest.approx(5 * 2 + 1)
    assert found[WHOLE].least_ms == pytest.approx(50)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected either --weights or --random, got neither"),
        (["--weights=w", "--random=cornernet-hourglass104"], "expected either --weights or --random, got both"),
        (["--weights=w", "--size=480"], "expected --size to be a height and a width from 1 to 65535, got 480"),
        (["--weights=w", "--size", "480", "640", "3"], "got 480,640,3"),
        (["--weights=w", "--size=0,640"], "got 0,640"),
        (["--weights=w", "--size=1,70000"], "got 1,70000"),
        (["--weights=w", "--rounds=0"], "expected --rounds to be 1 or more, got 0"),
        (["--weights=w", "--warmup=-1"], "expected --warmup to be 0 or more, got -1"),
        (["--weights=w", "--threads=0"], "expected --threads to be 1 or more, got 0"),
        (["--weights=w", "--batch=0"], "expected --batch to be 1 or more, got 0"),
    ],
)
def test_arguments_that_cannot_be_used(arguments, message, capsys):
    assert main(["benchmark", *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_only_picture_files_are_timed(tmp_path, draw, capsys, model_folder):
    video = tmp_path / "a.mp4"
    video.touch()
    for source in (str(video), "https://example.org/a.jpg"):
        with pytest.raises(ImageError, match="expected picture files, got a video or URL"):
            find_pictures(BenchmarkOptions(weights="w", sources=(source,)))
    with pytest.raises(ImageError, match="no such file"):
        find_pictures(BenchmarkOptions(weights="w", sources=(str(tmp_path / "missing.jpg"),)))
    (tmp_path / "bad.jpg").write_text("not a picture")
    path = tmp_path / "times.json"
    arguments = ["benchmark", str(tmp_path / "bad.jpg"), "--weights", str(model_folder), "--device", "cpu"]
    assert main([*arguments, "--json", str(path)]) == 1
    assert "bad.jpg" in capsys.readouterr().err
    assert not path.exists()


def test_options_are_documented_and_shared_ones_are_alike():
    flags = {flag.name: flag for flag in flags_of(BenchmarkOptions)}
    assert set(flags) == set(BenchmarkOptions.__dataclass_fields__)
    for flag in flags_of(FindingOptions):
        if flag.name in flags:
            assert flags[flag.name].text == flag.text
    with pytest.raises(ConfigError, match="--max-pixels"):
        BenchmarkOptions(weights="w", max_pixels=0)
    assert benchmark.COMMAND.positionals == ("sources",)
