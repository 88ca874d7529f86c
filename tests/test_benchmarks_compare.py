"""Which changes between two results count as worse."""

import json
import sys

import pytest
from benchmarks import compare


def write(folder, ratio=2.0, clones=4.0, faster=1.5, mib=100.0, order=1):
    folder.mkdir()
    rows = [{"step": "decode", "batch": 1, "median_ms": 7.0, "ratio": ratio}, {"step": "nms", "batch": 1, "ratio": 9.0}]
    (folder / "postprocess.json").write_text(json.dumps({"date": "x", "rows": rows[::order]}))
    (folder / "pool.json").write_text(json.dumps({"timings": [{"task": "forward", "clones": clones}]}))
    programs = {"cornernet": {"peak_mib": mib}, "times_faster_median": {"cornernet": faster}}
    (folder / "predict.json").write_text(json.dumps({"programs": programs}))
    return folder


@pytest.mark.parametrize(
    ("changed", "place"),
    [
        ({"ratio": 1.6}, "postprocess/rows decode 1 ratio"),
        ({"clones": 5.0}, "pool/timings forward clones"),
        ({"faster": 1.2}, "predict/programs times_faster_median cornernet"),
        ({"mib": 120.0}, "predict/programs cornernet peak_mib"),
    ],
)
def test_what_is_worse_is_named(tmp_path, monkeypatch, changed, place):
    old, new = write(tmp_path / "old"), write(tmp_path / "new", **changed, order=-1)
    worse = dict(compare.regressions(compare.read(old), compare.read(new), 0.1))
    assert list(worse) == [place]
    assert worse[place][2] > 0.1
    monkeypatch.setattr(sys, "argv", ["compare", str(old), str(new)])
    assert compare.main() == 1


def test_noise_and_gains_are_not(tmp_path, monkeypatch):
    old, new = write(tmp_path / "old"), write(tmp_path / "new", ratio=1.9, clones=3.0, faster=2.0, mib=105.0)
    assert list(compare.regressions(compare.read(old), compare.read(new), 0.1)) == []
    monkeypatch.setattr(sys, "argv", ["compare", str(old), str(new)])
    assert compare.main() == 0
