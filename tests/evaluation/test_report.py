from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coco_cases import make_dataset, make_results, random_case
from rich.console import Console
from rich.table import Table

from cornernet.evaluation.coco_ap import Evaluation, evaluate_boxes
from cornernet.evaluation.report import class_table, summary_table, write_class_csv, write_metrics_json


@pytest.fixture
def evaluation() -> Evaluation:
    """One class found perfectly, one with a name that markup and CSV could trip over, one without boxes."""
    boxes = [(1, 2, [0, 0, 20, 20]), (1, 5, [50, 50, 20, 20]), (2, 5, [50, 50, 40, 40])]
    names = {2: "cat", 5: '[red]"é", dog[/]', 9: "nowhere"}
    return evaluate_boxes(make_dataset([1, 2, 3], names, boxes), make_results([(*b, 0.5) for b in boxes[:2]]))


def printed(table: Table) -> list[list[str]]:
    """The table's rows as they appear, split into cells."""
    console = Console(width=120, no_color=True)
    with console.capture() as capture:
        console.print(table)
    lines = [line for line in capture.get().splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def test_the_twelve_numbers_stand_in_cocos_order(evaluation: Evaluation) -> None:
    assert printed(summary_table(evaluation)) == [
        ["AP", "0.50:0.95", "all", "100", "0.752"],
        ["AP50", "0.50", "all", "100", "0.752"],
        ["AP75", "0.75", "all", "100", "0.752"],
        ["AP_small", "0.50:0.95", "small", "100", "1.000"],
        ["AP_medium", "0.50:0.95", "medium", "100", "0.000"],
        ["AP_large", "0.50:0.95", "large", "100", "-"],
        ["AR1", "0.50:0.95", "all", "1", "0.750"],
        ["AR10", "0.50:0.95", "all", "10", "0.750"],
        ["AR100", "0.50:0.95", "all", "100", "0.750"],
        ["AR_small", "0.50:0.95", "small", "100", "1.000"],
        ["AR_medium", "0.50:0.95", "medium", "100", "0.000"],
        ["AR_large", "0.50:0.95", "large", "100", "-"],
    ]


def test_classes_stand_in_order_of_their_ids(evaluation: Evaluation) -> None:
    assert printed(class_table(evaluation)) == [
        ["cat", "2", "1", "1", "1.000", "1.000", "1.000", "1.000"],
        ['[red]"é", dog[/]', "5", "2", "2", "0.505", "0.505", "0.505", "0.500"],
        ["nowhere", "9", "0", "0", "-", "-", "-", "-"],
    ]


def test_json_holds_the_whole_evaluation_without_nan(evaluation: Evaluation, tmp_path: Path) -> None:
    write_metrics_json(evaluation, tmp_path / "metrics.json")
    written = read_json(tmp_path / "metrics.json")
    assert written["stats"] == {n: None if math.isnan(v) else v for n, v in evaluation.stats.items()}
    assert written["stats"]["AP_large"] is None
    counts = {name: written[name] for name in ("pictures", "boxes", "detections", "dropped", "max_det")}
    assert counts == {"pictures": 3, "boxes": 3, "detections": 2, "dropped": 0, "max_det": 100}
    assert written["classes"][1] == {
        "name": '[red]"é", dog[/]',
        "category_id": 5,
        "pictures": 2,
        "boxes": 2,
        "AP": evaluation.classes[1].ap,
        "AP50": evaluation.classes[1].ap50,
        "AP75": evaluation.classes[1].ap75,
        "AR100": evaluation.classes[1].ar,
    }
    assert written["classes"][2]["AP"] is None
    assert len(written["recall"]) == 101
    assert [c["category_id"] for c in written["curves"]] == [2, 5, 9]
    for i, iou in enumerate(("0.50", "0.75", "0.50:0.95")):
        np.testing.assert_allclose(written["curves"][1][iou], evaluation.precision[i, :, 1], atol=1e-6)
        assert written["curves"][2][iou] is None


def test_csv_has_a_line_per_class(evaluation: Evaluation, tmp_path: Path) -> None:
    write_class_csv(evaluation, tmp_path / "per_class.csv")
    with (tmp_path / "per_class.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["name", "category_id", "pictures", "boxes", "AP", "AP50", "AP75", "AR100"]
    assert [row["name"] for row in rows] == ["cat", '[red]"é", dog[/]', "nowhere"]
    assert float(rows[1]["AP"]) == evaluation.classes[1].ap
    assert rows[2] == {
        **dict.fromkeys(rows[2], ""),
        "name": "nowhere",
        "category_id": "9",
        "pictures": "0",
        "boxes": "0",
    }


def test_another_max_det_is_in_every_name(tmp_path: Path) -> None:
    evaluation = evaluate_boxes(*random_case(0), max_det=300)
    rows = printed(summary_table(evaluation))
    assert [row[3] for row in rows] == ["300"] * 6 + ["1", "10"] + ["300"] * 4
    assert rows[8][0] == "AR300"
    write_metrics_json(evaluation, tmp_path / "a.json")
    assert "AR300" in read_json(tmp_path / "a.json")["classes"][0]
    write_class_csv(evaluation, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text(encoding="utf-8").splitlines()[0].endswith("AP75,AR300")


def test_no_results_are_written_too(tmp_path: Path) -> None:
    evaluation = evaluate_boxes(make_dataset([1], {1: "a"}, [(1, 1, [0, 0, 9, 9])]), [])
    write_metrics_json(evaluation, tmp_path / "a.json")
    assert read_json(tmp_path / "a.json")["stats"]["AP"] == 0
