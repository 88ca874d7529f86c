"""Training batches: every picture once an epoch, in an order and with changes that (seed, epoch, picture) alone fix."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from cornernet.data.augment import (
    AugmentConfig,
    crop_boxes,
    crop_picture,
    draw_colour,
    draw_crop,
    visible_part,
)
from cornernet.data.coco import CocoDataset, CocoImage, check_size
from cornernet.data.images import MAX_PIXELS, read_image
from cornernet.errors import ConfigError, CornerNetError, DatasetError

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
        """The batch on a device; the CPU does not wait for the copy where memory is pinned."""
        waits = torch.device(device).type == "cpu"  # what arrives there may be read at once
        return self._map(lambda tensor: tensor.to(device, non_blocking=not waits))

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory; `DataLoader` calls this."""
        return self._map(Tensor.pin_memory)

    def _map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        tensors: dict[str, Any] = {name: change(v) for name, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **tensors)


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
        if seed < 0:
            raise ConfigError(f"expected a seed from 0 up, got {seed}")
        own = [~image.crowd for image in dataset.images]
        images = [(image, mask) for image, mask in zip(dataset.images, own, strict=True) if keep_empty or mask.any()]
        if not images:
            raise DatasetError(
                f"{dataset.root}: expected pictures with boxes in split {dataset.split!r}, got {len(dataset)} without: "
                "name another split"
            )
        self.config = config
        self.seed = seed
        self.max_pixels = max_pixels
        red, green, blue = (round(value) for value in border_colour)
        self.border_colour = red, green, blue
        # A few large arrays, not objects for each picture: worker processes share them, or get them quickly.
        self._paths = np.array([str(image.path) for image, _ in images])
        self._sizes = np.array([(image.height, image.width) for image, _ in images])
        self._ids = tuple(image.id for image, _ in images)
        self._bounds = np.cumsum([0, *(int(mask.sum()) for _, mask in images)])
        self._boxes = np.concatenate([image.boxes[mask] for image, mask in images])
        self._labels = np.concatenate([image.labels[mask] for image, mask in images])

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, key: SampleKey) -> Sample:
        epoch, index = key
        path = str(self._paths[index])
        picture = read_image(Path(path), max_pixels=self.max_pixels)
        picture_size, size = picture.shape[:2], self.config.size
        if picture_size != tuple(self._sizes[index].tolist()):
            check_size(self.annotated(index), picture)
        rng = _generator(self.seed, epoch, index + 1)
        own = slice(self._bounds[index], self._bounds[index + 1])
        crop = draw_crop(rng, picture_size, self._boxes[own], self.config)
        boxes, kept = crop_boxes(self._boxes[own], crop, size)
        return Sample(
            image=torch.from_numpy(crop_picture(picture, crop, size, self.border_colour)),
            boxes=torch.from_numpy(boxes),
            labels=torch.from_numpy(self._labels[own][kept]),
            visible=torch.tensor(visible_part(crop, picture_size, size)),
            colour=torch.from_numpy(draw_colour(rng, self.config)),
            name=path,
            image_id=self._ids[index],
        )

    def annotated(self, index: int) -> CocoImage:
        """The annotations of one picture as they are trained on, without crowd boxes."""
        own = slice(self._bounds[index], self._bounds[index + 1])
        boxes = self._boxes[own]
        xywh = np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]).astype(np.float64)
        height, width = self._sizes[index].tolist()
        return CocoImage(
            id=self._ids[index],
            file_name=Path(self._paths[index]).name,
            path=Path(self._paths[index]),
            height=height,
            width=width,
            boxes=boxes,
            labels=self._labels[own],
            crowd=np.zeros(len(boxes), np.bool_),
            xywh=xywh,
            areas=xywh[:, 2] * xywh[:, 3],
        )


def _generator(seed: int, epoch: int, purpose: int) -> np.random.Generator:
    """Independent choices for each purpose of each epoch: 0 is the order of the pictures, i + 1 picture i."""
    return np.random.default_rng((seed, epoch, purpose))


