"""A whole dataset checked before it is trained on: all that is wrong is collected, nothing is stopped at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from cornernet.data.check_annotations import read_split
from cornernet.data.check_pictures import check_files, check_names, check_strays
from cornernet.data.coco import CocoDataset
from cornernet.data.findings import Fault, Finding, Report, SplitSummary
from cornernet.data.images import MAX_PIXELS
from cornernet.data.layout import SplitFiles, find_split, find_splits
from cornernet.data.progress import Progress, silent
from cornernet.errors import DatasetError


def check_dataset(
    root: str | Path,
    splits: Sequence[str] = (),
    *,
    pictures: bool = True,
    workers: int = 2,
    max_pixels: int = MAX_PIXELS,
    progress: Progress = silent,
) -> Report:
    """Checks annotations and pictures of a dataset folder in one of the layouts of `cornernet.data.layout`.

    Args:
        root: The folder.
        splits: What to look at; every split there is if empty.
        pictures: Read every picture; otherwise only whether its file is there is looked at.
        workers: Threads that read pictures.
        max_pixels: Larger pictures count as unreadable.
        progress: Shows how many pictures were looked at.

    Raises:
        DatasetError: When there is no such folder or split.
    """
    root = Path(root)
    everything = list(find_splits(root).values())
    chosen = [find_split(root, split) for split in dict.fromkeys(splits)] or everything
    if not chosen:
        raise DatasetError(f"{root}: expected a dataset, found no annotations: put them at annotations/*.json")
    datasets: list[CocoDataset] = []
    summaries: list[SplitSummary] = []
    findings: list[Finding] = []
    for files in chosen:
        dataset, found = read_split(root, files)
        findings += found
        if dataset:
            datasets.append(dataset)
            findings += _check_content(dataset, files)
        summaries.append(_summary(files, dataset))
    findings += _compare_classes(datasets)
    with progress("pictures", sum(map(len, datasets))) as step:
        findings += check_files(datasets, decode=pictures, workers=workers, max_pixels=max_pixels, step=step)
    findings += check_names(datasets, {f.file for f in findings if f.kind is Fault.SHARED and f.file})
    findings += check_strays(datasets, everything)
    order = {files.split: place for place, files in enumerate(chosen)}
    findings.sort(key=lambda finding: order[finding.split])  # stable: within a split in the order of the checks
    return Report(root=root, splits=tuple(summaries), findings=tuple(findings))


def _summary(files: SplitFiles, dataset: CocoDataset | None) -> SplitSummary:
    return SplitSummary(
        split=files.split,
        annotations=str(files.annotations),
        pictures=len(dataset) if dataset else 0,
        boxes=sum(map(len, dataset.images)) if dataset else 0,
        classes=dataset.classes.names if dataset else (),
    )


def _check_content(dataset: CocoDataset, files: SplitFiles) -> Iterator[Finding]:
    """What the usable annotations say and should not."""
    split, names = dataset.split, dataset.classes.names
    for name, count in Counter(names).items():
        if count > 1:
            yield Finding(kind=Fault.SAME_NAME, split=split, message=f"{count} categories are called {name!r}")
    if not dataset.has_annotations:
        if not files.without_boxes:
            yield Finding(kind=Fault.NO_BOXES, split=split, message=f"{files.annotations}: has no usable box")
        return
    used = np.unique(np.concatenate([image.labels for image in dataset.images]))
    for label in sorted({*range(len(names))} - set(used.tolist())):
        text = f"category {dataset.classes.ids[label]}, {names[label]!r}"
        yield Finding(kind=Fault.UNUSED_CLASS, split=split, message=text)
    for image in dataset.images:
        if not len(image):
            text = f"image {image.id}, {image.file_name!r}"
            yield Finding(kind=Fault.EMPTY, split=split, message=text, file=str(image.path), image_id=image.id)


def _compare_classes(datasets: Sequence[CocoDataset]) -> Iterator[Finding]:
    """Splits whose categories are not those of the first split."""
    for dataset in datasets[1:]:
        first = datasets[0]
        if dataset.classes != first.classes:
            theirs = set(zip(first.classes.ids, first.classes.names, strict=True))
            ours = set(zip(dataset.classes.ids, dataset.classes.names, strict=True))
            text = ", ".join(f"{i} {name!r}" for i, name in sorted(ours ^ theirs)[:5])
            yield Finding(
                kind=Fault.OTHER_CLASSES, split=dataset.split, message=f"not the categories of {first.split}: {text}"
            )
