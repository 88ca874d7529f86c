"""Any checkpoint to our own format: `cornernet convert IN OUT`."""

from __future__ import annotations

from pathlib import Path

from cornernet.errors import WeightsError
from cornernet.weights.load import LoadedWeights, load_weights
from cornernet.weights.native import write_native
from cornernet.weights.zoo import PUBLISHED, Published


def convert(source: str | Path, output: Path, *, overwrite: bool = False, progress: bool = True) -> Path:
    """Writes what `load_weights` reads as a folder of `model.safetensors`, `config.json` and a model card.

    Args:
        source: As for `load_weights`.
        output: The folder; made when missing.
        overwrite: Whether a folder that holds something may be written to. Only those three files are replaced.
        progress: Whether a download draws a progress bar on stderr.

    Returns:
        The folder.

    Raises:
        WeightsError: When the source cannot be read or the folder not be written; nothing is half-written.
    """
    if output.exists() and not output.is_dir():
        raise WeightsError(f"expected a folder to write to, got the file {output}: give another name")
    if not overwrite and output.is_dir() and any(output.iterdir()):
        raise WeightsError(
            f"expected an empty or new folder, got {output} with files in it: overwrite or choose another"
        )
    loaded = load_weights(source, progress=progress)
    published = PUBLISHED.get(str(source)) or next(
        (entry for entry in PUBLISHED.values() if entry.file_name == Path(source).name), None
    )
    write_native(output, loaded.record, loaded.state, card=model_card(loaded, published))
    return output


def model_card(loaded: LoadedWeights, published: Published | None) -> str:
    """The README of a model's folder: what it is, what is known about it, how to use it."""
    config, how = loaded.record.architecture, loaded.record.preprocessing
    parameters = sum(tensor.numel() for name, tensor in loaded.state.items() if name.endswith((".weight", ".bias")))
    names = loaded.record.classes.names
    facts = {
        "stacked hourglasses": config.stacks,
        "channels by level": ", ".join(map(str, config.channels)),
        "blocks by level": ", ".join(map(str, config.blocks)),
        "parameters": f"{parameters:,}",
        "classes": f"{len(names)}: {', '.join(names[:10])}{', ...' if len(names) > 10 else ''}",
        "input": f"{how.channel_order.upper()}, mean {how.mean}, std {how.std}, {how.border} border",
        "converted from names of": loaded.origin,
    }
    front = ["library_name: cornernet", "pipeline_tag: object-detection", "tags: [cornernet, object-detection]"]
    if published:
        front.append(f"license: {published.licence.lower()}")
        facts["trained by"] = f"{published.source}, {published.recipe}"
        facts["box AP, COCO val2017"] = f"{published.ap} ({published.ap_tta} with the flipped picture), as published"
    table = "\n".join(f"| {fact} | {value} |" for fact, value in facts.items())
    return (
        "---\n" + "\n".join(front) + "\n---\n\n# CornerNet\n\n"
        f"A corner-pair object detector (Law & Deng, ECCV 2018).\n\n| | |\n|---|---|\n{table}\n\n"
        "```python\nfrom cornernet import Detector\n\n"
        'detector = Detector.from_pretrained("path/to/this/folder")\nprint(detector.predict("picture.jpg"))\n```\n'
    )
