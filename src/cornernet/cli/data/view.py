"""`cornernet data view`: training batches as the network gets them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING

from cornernet.cli.command import DONE, Command, say
from cornernet.cli.options import CommonOptions, require_from

if TYPE_CHECKING:
    from cornernet.data.batches import Sample
    from cornernet.data.coco import CocoDataset
    from cornernet.training.recipe import Recipe

_SHEET = 16  # pictures of a sheet


@dataclass(frozen=True, kw_only=True)
class ViewOptions(CommonOptions):
    """Draw the pictures that training would begin with: cropped, scaled, flipped, colours changed, with their boxes.

    Attributes:
        data: The dataset's folder, in COCO format.
        split: Which part of it; train2017 or train by default.
        recipe: A recipe's name or YAML file, which says how pictures are varied.
        output: Folder for the sheets, of up to 16 pictures each; a new one, runs/view/NAME, by default.
        count: Pictures to draw.
        seed: Fixes order and augmentation; the recipe's by default.
    """

    data: Path
    split: str | None = None
    recipe: str = "small"
    output: Path | None = None
    count: int = 16
    seed: int | None = None

    def __post_init__(self) -> None:
        require_from("--count", self.count, 1)
        if self.seed is not None:
            require_from("--seed", self.seed, 0)


def run(options: ViewOptions) -> int:
    """Draws, and returns the exit code."""
    from cornernet.cli.output import run_folder, write_picture
    from cornernet.cli.progress import progress
    from cornernet.data.batches import collate
    from cornernet.data.view import draw_batch
    from cornernet.training.data import open_splits
    from cornernet.training.recipe import load_recipe

    recipe = load_recipe(options.recipe)
    seed = recipe.train.seed if options.seed is None else options.seed
    recipe = replace(recipe, train=replace(recipe.train, seed=seed))
    dataset = open_splits(replace(recipe.data, root=options.data, train=options.split)).train
    folder = run_folder(options.output, "view", options.data.resolve().name)
    samples = islice(_samples(dataset, recipe), options.count)
    with progress("drawing", options.count) as step:
        for number in range(1, -(-options.count // _SHEET) + 1):
            batch = collate(list(islice(samples, _SHEET)))
            path = folder / f"batch-{number}.png"
            write_picture(path, draw_batch(batch, recipe.preprocessing, dataset.classes.names))
            print(path)
            for _ in batch.names:
                step()
    size = " x ".join(map(str, recipe.augment.size))
    say(f"{options.count} pictures of {dataset.split}, {size} pixels as recipe {options.recipe} varies them")
    return DONE


def _samples(dataset: CocoDataset, recipe: Recipe) -> Iterator[Sample]:
    """The samples of a run of this recipe, epoch after epoch."""
    from cornernet.data.batches import TrainingPictures
    from cornernet.training.data import training_loader

    one = replace(recipe, train=replace(recipe.train, batch=1, accumulate=1), data=replace(recipe.data, workers=0))
    loader, sampler = training_loader(dataset, one, recipe.preprocessing, rank=0, world_size=1, pin_memory=False)
    pictures = loader.dataset
    assert isinstance(pictures, TrainingPictures)
    for epoch in count():
        sampler.set_epoch(epoch)
        for key in sampler:
            yield pictures[key]


COMMAND = Command(options=ViewOptions, run=run, positionals=("data",))
