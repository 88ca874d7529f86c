"""An evaluation as tables for the terminal and as files for programs."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import astuple
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from cornernet.evaluation.coco_ap import Evaluation, coco_metrics
from cornernet.structures.files import write_atomic


def summary_table(evaluation: Evaluation) -> Table:
    """The twelve numbers in COCO's order, each with what it is measured over; a dash where nothing was to be found."""
    table = Table(title=f"{evaluation.pictures} pictures, {evaluation.boxes} boxes, {evaluation.detections} detections")
    for header in ("metric", "IoU", "area"):
        table.add_column(header)
    for header in ("max det", "value"):
        table.add_column(header, justify="right")
    metrics = coco_metrics(evaluation.max_det)
    for i, metric in enumerate(metrics):
        table.add_row(
            metric.name,
            "0.50:0.95" if metric.iou is None else f"{metric.iou:.2f}",
            metric.area,
            str(metric.detections),
            _shown(evaluation.stats[metric.name]),
            end_section=i + 1 < len(metrics) and metric.recall != metrics[i + 1].recall,
        )
    return table


def class_table(evaluation: Evaluation) -> Table:
    """One row per class, ascending by category id; a dash where a class has no boxes to find."""
    table = Table(title=f"{len(evaluation.classes)} classes")
    table.add_column("class", overflow="fold")
    for header in ("id", "pictures", "boxes", *_class_measures(evaluation)):
        table.add_column(header, justify="right")
    for row in evaluation.classes:
        shown = (_shown(value) for value in (row.ap, row.ap50, row.ap75, row.ar))
        table.add_row(Text(row.name), str(row.category_id), str(row.pictures), str(row.boxes), *shown)
    return table


def write_metrics_json(evaluation: Evaluation, path: Path) -> None:
    """Writes the whole evaluation as strict JSON, null where there was nothing to find.

    An object with `stats` (the twelve numbers by name), `pictures`, `boxes`, `detections`, `dropped`, `max_det`,
    `classes` (one object per class, with its average precisions and recall) and `curves` (per class, precision at
    IoU 0.50, 0.75 and 0.50:0.95 at each of the recalls in `recall`).

    Raises:
        OSError: When the file cannot be written.
    """
    document: dict[str, Any] = {
        "stats": {name: _known(value) for name, value in evaluation.stats.items()},
        **{name: getattr(evaluation, name) for name in ("pictures", "boxes", "detections", "dropped", "max_det")},
        "classes": _class_rows(evaluation),
        "recall": evaluation.recall.round(2).tolist(),
        "curves": [
            {
                "category_id": row.category_id,
                **{iou: _curve(curve) for iou, curve in zip(("0.50", "0.75", "0.50:0.95"), curves, strict=True)},
            }
            for row, curves in zip(evaluation.classes, evaluation.precision.transpose(2, 0, 1).tolist(), strict=True)
        ],
    }
    write_atomic(path, _json(document))


def write_class_csv(evaluation: Evaluation, path: Path) -> None:
    """Writes one line per class, its numbers empty where it has no boxes to find; UTF-8 with a header.

    Raises:
        OSError: When the file cannot be written.
    """
    text = io.StringIO()
    rows = _class_rows(evaluation)
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, text.getvalue())


def _class_measures(evaluation: Evaluation) -> tuple[str, ...]:
    return "AP", "AP50", "AP75", f"AR{evaluation.max_det}"


def _class_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Each class's row under the files' column names, None where there was nothing to find."""
    columns = ("name", "category_id", "pictures", "boxes", *_class_measures(evaluation))
    return [dict(zip(columns, map(_known, astuple(row)), strict=True)) for row in evaluation.classes]


def _shown(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _known(value: Any) -> Any:
    """The value, None for nan, which JSON does not know."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _curve(precision: list[float]) -> list[float] | None:
    return None if math.isnan(precision[0]) else [round(value, 6) for value in precision]


def _json(document: dict[str, Any]) -> str:
    """Readable JSON: a line for each key, and for each entry of an object or list of objects in it."""
    lines = []
    for key, value in document.items():
        if isinstance(value, dict):
            text = _block("{}", [f"{_dumps(k)}: {_dumps(v)}" for k, v in value.items()])
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            text = _block("[]", [_dumps(row) for row in value])
        else:
            text = _dumps(value)
        lines.append(f"  {_dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _block(brackets: str, rows: list[str]) -> str:
    return f"{brackets[0]}\n    " + ",\n    ".join(rows) + f"\n  {brackets[1]}"


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
