"""`cornernet info`: the models and their published weights; or what one checkpoint is."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cornernet.cli.command import DONE, Command
from cornernet.cli.options import CommonOptions

if TYPE_CHECKING:
    from cornernet.models.config import CornerNetConfig

INPUT_SIDE = 511  # pixels; what the published models were trained at


@dataclass(frozen=True, kw_only=True)
class InfoOptions(CommonOptions):
    """List the models and their published weights, or tell what a checkpoint is.

    Attributes:
        weights: Tell about this checkpoint: a file, a folder, a published model's name, or a Hub repository.
        json: Print JSON, for programs.
    """

    weights: str | None = None
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a network is.

    Attributes:
        parameters: Trained numbers.
        gflop: 10^9 multiplications and additions for one picture of `INPUT_SIDE` squared, at inference.
        gflop_all_heads: The same with the head of each stack, as in training.
    """

    parameters: int
    gflop: float
    gflop_all_heads: float


def run(options: InfoOptions) -> int:
    """Prints, and returns the exit code."""
    content = describe_zoo() if options.weights is None else describe_weights(options.weights)
    if options.json:
        print(json.dumps(content, indent=2))
    elif options.weights is None:
        _print_zoo(content)
    else:
        _print_weights(content)
    return DONE


def measure(config: CornerNetConfig) -> Size:
    """Parameters and operations of a network, without memory for either: it is run on the meta device."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from cornernet.models.build import build_model

    with torch.device("meta"):
        model = build_model(config).eval()
        picture = torch.empty(1, 3, INPUT_SIDE, INPUT_SIDE)
    counts = []
    for forward in (model, model.all_stacks):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            forward(picture)
        counts.append(counter.get_total_flops() / 1e9)
    return Size(parameters=sum(p.numel() for p in model.parameters()), gflop=counts[0], gflop_all_heads=counts[1])


def describe_zoo() -> dict[str, Any]:
    """The named architectures with their sizes, and the published weights with where they would lie."""
    from cornernet.models.config import VARIANTS
    from cornernet.weights.download import cache_folder
    from cornernet.weights.zoo import PUBLISHED

    weights = []
    for name, published in PUBLISHED.items():
        path = cache_folder() / published.file_name
        weights.append({**asdict(published), "name": name, "path": str(path), "present": path.is_file()})
    return {
        "models": [{"name": name, **asdict(measure(config))} for name, config in VARIANTS.items()],
        "weights": weights,
        "cache": str(cache_folder()),
    }


def describe_weights(source: str) -> dict[str, Any]:
    """Whose a checkpoint is, its architecture, preprocessing, classes and size."""
    from cornernet.weights.load import load_weights

    loaded = load_weights(source, progress=sys.stderr.isatty())
    classes = loaded.record.classes
    return {
        "weights": source,
        "origin": loaded.origin,
        **asdict(measure(loaded.record.architecture)),
        "architecture": asdict(loaded.record.architecture),
        "preprocessing": asdict(loaded.record.preprocessing),
        "classes": [{"id": i, "name": name} for i, name in zip(classes.ids, classes.names, strict=True)],
    }


def _print_zoo(content: dict[str, Any]) -> None:
    from rich.table import Table

    from cornernet.cli.tables import print_table

    models = Table(title="models")
    weights = Table(title="published weights: box AP on COCO val2017, as published")
    for header in ("model", "parameters", f"GFLOP at {INPUT_SIDE} x {INPUT_SIDE}", "with all heads"):
        models.add_column(header, justify="left" if header == "model" else "right")
    for m in content["models"]:
        models.add_row(m["name"], f"{m['parameters']:,}", f"{m['gflop']:.1f}", f"{m['gflop_all_heads']:.1f}")
    for header in ("--weights", "AP", "AP with TTA", "recipe", "in the cache"):
        weights.add_column(header)
    for w in content["weights"]:
        present = "yes" if w["present"] else "no"
        weights.add_row(w["name"], f"{w['ap']}", f"{w['ap_tta']}", w["recipe"], present)
    print_table(models)
    print_table(weights)
    print(f"cache: {content['cache']}")
    for file_name in dict.fromkeys(Path(w["path"]).name for w in content["weights"]):
        print(f"  {file_name}")


def _print_weights(content: dict[str, Any]) -> None:
    names = [c["name"] for c in content["classes"]]
    lines: dict[str, Any] = {
        "weights": content["weights"],
        "naming": content["origin"],
        "parameters": f"{content['parameters']:,}",
        f"GFLOP at {INPUT_SIDE} x {INPUT_SIDE}": f"{content['gflop']:.1f}",
        **{key.replace("_", " "): _listed(value) for key, value in content["architecture"].items()},
        **{key.replace("_", " "): _listed(value) for key, value in content["preprocessing"].items()},
        "classes": ", ".join(names),
    }
    width = max(map(len, lines))
    for key, value in lines.items():
        print(f"{key:{width}}  {value}")


def _listed(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


COMMAND = Command(options=InfoOptions, run=run)
