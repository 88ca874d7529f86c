"""The boxes found in one picture, as parallel arrays on the host."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cornernet.errors import ConfigError, MissingExtraError
from cornernet.structures.classes import Classes

if TYPE_CHECKING:
    import supervision

Index = int | slice | NDArray[np.bool_] | NDArray[np.integer[Any]] | list[int] | list[bool]


@dataclass(frozen=True, eq=False)
class Detections:
    """What was found in one picture, best first.

    Slicing and indexing (`detections[:10]`, `detections[detections.scores > 0.5]`) give `Detections` again.

    Attributes:
        boxes: (n, 4) float32, xyxy in pixels of the original picture. As in the reference, a box is not clipped to the
            picture's right and bottom edges; `clip()` does it.
        scores: (n,) float32 in 0..1, descending.
        labels: (n,) int64 in 0..C-1, into `classes`.
        classes: Names and original category ids of the model's classes.
        image_size: (height, width) of the original picture in pixels, after its EXIF rotation.
        source: Path, URL or name of the picture, where there is one.

    Raises:
        ConfigError: When the arrays' shapes do not fit each other.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    classes: Classes
    image_size: tuple[int, int]
    source: str | None = field(default=None)

    def __post_init__(self) -> None:
        for name, dtype in (("boxes", np.float32), ("scores", np.float32), ("labels", np.int64)):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=dtype))
        n = len(self.boxes)
        for name, shape in (("boxes", (n, 4)), ("scores", (n,)), ("labels", (n,))):
            if (came := getattr(self, name).shape) != shape:
                raise ConfigError(f"expected {name} of shape {shape}, got {came}")
        if n and not (0 <= self.labels.min() and self.labels.max() < len(self.classes)):
            raise ConfigError(
                f"expected labels in 0..{len(self.classes) - 1}, got {self.labels.min()}..{self.labels.max()}"
            )

    @property
    def names(self) -> list[str]:
        """The class name of each detection."""
        return [self.classes.names[label] for label in self.labels]

    @property
    def category_ids(self) -> list[int]:
        """The original category id of each detection."""
        return [self.classes.ids[label] for label in self.labels]

    def __len__(self) -> int:
        return len(self.boxes)

    def __iter__(self) -> Iterator[Detections]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Index) -> Detections:
        rows: Any = [index] if isinstance(index, int | np.integer) else index
        if isinstance(rows, list) and not rows:
            rows = slice(0, 0)
        return replace(self, boxes=self.boxes[rows], scores=self.scores[rows], labels=self.labels[rows])

    def clip(self) -> Detections:
        """The same detections with boxes cut off at the picture's edges."""
        height, width = self.image_size
        limit = np.array([width, height, width, height], np.float32)
        return replace(self, boxes=np.clip(self.boxes, 0, limit))

    def to_coco(self, image_id: int | str = 0) -> list[dict[str, Any]]:
        """COCO result entries: bbox xywh in pixels, `category_id` as in the annotations the model was trained on."""
        xywh = np.concatenate([self.boxes[:, :2], self.boxes[:, 2:] - self.boxes[:, :2]], axis=1)
        rows = zip(xywh.tolist(), self.scores.tolist(), self.category_ids, strict=True)
        return [{"image_id": image_id, "category_id": c, "bbox": box, "score": s} for box, s, c in rows]

    def to_supervision(self) -> supervision.Detections:
        """The same as `supervision.Detections`, class names under `data["class_name"]`.

        Raises:
            MissingExtraError: Without the package `supervision` (extra `supervision`).
        """
        try:
            import supervision
        except ImportError as error:
            raise MissingExtraError("supervision", "supervision", "Detections.to_supervision()") from error
        return supervision.Detections(
            xyxy=self.boxes.copy(),
            confidence=self.scores.copy(),
            class_id=self.labels.copy(),
            data={"class_name": np.array(self.names, dtype=str)},
        )

    def draw(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A copy of `image` ((height, width, 3) uint8 RGB, the original picture) with boxes, names and scores on it."""
        from cornernet.structures.draw import draw_boxes

        return draw_boxes(image, self)
