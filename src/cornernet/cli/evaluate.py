"""`cornernet evaluate`: a model's predictions on an annotated split, measured as COCO does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cornernet.cli.command import DONE, Command, say
from cornernet.cli.options import FindingOptions, load_detector, require_from, stream_settings
from cornernet.cli.progress import progress
from cornernet.errors import DatasetError, MissingExtraError

if TYPE_CHECKING:
    from cornernet.data.coco import CocoDataset
    from cornernet.evaluation.coco_ap import Evaluation
    from cornernet.inference.detector import Detector
    from cornernet.structures.classes import Classes


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(FindingOptions):
    """Measure a model on an annotated dataset, as the COCO challenge does.

    Attributes:
        data: The dataset's folder, with annotations/instances_SPLIT.json and the pictures in SPLIT/.
        split: Which part of it.
        output: Folder to write to; a new one, runs/evaluate/SPLIT, by default.
        limit: Look at the first N pictures only.
        plots: Draw PR curves and the confusion matrix; by default where matplotlib is installed.
    """

    data: Path
    split: str = "val2017"
    output: Path | None = None
    limit: int | None = None
    plots: bool | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_from("--max-det", self.max_det, 11)  # AR10 is among the twelve numbers
        if self.limit is not None:
            require_from("--limit", self.limit, 1)


def run(options: EvaluateOptions) -> int:
    """Predicts the split, measures, writes, and returns the exit code."""
    from cornernet.cli.output import run_folder

    plots = can_plot(options.plots)
    dataset = open_split(options.data, options.split, options.limit)
    detector = load_detector(options)
    categories, notes = match_classes(detector.record.classes, dataset.classes)
    for note in notes:
        say(note)
    results = predict_split(detector, dataset, categories, options)
    folder = run_folder(options.output, "evaluate", options.split)
    _write_detections(folder / "detections.json", results)
    if dataset.has_annotations:
        _measure(dataset, results, folder, options.max_det, plots=plots)
    say(f"the files are in {folder}")
    return DONE


def open_split(root: Path, split: str, limit: int | None) -> CocoDataset:
    """The split's pictures and boxes; says what was mended in them.

    Raises:
        DatasetError: When the split cannot be read, or lists no pictures or missing ones.
    """
    from cornernet.data.coco import load_coco

    dataset = load_coco(root, split)
    for line in dataset.problems.lines():
        say(line)
    total = len(dataset)
    if limit is not None and limit < total:
        dataset = replace(dataset, images=dataset.images[:limit])
        say(f"the first {limit} of {total} pictures only: the numbers are not those of the whole split")
    if not total:
        raise DatasetError(f"{root}: expected pictures in split {split!r}, got none: name another split")
    if missing := dataset.missing_files():
        raise DatasetError(
            f"{missing[0]}: expected the picture, found no such file ({len(missing)} of {len(dataset)} are missing): "
            f"put the pictures of {split} there"
        )
    if not dataset.has_annotations:
        say(f"no annotations in split {split}: there is nothing to measure, detections.json alone will be written")
    return dataset


def match_classes(model: Classes, data: Classes) -> tuple[list[int | None], list[str]]:
    """The dataset's category id for each label of the model.

    Classes are the same when their names are, whatever their case. Where not one name is known but there are as many
    classes, they are matched in order.

    Returns:
        A category id for each label, None for a class the dataset does not have; and what the user should know.

    Raises:
        DatasetError: When the classes have nothing in common.
    """
    id_of = {name.casefold().strip(): i for name, i in zip(data.names, data.ids, strict=True)}
    ids = [id_of.get(name.casefold().strip()) for name in model.names]
    known = {i for i in ids if i is not None}
    if not known:
        if len(model) != len(data):
            raise DatasetError(
                f"expected weights for the dataset's {len(data)} classes ({_some(data.names)}), got {len(model)} other "
                f"ones ({_some(model.names)}): use weights trained on these classes"
            )
        return list(data.ids), [f"the model's class names ({_some(model.names)}) are not the dataset's: taken in order"]
    notes = []
    if strange := [name for name, i in zip(model.names, ids, strict=True) if i is None]:
        notes.append(f"{len(strange)} classes of the model are not in the dataset, and left out: {_some(strange)}")
    if absent := [name for name, i in zip(data.names, data.ids, strict=True) if i not in known]:
        notes.append(f"{len(absent)} classes of the dataset are unknown to the model: {_some(absent)}")
    return ids, notes


def predict_split(
    detector: Detector, dataset: CocoDataset, categories: Sequence[int | None], options: FindingOptions
) -> list[dict[str, Any]]:
    """COCO result entries of every picture, with the dataset's own image and category ids.

    Raises:
        ImageError: When a picture cannot be read.
        DatasetError: When one is not of the size that was annotated.
    """
    from cornernet.data.coco import check_size

    results: list[dict[str, Any]] = []
    stream = detector.stream([image.path for image in dataset.images], **stream_settings(options))
    with progress(dataset.split, len(dataset)) as step:
        for image, (picture, detections) in zip(dataset.images, stream, strict=True):
            check_size(image, picture)
            for entry, label in zip(detections.to_coco(image.id), detections.labels.tolist(), strict=True):
                if (category_id := categories[label]) is not None:
                    results.append({**entry, "category_id": category_id})
            step()
    return results


def _measure(dataset: CocoDataset, results: list[dict[str, Any]], folder: Path, max_det: int, *, plots: bool) -> None:
    """The numbers in files and on standard output."""
    from cornernet.cli.tables import print_table
    from cornernet.evaluation.coco_ap import evaluate_boxes
    from cornernet.evaluation.report import class_table, summary_table, write_class_csv, write_metrics_json

    truth = dataset.to_coco()
    evaluation = evaluate_boxes(truth, results, max_det=max_det)
    write_metrics_json(evaluation, folder / "metrics.json")
    write_class_csv(evaluation, folder / "per_class.csv")
    if plots:
        _plot(evaluation, truth, results, folder)
    print_table(summary_table(evaluation))  # last: whoever reads it may stop reading
    print_table(class_table(evaluation))


def _plot(evaluation: Evaluation, truth: dict[str, Any], results: list[dict[str, Any]], folder: Path) -> None:
    from cornernet.evaluation.confusion import confusion_matrix
    from cornernet.evaluation.plots import plot_confusion, plot_pr_curves

    plot_pr_curves(evaluation, folder / "pr_curves.png")
    plot_confusion(confusion_matrix(truth, results), folder / "confusion_matrix.png")


def can_plot(wanted: bool | None) -> bool:
    """Whether to draw; asked before the long work that leads to it.

    Raises:
        MissingExtraError: When it is wanted and cannot be done.
    """
    if wanted is False:
        return False
    from cornernet.structures.figures import require_plots

    try:
        require_plots()
    except MissingExtraError as error:
        if wanted:
            raise
        say(f"no plots: {error}")
        return False
    return True


def _write_detections(path: Path, results: Sequence[dict[str, Any]]) -> None:
    """COCO results, as evaluation servers take them: one entry a line."""
    from cornernet.structures.files import write_atomic

    write_atomic(path, "[\n" + ",\n".join(map(json.dumps, results)) + "\n]\n" if results else "[]\n")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


COMMAND = Command(options=EvaluateOptions, run=run)
