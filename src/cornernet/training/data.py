"""A recipe's data, opened: the splits it names, and the batches of one process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cornernet.data.batches import EpochSampler, TrainingLoader, TrainingPictures
from cornernet.data.coco import CocoDataset, load_coco
from cornernet.data.layout import find_splits
from cornernet.errors import ConfigError, DatasetError
from cornernet.training.options import DataOptions
from cornernet.training.recipe import Recipe
from cornernet.weights.record import Preprocessing

TRAIN_NAMES = ("train2017", "train")
VAL_NAMES = ("val2017", "val", "valid", "validation")


@dataclass(frozen=True, eq=False)
class Splits:
    """What a run learns from, and what it is measured on.

    Attributes:
        train: Pictures to train on.
        val: Pictures to choose the best weights by; None without any.
    """

    train: CocoDataset
    val: CocoDataset | None

    def notes(self) -> list[str]:
        """What the user should know of both, a line each."""
        notes = [
            f"{dataset.split}: {line}"
            for dataset in (self.train, self.val)
            if dataset is not None
            for line in dataset.problems.lines()
        ]
        if self.val is None:
            notes.append(f"no validation split in {self.train.root}: weights/best will be the last ones")
        return notes


def open_splits(options: DataOptions) -> Splits:
    """Reads the annotations of both splits.

    Raises:
        ConfigError: When no folder is named.
        DatasetError: When a split is missing or cannot be used, or both do not share their classes.
    """
    if options.root is None:
        raise ConfigError("expected the folder of a dataset, got none: give --data DIR")
    found = find_splits(options.root)
    train_name = options.train or _first(TRAIN_NAMES, found) or TRAIN_NAMES[0]
    val_name = options.val or _first(VAL_NAMES, found)
    train = _open(options.root, train_name)
    val = _open(options.root, val_name) if val_name else None
    if val is not None and val.classes != train.classes:
        raise DatasetError(
            f"{options.root}: expected the same categories in splits {train.split!r} and {val.split!r}, got "
            f"{len(train.classes)} and {len(val.classes)} with other names or ids: make both from one list"
        )
    return Splits(train, val)


def _first(names: Sequence[str], found: object) -> str | None:
    return next((name for name in names if name in found), None)  # type: ignore[operator]


def _open(root: Path, split: str) -> CocoDataset:
    dataset = load_coco(root, split)
    if not dataset.has_annotations:
        raise DatasetError(f"{root}: expected boxes in split {split!r}, got none: name another split")
    if missing := dataset.missing_files():
        raise DatasetError(
            f"{missing[0]}: expected the picture, found no such file ({len(missing)} of {len(dataset)} of split "
            f"{split!r} are missing)"
        )
    return dataset


def training_loader(
    dataset: CocoDataset, recipe: Recipe, preprocessing: Preprocessing, *, rank: int, world_size: int, pin_memory: bool
) -> tuple[TrainingLoader, EpochSampler]:
    """Batches of one process, and what chooses their pictures.

    Raises:
        ConfigError: When an epoch does not hold one step.
    """
    pictures = TrainingPictures(
        dataset,
        recipe.augment.at_scale(preprocessing.scale),
        seed=recipe.train.seed,
        border_colour=_border(preprocessing),
        keep_empty=recipe.data.keep_empty,
        max_pixels=recipe.data.max_pixels,
    )
    sampler = EpochSampler(
        len(pictures), batch_size=recipe.train.batch, seed=recipe.train.seed, rank=rank, world_size=world_size
    )
    if sampler.batches < recipe.train.accumulate:
        raise ConfigError(
            f"expected an epoch of {recipe.train.accumulate} batches or more, which make a step, got "
            f"{sampler.batches}: lower --accumulate or --batch"
        )
    return TrainingLoader(pictures, sampler, workers=recipe.data.workers, pin_memory=pin_memory), sampler


def _border(preprocessing: Preprocessing) -> tuple[float, float, float]:
    """RGB of what surrounds a picture."""
    if preprocessing.border == "black":
        return (0.0, 0.0, 0.0)
    first, second, third = preprocessing.mean
    return (third, second, first) if preprocessing.channel_order == "bgr" else (first, second, third)
