"""The names of a state dict's entries in each project, as tables, and the way from one to another.

A row pairs a module's name there with its name here; a word in braces stands for one of the words listed under it
(or a stack's or block's number) and is translated on the way. The entry's last part (`weight`, `running_mean`, ...)
is the same everywhere and stands in no table. Sources: the state dicts of MMDetection 2.x and 3.x, and of Princeton's
CornerNet and CornerNet-Lite.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from cornernet.errors import WeightsError

Words = Mapping[str, Mapping[str, str]]
Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class Naming:
    """How one project names its entries.

    Attributes:
        origin: The project's name, as `LoadedWeights.origin` gives it.
        words: For each word in braces, its spellings there and here. Of two spellings there for one here, the first
            is written.
        rows: Module name there, module name here.
    """

    origin: str
    words: Words
    rows: tuple[tuple[str, str], ...]

    def to_ours(self, name: str) -> str | None:
        """Our name of an entry, or None when it is not of this naming."""
        return _translate(name, _compiled(self.origin, True))

    def from_ours(self, name: str) -> str | None:
        """This naming's word for an entry of ours, or None when it has none."""
        return _translate(name, _compiled(self.origin, False))


_CORNERS = {"tl": "top_left", "br": "bottom_right"}
_LEVELS = {"up1": "up", "low1": "low_in", "low2": "inner", "low3": "low_out"}
_RESIDUAL = {"conv1": "conv1", "bn1": "norm1", "conv2": "conv2", "bn2": "norm2"}

MMDETECTION = Naming(
    origin="mmdetection",
    words={
        "corner": _CORNERS,
        "branch": {"heat": "heat", "emb": "embedding", "off": "offset"},
        "levels": _LEVELS,
        "unit": {"conv": "conv", "bn": "norm"},
        "block": {**_RESIDUAL, "downsample.0": "skip.conv", "downsample.1": "skip.norm"},
    },
    rows=(
        ("backbone.stem.0.{unit}", "stem.conv.{unit}"),
        ("backbone.stem.1.0.{block}", "stem.residual.{block}"),
        ("backbone.hourglass_modules.{stack}.{levels}.{index}.{block}", "hourglasses.{stack}.{levels}.{index}.{block}"),
        ("backbone.out_convs.{stack}.{unit}", "outs.{stack}.{unit}"),
        ("backbone.conv1x1s.{stack}.{unit}", "merge_stems.{stack}.{unit}"),
        ("backbone.remap_convs.{stack}.{unit}", "merge_outs.{stack}.{unit}"),
        ("backbone.inters.{stack}.{block}", "inters.{stack}.{block}"),
        ("bbox_head.{corner}_pool.{stack}.direction1_conv.{unit}", "heads.{stack}.{corner}.pool.first.{unit}"),
        ("bbox_head.{corner}_pool.{stack}.direction2_conv.{unit}", "heads.{stack}.{corner}.pool.second.{unit}"),
        ("bbox_head.{corner}_pool.{stack}.aftpool_conv.{unit}", "heads.{stack}.{corner}.pool.pooled.{unit}"),
        ("bbox_head.{corner}_pool.{stack}.conv1.{unit}", "heads.{stack}.{corner}.pool.skip.{unit}"),
        ("bbox_head.{corner}_pool.{stack}.conv2.{unit}", "heads.{stack}.{corner}.pool.out.{unit}"),
        ("bbox_head.{corner}_{branch}.{stack}.0.conv", "heads.{stack}.{corner}.{branch}.hidden"),
        ("bbox_head.{corner}_{branch}.{stack}.1.conv", "heads.{stack}.{corner}.{branch}.out"),
    ),
)


