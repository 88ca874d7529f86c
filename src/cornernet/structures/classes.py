"""Class names and the category ids they had in the annotations: labels 0..C-1 to the user's own ids and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cornernet.errors import ConfigError


@dataclass(frozen=True)
class Classes:
    """The classes of a model or a dataset, in label order.

    Attributes:
        names: Class name of each label 0..C-1.
        ids: Original category id of each label (COCO's ids have gaps: 80 classes, ids 1 to 90).

    Raises:
        ConfigError: When the two lengths differ, or an id stands twice.
    """

    names: tuple[str, ...]
    ids: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.names) != len(self.ids):
            raise ConfigError(
                f"expected one category id per class name, got {len(self.ids)} ids for {len(self.names)} names"
            )
        if len(set(self.ids)) != len(self.ids):
            twice = sorted({i for i in self.ids if self.ids.count(i) > 1})
            raise ConfigError(
                f"expected category ids to be unique, got {twice[0]} more than once: give each class its own id"
            )

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def numbered(cls, names: Sequence[str]) -> Classes:
        """Classes whose category ids are unknown: 1..C, as annotation tools number them."""
        return cls(tuple(names), tuple(range(1, len(names) + 1)))

    @classmethod
    def unnamed(cls, count: int) -> Classes:
        """Classes of which only the count is known; COCO's own where there are 80."""
        return COCO if count == len(COCO) else cls.numbered([f"class_{i}" for i in range(count)])

    def label_of(self) -> dict[int, int]:
        """Category id -> label."""
        return {category_id: label for label, category_id in enumerate(self.ids)}


# fmt: off
COCO = Classes(
    names=(
        "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
        "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow",
        "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee",
        "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard",
        "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple",
        "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch",
        "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone",
        "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear",
        "hair drier", "toothbrush",
    ),
    ids=(
        1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 27, 28, 31, 32, 33, 34,
        35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63,
        64, 65, 67, 70, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 84, 85, 86, 87, 88, 89, 90,
    ),
)
# fmt: on
