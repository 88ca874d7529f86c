"""Training batches: every picture once an epoch, in an order and with changes that (seed, epoch, picture) alone fix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import cv2
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from cornernet.data.augment import AugmentConfig
from cornernet.data.coco import CocoDataset
from cornernet.data.images import MAX_PIXELS

SampleKey = tuple[int, int]
"""(epoch, index of the picture): all that a sample's random choices depend on, besides the seed."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One training picture, cropped, scaled and flipped; its colours are drawn but not yet applied.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        boxes: (n, 4) float32, xyxy in pixels of `image`; each has area.
        labels: (n,) int64.
        visible: (4,) int64, x0 y0 x1 y1: the rectangle of `image` that shows the picture; the rest is padding.
        colour: (8,) float32, in the order of `cornernet.data.augment.COLOUR_PARAMETERS`.
        name: The picture's file, for messages.
        image_id: Its id in the annotations.
    """

    image: Tensor
    boxes: Tensor
    labels: Tensor
    visible: Tensor
    colour: Tensor
    name: str
    image_id: int


@dataclass(frozen=True, eq=False)
class Batch:
    """N samples of one size.

    Attributes:
        images: (N, H, W, 3) uint8 RGB.
        boxes: (M, 4) float32, xyxy in pixels of the images, picture by picture.
        labels: (M,) int64.
        image_index: (M,) int64 in 0..N-1, the picture each box belongs to.
        visible: (N, 4) int64, x0 y0 x1 y1: where each image shows its picture; the rest is padding.
        colour: (N, 8) float32, in the order of `cornernet.data.augment.COLOUR_PARAMETERS`.
        names: The pictures' files, for messages.
        image_ids: Their ids in the annotations.
    """

    images: Tensor
    boxes: Tensor
    labels: Tensor
    image_index: Tensor
    visible: Tensor
    colour: Tensor
    names: tuple[str, ...]
    image_ids: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.names)

    def to(self, device: torch.device | str) -> Batch:
        """The batch on a device; from pinned memory, without waiting for it."""
        raise NotImplementedError

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory; `DataLoader` calls this."""
        raise NotImplementedError


class TrainingPictures(Dataset[Sample]):
    """The pictures of a dataset as training samples, by key (epoch, index).

    Crowd boxes are left out. Indices count the pictures that are trained on: without those that have no box, unless
    they are kept.

    Args:
        dataset: The annotations.
        config: How pictures are varied.
        seed: With a key, fixes every random choice.
        border_colour: RGB on the 0..255 scale of what surrounds a picture.
        keep_empty: Whether pictures without boxes are trained on, too.
        max_pixels: Larger pictures are refused.

    Raises:
        DatasetError: When no picture is left to train on; from `[]`, when a picture is not as annotated.
        ImageError: From `[]`, when a picture cannot be read.
    """

    def __init__(
        self,
        dataset: CocoDataset,
        config: AugmentConfig,
        *,
        seed: int,
        border_colour: tuple[float, float, float],
        keep_empty: bool = False,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, key: SampleKey) -> Sample:
        raise NotImplementedError


def collate(samples: Sequence[Sample]) -> Batch:
    """Samples of one size as a batch."""
    raise NotImplementedError


class EpochSampler(Sampler[SampleKey]):
    """Keys of one rank's samples, epoch by epoch, shuffled; batches are consecutive runs of `batch_size` keys.

    An epoch holds as many whole global batches (`batch_size` x `world_size` pictures) as there are; the few pictures
    left over, others each epoch, wait for the next. A global batch holds the same pictures however many ranks share it.

    Args:
        num_pictures: Length of the `TrainingPictures`.
        batch_size: Pictures of a batch on one rank.
        seed: With the epoch, fixes the order.
        rank: Which share of each global batch to take.
        world_size: How many ranks there are.

    Raises:
        ConfigError: When there are fewer pictures than one global batch takes.
    """

    def __init__(self, num_pictures: int, *, batch_size: int, seed: int, rank: int = 0, world_size: int = 1) -> None:
        raise NotImplementedError

    @property
    def batches(self) -> int:
        """Batches of a whole epoch on each rank."""
        raise NotImplementedError

    def __len__(self) -> int:
        """Keys of a whole epoch on this rank, also when the epoch is begun in its middle."""
        raise NotImplementedError

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch of the next iteration, from its first batch unless `start_at` chose it (Lightning calls)."""
        raise NotImplementedError

    def start_at(self, epoch: int, batches_done: int) -> None:
        """Lets the next iteration of `epoch` begin behind `batches_done` batches, as a resumed run must."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[SampleKey]:
        raise NotImplementedError


class TrainingLoader(DataLoader[Batch]):
    """A `DataLoader` of training batches whose workers' errors are one line, as everywhere.

    Args:
        pictures: What to read.
        sampler: In which order; it also knows the batch size.
        workers: Processes that read ahead; 0 reads in this one.
        pin_memory: Whether batches come in page-locked memory, for a GPU.
    """

    def __init__(
        self, pictures: TrainingPictures, sampler: EpochSampler, *, workers: int = 0, pin_memory: bool = False
    ) -> None:
        raise NotImplementedError