PRINCETON = Naming(
    origin="princeton",
    words={
        "corner": _CORNERS,
        # Where two words mean the same, the second is CornerNet-Lite's.
        "branch": {"heats": "heat", "tags": "embedding", "regrs": "offset", "offs": "offset"},
        "hourglasses": {"kps": "hourglasses", "hgs": "hourglasses"},
        "pool": {"cnvs": "pool", "modules": "pool"},
        "levels": _LEVELS,
        "unit": {"conv": "conv", "bn": "norm"},
        "pair": {"0": "conv", "1": "norm"},
        "block": {**_RESIDUAL, "skip.0": "skip.conv", "skip.1": "skip.norm"},
    },
    rows=(
        ("pre.0.{unit}", "stem.conv.{unit}"),
        ("pre.1.{block}", "stem.residual.{block}"),
        ("{hourglasses}.{stack}.{levels}.{index}.{block}", "{hourglasses}.{stack}.{levels}.{index}.{block}"),
        ("cnvs.{stack}.{unit}", "outs.{stack}.{unit}"),
        ("inters_.{stack}.{pair}", "merge_stems.{stack}.{pair}"),
        ("cnvs_.{stack}.{pair}", "merge_outs.{stack}.{pair}"),
        ("inters.{stack}.{block}", "inters.{stack}.{block}"),
        ("{corner}_{pool}.{stack}.p1_conv1.{unit}", "heads.{stack}.{corner}.{pool}.first.{unit}"),
        ("{corner}_{pool}.{stack}.p2_conv1.{unit}", "heads.{stack}.{corner}.{pool}.second.{unit}"),
        ("{corner}_{pool}.{stack}.p_conv1", "heads.{stack}.{corner}.{pool}.pooled.conv"),
        ("{corner}_{pool}.{stack}.p_bn1", "heads.{stack}.{corner}.{pool}.pooled.norm"),
        ("{corner}_{pool}.{stack}.conv1", "heads.{stack}.{corner}.{pool}.skip.conv"),
        ("{corner}_{pool}.{stack}.bn1", "heads.{stack}.{corner}.{pool}.skip.norm"),
        ("{corner}_{pool}.{stack}.conv2.{unit}", "heads.{stack}.{corner}.{pool}.out.{unit}"),
        ("{corner}_{branch}.{stack}.0.conv", "heads.{stack}.{corner}.{branch}.hidden"),
        ("{corner}_{branch}.{stack}.1", "heads.{stack}.{corner}.{branch}.out"),
    ),
)
"""CornerNet's names, and CornerNet-Lite's, which differ in three words and put `hg.` before the backbone's."""

_OUR_WORDS: Words = {
    "corner": {here: here for here in _CORNERS.values()},
    "branch": {here: here for here in ("heat", "embedding", "offset")},
    "levels": {here: here for here in _LEVELS.values()},
    "unit": {"conv": "conv", "norm": "norm"},
    "block": {here: here for here in MMDETECTION.words["block"].values()},
}
CORNERNET = Naming(origin="cornernet", words=_OUR_WORDS, rows=tuple((here, here) for _, here in MMDETECTION.rows))
"""Our own names, for a state dict that `torch.save` wrote."""

NAMINGS = {naming.origin: naming for naming in (CORNERNET, MMDETECTION, PRINCETON)}

WRAPPERS = re.compile(r"^(?:module\.|_orig_mod\.|hg\.)+")
"""What DataParallel, torch.compile and CornerNet-Lite put before names."""

_ENTRY = re.compile(r"(.+)\.(weight|bias|running_mean|running_var|num_batches_tracked)")
_BRACED = re.compile(r"\{(\w+)\}")


def detect_naming(names: Iterable[str]) -> Naming:
    """The naming most of these entries follow; wrappers' prefixes are looked through.

    Raises:
        WeightsError: When no naming knows even half of them: another model's checkpoint.
    """
    plain = [WRAPPERS.sub("", name) for name in names]
    counts = {origin: sum(naming.to_ours(name) is not None for name in plain) for origin, naming in NAMINGS.items()}
    best = max(counts, key=lambda origin: counts[origin])
    if not plain or counts[best] * 2 < len(plain):
        raise WeightsError(
            "expected the weights of a CornerNet with an hourglass backbone (entries such as "
            f"'backbone.stem.0.conv.weight' or 'pre.0.conv.weight'), got {_few(plain)}: "
            "this is another model's checkpoint"
        )
    return NAMINGS[best]


