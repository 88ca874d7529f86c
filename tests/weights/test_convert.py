from pathlib import Path

import pytest
import torch
from torch import Tensor

from cornernet.errors import WeightsError
from cornernet.weights import convert as module
from cornernet.weights.convert import convert, model_card
from cornernet.weights.keymaps import PRINCETON, from_ours, to_mmdetection
from cornernet.weights.load import load_weights
from cornernet.weights.zoo import PUBLISHED


@pytest.fixture
def source(tmp_path: Path, small_state: dict[str, Tensor]) -> Path:
    path = tmp_path / "source.pth"
    torch.save({"meta": {"CLASSES": ("cat", "dog", "cow")}, "state_dict": to_mmdetection(small_state)}, path)
    return path


@pytest.mark.parametrize("princeton", [False, True])
def test_a_converted_model_is_the_same_model(
    tmp_path: Path, source: Path, small_state: dict[str, Tensor], princeton: bool
) -> None:
    if princeton:
        torch.save(from_ours(small_state, PRINCETON), source)
    before = load_weights(source)
    output = convert(source, tmp_path / "new" / "model")
    assert output == tmp_path / "new" / "model"
    after = load_weights(output)
    assert after.record == before.record
    assert after.state.keys() == small_state.keys()
    assert all(torch.equal(after.state[name], tensor) for name, tensor in small_state.items())
    again = load_weights(convert(output, tmp_path / "again"))
    assert again.record == before.record


def test_a_folder_with_files_is_not_written_to_unless_told(tmp_path: Path, source: Path) -> None:
    output = tmp_path / "model"
    output.mkdir()
    (output / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(WeightsError, match="empty or new folder"):
        convert(source, output)
    assert [path.name for path in output.iterdir()] == ["notes.txt"]
    convert(source, output, overwrite=True)
    convert(output, output, overwrite=True)  # onto itself
    assert (output / "notes.txt").read_text(encoding="utf-8") == "mine"
    assert load_weights(output).record.classes.names == ("cat", "dog", "cow")


def test_a_file_in_the_way_is_left_alone(tmp_path: Path, source: Path) -> None:
    with pytest.raises(WeightsError, match=r"got the file .*source\.pth"):
        convert(source, source, overwrite=True)
    assert load_weights(source)


def test_a_bad_source_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "bad.pth").write_bytes(b"bad")
    with pytest.raises(WeightsError):
        convert(tmp_path / "bad.pth", tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_the_card_says_what_is_known(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_weights(source)
    plain = model_card(loaded, None)
    assert plain.startswith("---\nlibrary_name: cornernet\n")
    assert "| classes | 3: cat, dog, cow |" in plain
    assert "AP" not in plain
    assert "license" not in plain
    entry = PUBLISHED["cornernet-hourglass104-10x5"]
    assert "40.6 (41.2 with the flipped picture)" in model_card(loaded, entry)
    monkeypatch.setattr(module, "load_weights", lambda *_, **__: loaded)
    for name in (entry.name, f"downloads/{entry.file_name}"):
        card = (convert(name, tmp_path / "model", overwrite=True) / "README.md").read_text(encoding="utf-8")
        assert entry.recipe in card
        assert "license: apache-2.0" in card


def test_the_cards_parameters_are_the_networks(source: Path) -> None:
    from cornernet.models.build import build_model

    loaded = load_weights(source)
    count = sum(parameter.numel() for parameter in build_model(loaded.record.architecture).parameters())
    assert f"| parameters | {count:,} |" in model_card(loaded, None)
