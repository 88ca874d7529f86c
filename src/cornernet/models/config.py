"""What fixes a CornerNet's architecture: one frozen dataclass, and the named variants."""

from __future__ import annotations

from dataclasses import dataclass

from cornernet.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class CornerNetConfig:
    """The shape of a CornerNet with a stacked hourglass backbone. The defaults are Hourglass-104's.

    Attributes:
        num_classes: Heatmap channels of each corner.
        stacks: Hourglasses one after the other.
        channels: Width at each level of an hourglass, outermost first; its length less one is the depth.
        blocks: Residual blocks at each level; as long as `channels`.
        stem_channels: Width after the stem's 7x7 convolution.
        feature_channels: Width of the convolution behind each hourglass.
        pool_channels: Width inside the corner pooling module.
        head_channels: Hidden width of the heat, embedding and offset branches.
        embedding_channels: Length of a corner's embedding.

    Raises:
        ConfigError: On a value no network can be built from.
    """

    num_classes: int = 80
    stacks: int = 2
    channels: tuple[int, ...] = (256, 256, 384, 384, 384, 512)
    blocks: tuple[int, ...] = (2, 2, 2, 2, 2, 4)
    stem_channels: int = 128
    feature_channels: int = 256
    pool_channels: int = 128
    head_channels: int = 256
    embedding_channels: int = 1

    def __post_init__(self) -> None:
        for name in ("channels", "blocks"):  # a list, as JSON and YAML give it, is as good
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.channels) != len(self.blocks) or len(self.channels) < 2:
            raise ConfigError(
                f"expected as many blocks as channels, two or more, got channels={self.channels}, blocks={self.blocks}"
            )
        for name, value in vars(self).items():
            if any(not isinstance(v, int) or v < 1 for v in (value if isinstance(value, tuple) else (value,))):
                raise ConfigError(f"expected {name} to be made of whole numbers from 1 up, got {value!r}")

    @property
    def stride(self) -> int:
        """Pixels of the network's input per cell of its maps."""
        return 4


VARIANTS: dict[str, CornerNetConfig] = {
    "cornernet-hourglass104": CornerNetConfig(),
    "cornernet-hourglass52": CornerNetConfig(stacks=1),
}
"""The named architectures; `build_model` and the zoo refer to them."""
