"""What training makes of a picture and its boxes: the recipe's random crop, scale and flip, and the colours to draw.

The steps and their distributions are those of MMDetection 3.3.0's CornerNet recipes. Every random choice comes from the
generator that is passed in, and every choice that is made is drawn here: pixels and boxes only follow.
"""

from __future__ import annotations

from dataclasses import dataclass

from cornernet.errors import ConfigError

COLOUR_PARAMETERS = ("brightness", "contrast_first", "saturation", "hue", "contrast_last", "red", "green", "blue")
"""What each number of a sample's colour vector is; `cornernet.data.photometric` says what it does."""


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """How training pictures are varied. The defaults are the published recipes'.

    Attributes:
        size: (height, width) in pixels of what comes out.
        ratios: The crop is `size` times one of these, drawn evenly, rounded down; it is then resized to `size`.
        border: The crop's centre keeps this distance in pixels to the picture's edges, halved until there is room.
        flip: Probability that the picture is mirrored left to right.
        colour: Probability of each of brightness, contrast, saturation and hue; 0 leaves colours alone.
        brightness: Added to each channel: -brightness..brightness, on the 0..255 scale.
        contrast: Range of the factor of each channel; drawn evenly, it comes before saturation and hue or after.
        saturation: Range of the saturation's factor.
        hue: Turns the hue by -hue..hue degrees.
        swap: Probability that the colour channels are put in an order drawn from all six.

    Raises:
        ConfigError: On a value that nothing can be drawn from.
    """

    size: tuple[int, int] = (511, 511)
    ratios: tuple[float, ...] = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3)
    border: int = 128
    flip: float = 0.5
    colour: float = 0.5
    brightness: float = 32.0
    contrast: tuple[float, float] = (0.5, 1.5)
    saturation: tuple[float, float] = (0.5, 1.5)
    hue: float = 18.0
    swap: float = 0.5

    def __post_init__(self) -> None:
        for name in ("size", "ratios", "contrast", "saturation"):  # a list, as YAML gives it, is as good
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.size) != 2 or any(not isinstance(side, int) or side < 1 for side in self.size):
            raise ConfigError(f"expected size as two whole numbers from 1 up, height and width, got {self.size}")
        if not self.ratios or any(not 0 < ratio <= 16 or int(min(self.size) * ratio) < 2 for ratio in self.ratios):
            raise ConfigError(f"expected ratios from crops of 2 pixels up to 16 times the size, got {self.ratios}")
        if not isinstance(self.border, int) or self.border < 0:
            raise ConfigError(f"expected border as a whole number of pixels from 0 up, got {self.border!r}")
        for name, largest in (("flip", 1), ("colour", 1), ("swap", 1), ("brightness", 255), ("hue", 180)):
            if not 0 <= getattr(self, name) <= largest:
                raise ConfigError(f"expected {name} in 0..{largest}, got {getattr(self, name)!r}")
        for name in ("contrast", "saturation"):
            span = getattr(self, name)
            if len(span) != 2 or not 0 <= span[0] <= span[1] <= 16:
                raise ConfigError(f"expected {name} as two factors, low and high, in 0..16, got {span}")