def collate(samples: Sequence[Sample]) -> Batch:
    """Samples of one size as a batch."""
    counts = torch.tensor([len(sample.boxes) for sample in samples])
    return Batch(
        images=torch.stack([sample.image for sample in samples]),
        boxes=torch.cat([sample.boxes for sample in samples]),
        labels=torch.cat([sample.labels for sample in samples]),
        image_index=torch.arange(len(samples)).repeat_interleave(counts),
        visible=torch.stack([sample.visible for sample in samples]),
        colour=torch.stack([sample.colour for sample in samples]),
        names=tuple(sample.name for sample in samples),
        image_ids=tuple(sample.image_id for sample in samples),
    )


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
        if min(num_pictures, batch_size, world_size) < 1 or not 0 <= rank < world_size or seed < 0:
            raise ConfigError(
                f"expected pictures, batch size and world size from 1 up, a rank below it and a seed from 0 up, got "
                f"{num_pictures}, {batch_size}, {world_size}, rank {rank} and seed {seed}"
            )
        self.batches = num_pictures // (batch_size * world_size)
        if self.batches == 0:
            raise ConfigError(
                f"expected at least the {batch_size * world_size} pictures of one step ({batch_size} on each of "
                f"{world_size} devices), got {num_pictures}: make the batch smaller, or train on fewer devices"
            )
        self.num_pictures = num_pictures
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self.batches_done = 0

    def __len__(self) -> int:
        """Keys of a whole epoch on this rank, also where the next iteration begins in its middle."""
        return self.batches * self.batch_size

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch of the next iteration: from its first batch, unless `start_at` said otherwise of it."""
        if epoch != self.epoch:
            self.start_at(epoch, 0)

    def start_at(self, epoch: int, batches_done: int) -> None:
        """Lets iterations of `epoch` begin behind its first `batches_done` batches, where a resumed run goes on.

        Raises:
            ConfigError: When the epoch has fewer batches.
        """
        if epoch < 0 or not 0 <= batches_done <= self.batches:
            raise ConfigError(
                f"expected to go on in an epoch from 0 up, behind 0..{self.batches} batches, got epoch {epoch} behind "
                f"{batches_done}: the run was begun with other pictures or another batch size"
            )
        self.epoch = epoch
        self.batches_done = batches_done

    def __iter__(self) -> Iterator[SampleKey]:
        epoch = self.epoch
        order = _generator(self.seed, epoch, 0).permutation(self.num_pictures)
        shape = (self.batches, self.world_size, self.batch_size)
        own = order[: math.prod(shape)].reshape(shape)[self.batches_done :, self.rank]
        return ((epoch, index) for index in own.ravel().tolist())


class TrainingLoader(DataLoader[Sample]):
    """A `DataLoader` of training batches whose workers' errors are one line, as all of ours.

    Args:
        pictures: What to read.
        sampler: In which order, and how many at once.
        workers: Processes that read ahead; 0 reads in this one.
        pin_memory: Whether batches come in page-locked memory, for a GPU.
    """

    def __init__(
        self, pictures: TrainingPictures, sampler: EpochSampler, *, workers: int = 0, pin_memory: bool = False
    ) -> None:
        super().__init__(
            pictures,
            batch_size=sampler.batch_size,
            sampler=sampler,
            num_workers=workers,
            collate_fn=collate,
            pin_memory=pin_memory,
            worker_init_fn=_start_worker,
            persistent_workers=workers > 0,
        )

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        # A forked worker inherits OpenCV's threads as they sleep, and would wait for them for ever: fork without any.
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            batches = super().__iter__()
        finally:
            cv2.setNumThreads(threads)
        return _with_short_errors(batches)


def _start_worker(_: int) -> None:
    """A worker has one core to itself: OpenCV's threads would only fight the other workers'."""
    cv2.setNumThreads(1)


def _with_short_errors(batches: Iterator[Batch]) -> Iterator[Batch]:
    """PyTorch raises a worker's error again with a whole traceback as its message; its last line is our message."""
    try:
        yield from batches
    except CornerNetError as error:
        *traceback, last = str(error).rstrip().splitlines()
        if not traceback:
            raise
        raise type(error)(last.partition(": ")[2]) from None
