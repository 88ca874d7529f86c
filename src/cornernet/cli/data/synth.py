"""`cornernet data synth`: a small dataset of drawn shapes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cornernet.cli.command import DONE, Command, say
from cornernet.cli.options import CommonOptions, require_from, require_score
from cornernet.cli.progress import progress


@dataclass(frozen=True, kw_only=True)
class SynthOptions(CommonOptions):
    """Draw a dataset of circles, squares and triangles in COCO format, the same for the same options.

    Attributes:
        output: Folder to write to; new or empty.
        train: Pictures of the split train.
        val: Pictures of the split val; 0 leaves the split out.
        test: Pictures of the split test; 0 leaves the split out.
        size: Pixels of a picture's side.
        max_objects: Most objects in a picture.
        empty: Share of pictures without objects.
        seed: Another one gives other pictures.
    """

    output: Path
    train: int = 400
    val: int = 60
    test: int = 60
    size: int = 128
    max_objects: int = 5
    empty: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        require_from("--train", self.train, 1)
        require_from("--val", self.val, 0)
        require_from("--test", self.test, 0)
        require_from("--size", self.size, 32)
        require_from("--max-objects", self.max_objects, 1)
        require_score("--empty", self.empty)
        require_from("--seed", self.seed, 0)


def run(options: SynthOptions) -> int:
    """Draws, and returns the exit code."""
    from cornernet.data.synth import ShapesConfig, make_shapes

    config = ShapesConfig(
        train=options.train,
        val=options.val,
        test=options.test,
        size=options.size,
        max_objects=options.max_objects,
        empty=options.empty,
        seed=options.seed,
    )
    counts = config.counts()
    with progress("drawing", sum(counts.values())) as step:
        print(make_shapes(options.output, config, step=step))
    say(f"drawn: {', '.join(f'{count} pictures in {split}' for split, count in counts.items())}")
    return DONE


COMMAND = Command(options=SynthOptions, run=run)