def to_ours(entries: Mapping[str, Value], naming: Naming) -> dict[str, Value]:
    """The entries under our names.

    Raises:
        WeightsError: Naming the entries that the table does not know, or that meet under one name.
    """
    unknown = [name for name in entries if naming.to_ours(WRAPPERS.sub("", name)) is None]
    if unknown:
        raise WeightsError(
            f"expected only a CornerNet's entries in {naming.origin}'s naming, got also {_few(unknown)}: "
            "remove them, or use the checkpoint of an unmodified CornerNet"
        )
    ours: dict[str, Value] = {}
    for name, value in entries.items():
        here = naming.to_ours(WRAPPERS.sub("", name))
        assert here is not None
        if here in ours:
            raise WeightsError(
                f"expected each entry once, got {name!r} with and without a wrapper's prefix: keep one of the two"
            )
        ours[here] = value
    return ours


def from_ours(entries: Mapping[str, Value], naming: Naming) -> dict[str, Value]:
    """Our entries under another naming's names.

    Raises:
        WeightsError: Naming the entries that are not ours.
    """
    theirs = {name: naming.from_ours(name) for name in entries}
    if unknown := [name for name, there in theirs.items() if there is None]:
        raise WeightsError(f"expected a CornerNet's entries in our naming, got {_few(unknown)}")
    return {there: entries[name] for name, there in theirs.items() if there is not None}


def to_mmdetection(entries: Mapping[str, Value]) -> dict[str, Value]:
    """Our entries under MMDetection's names."""
    return from_ours(entries, MMDETECTION)


def _few(names: list[str]) -> str:
    shown = ", ".join(repr(name[:80]) for name in names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown or "no entries"


@dataclass(frozen=True)
class _Rule:
    pattern: re.Pattern[str]
    template: str
    words: Mapping[str, Mapping[str, str]]


@cache
def _compiled(origin: str, inward: bool) -> tuple[_Rule, ...]:
    """The rows of a naming as patterns, from there to here or back."""
    naming = NAMINGS[origin]
    words = naming.words
    if not inward:
        # Backwards, so that the first of two words for the same stays.
        words = {
            field: {here: there for there, here in reversed(list(pairs.items()))} for field, pairs in words.items()
        }
    rows = naming.rows if inward else tuple((here, there) for there, here in naming.rows)
    return tuple(_Rule(_pattern(source, words), target, words) for source, target in rows)


def _pattern(template: str, words: Words) -> re.Pattern[str]:
    """A template as a pattern with a group for each word in braces."""
    text, *pairs = _BRACED.split(template)  # text, field, text, ..., field, text
    pattern = re.escape(text)
    for field, text in zip(pairs[::2], pairs[1::2], strict=True):
        choice = "|".join(map(re.escape, words[field])) if field in words else r"0|[1-9]\d{0,3}"
        if field == "levels":  # an hourglass holds an hourglass: its levels stand one after the other
            choice = rf"(?:{choice})(?:\.(?:{choice}))*"
        pattern += f"(?P<{field}>{choice})" + re.escape(text)
    return re.compile(pattern)


def _translate(name: str, rules: tuple[_Rule, ...]) -> str | None:
    entry = _ENTRY.fullmatch(name)
    if entry is None:
        return None
    for rule in rules:
        if found := rule.pattern.fullmatch(entry[1]):
            return f"{rule.template.format(**_words(found, rule.words))}.{entry[2]}"
    return None


def _words(found: re.Match[str], words: Words) -> dict[str, str]:
    translated = {}
    for field, text in found.groupdict().items():
        table = words.get(field)
        if table is None:
            translated[field] = text
        elif field == "levels":
            translated[field] = ".".join(table[level] for level in text.split("."))
        else:
            translated[field] = table[text]
    return translated
