"""The published checkpoints, as a table. Importing this module does not import PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

_BASE = "https://download.openmmlab.com/mmdetection/v2.0/cornernet"


@dataclass(frozen=True, kw_only=True)
class Published:
    """A checkpoint anyone can download.

    Attributes:
        name: What `load_weights` and `--weights` take.
        url: Where the file is.
        sha256_prefix: The first eight hexadecimal digits of the file's SHA-256.
        variant: The architecture's name in `cornernet.models.config.VARIANTS`.
        recipe: Name of the training recipe it came from.
        ap: Box AP on COCO val2017 at one scale, in percent, as published.
        ap_tta: The same with the flipped picture's prediction merged in.
        source: Who trained it.
        licence: The licence it is offered under (SPDX).
    """

    name: str
    url: str
    sha256_prefix: str
    variant: str = "cornernet-hourglass104"
    recipe: str
    ap: float
    ap_tta: float
    source: str = "MMDetection"
    licence: str = "Apache-2.0"

    @property
    def file_name(self) -> str:
        """The file's name, under which the cache keeps it."""
        return self.url.rsplit("/", 1)[-1]


def _mmdetection(name: str, batch: str, recipe: str, stamp: str, ap: float, ap_tta: float) -> Published:
    folder = f"cornernet_hourglass104_mstest_{batch}_210e_coco"
    return Published(
        name=name,
        url=f"{_BASE}/{folder}/{folder}_{stamp}.pth",
        sha256_prefix=stamp.rsplit("-", 1)[-1],
        recipe=f"cornernet_hourglass104_{recipe}-210e-mstest_coco",
        ap=ap,
        ap_tta=ap_tta,
    )


PUBLISHED: dict[str, Published] = {
    published.name: published
    for published in (
        _mmdetection("cornernet-hourglass104", "8x6", "8xb6", "20200825_150618-79b44c30", 40.9, 41.2),
        _mmdetection("cornernet-hourglass104-8x6", "8x6", "8xb6", "20200825_150618-79b44c30", 40.9, 41.2),
        _mmdetection("cornernet-hourglass104-10x5", "10x5", "10xb5-crop511", "20200824_185720-5fefbf1c", 40.6, 41.2),
        _mmdetection("cornernet-hourglass104-32x3", "32x3", "32xb3", "20200819_203110-1efaea91", 39.6, 40.4),
    )
}
"""The published checkpoints by name; the first is the best one under the architecture's plain name."""
