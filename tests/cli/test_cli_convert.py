from __future__ import annotations

import torch

from cornernet.cli.main import main
from cornernet.weights.load import load_weights


def test_it_writes_our_format(model_folder, tmp_path, capsys):
    target = tmp_path / "new"
    assert main(["convert", str(model_folder), str(target)]) == 0
    assert capsys.readouterr().out == f"{target}\n"
    old, new = load_weights(model_folder), load_weights(target)
    assert new.record == old.record
    assert all(torch.equal(tensor, new.state[name]) for name, tensor in old.state.items())


def test_a_folder_with_something_in_it_is_not_written_to(model_folder, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("kept", encoding="utf-8")
    assert main(["convert", str(model_folder), str(tmp_path)]) == 1
    assert "cornernet: error: " in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
    assert main(["convert", str(model_folder), str(tmp_path), "--overwrite"]) == 0
    assert (tmp_path / "mine.txt").read_text(encoding="utf-8") == "kept"


def test_both_names_are_needed(capsys, tmp_path):
    assert main(["convert"]) == 2
    assert "expected SOURCE" in capsys.readouterr().err
    assert main(["convert", "in.pth"]) == 2
    assert "expected TARGET" in capsys.readouterr().err
    assert main(["convert", "in.pth", "out", "more"]) == 2
    assert "more" in capsys.readouterr().err


def test_a_source_that_is_not_there(capsys, tmp_path):
    assert main(["convert", str(tmp_path / "in.pth"), str(tmp_path / "out")]) == 1
    assert "in.pth" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
