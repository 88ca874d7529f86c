"""What README and pages show runs as it stands there: Python blocks, commands' flags, links, the record's JSON."""

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from cornernet.cli.command import Command
from cornernet.cli.main import find
from cornernet.cli.parsing import parse
from cornernet.models.build import build_model
from cornernet.models.config import VARIANTS
from cornernet.structures.classes import Classes
from cornernet.weights.keymaps import to_mmdetection
from cornernet.weights.native import record_from_json, write_native
from cornernet.weights.record import MMDETECTION, ModelRecord
from cornernet.weights.zoo import PUBLISHED
from synthetic import TINY, TINY_CLASSES, filled_state, synthetic_image

ROOT = Path(__file__).parent.parent
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(text: str, language: str) -> list[str]:
    """Fenced blocks of one language, also those indented in a note."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]


def with_blocks(language: str) -> list[Path]:
    return [path for path in TEXTS if blocks(path.read_text(encoding="utf-8"), language)]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with everything the pages name: weights under the published name, pictures, a dataset."""
    folder = tmp_path_factory.mktemp("pages")
    own = build_model(TINY).state_dict()
    names = to_mmdetection({name: name for name in own})  # theirs -> ours
    filled = filled_state({theirs: tuple(own[ours].shape) for theirs, ours in names.items()})
    state = {names[theirs]: tensor for theirs, tensor in filled.items()}
    record = ModelRecord(architecture=TINY, preprocessing=MMDETECTION, classes=Classes.numbered(TINY_CLASSES))
    write_native(folder / "cornernet-hourglass104", record, state, card="")  # what is on the disk wins over the name
    for name in ("photos/street.jpg", "photos/park.jpg", "coco/val2017/1.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), synthetic_image(60, 80))
    document = {
        "images": [{"id": 1, "file_name": "1.jpg", "height": 60, "width": 80}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 2, "bbox": [5, 5, 30, 20]}],
        "categories": [{"id": i, "name": name} for i, name in enumerate(TINY_CLASSES, start=1)],
    }
    (folder / "coco/annotations").mkdir()
    (folder / "coco/annotations/instances_val2017.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


@pytest.mark.parametrize("path", with_blocks("python"), ids=name_of)
def test_python_runs(path, place, monkeypatch):
    monkeypatch.chdir(place)
    names: dict[str, object] = {}
    for block in blocks(path.read_text(encoding="utf-8"), "python"):
        exec(compile(block, name_of(path), "exec"), names)


@pytest.mark.parametrize("path", with_blocks("bash"), ids=name_of)
def test_commands_are_understood(path):
    for block in blocks(path.read_text(encoding="utf-8"), "bash"):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] != ["cornernet"] or set(words) & {"--version", "--print-config", "--config"}:
                continue
            path, command = find(words[1:])
            assert isinstance(command, Command), line
            parse(command.options, words[1 + len(path) :], command=" ".join(path), positionals=command.positionals)


@pytest.mark.parametrize("path", [ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=name_of)
def test_links_lead_somewhere(path):
    """The pages' own links are checked when the site is built."""
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", path.read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), target


def test_readme_names_every_published_checkpoint():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for url in {published.url for published in PUBLISHED.values()}:
        row = next(line for line in text.splitlines() if url in line)
        name, published = next((n, p) for n, p in PUBLISHED.items() if p.url == url)
        assert [cell.strip() for cell in row.split("|")[2:5]] == [str(published.ap), str(published.ap_tta), f"`{name}`"]


def test_config_json_of_the_page_is_one():
    text = (ROOT / "docs/weights.md").read_text(encoding="utf-8")
    record = record_from_json(json.loads(blocks(text, "json")[0]))
    assert record.classes.names == TINY_CLASSES
    assert replace(record.architecture, num_classes=80) == VARIANTS["cornernet-hourglass104"]
