"""CornerNet: a stem, hourglasses one after the other, and a corner head on each (the paper's figure 4)."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.functional import relu

from cornernet.errors import ConfigError
from cornernet.models.config import CornerNetConfig
from cornernet.models.head import CornerHead
from cornernet.models.hourglass import Hourglass, Stem
from cornernet.models.layers import ConvNorm, Residual
from cornernet.structures.maps import CornerMaps


class CornerNet(nn.Module):
    """The whole network, built from a `CornerNetConfig`.

    Called, it gives the last stack's `CornerMaps`, which is all that detection needs; `all_stacks` gives every stack's,
    which training supervises. The input is (N, 3, H, W), normalised as the weights' `Preprocessing` says; the maps
    are (N, ., ceil(H / 4), ceil(W / 4)). Heatmaps are logits.
    """

    def __init__(self, config: CornerNetConfig) -> None:
        super().__init__()
        self.config = config
        width, features, stacks = config.channels[0], config.feature_channels, config.stacks
        self.stem = Stem(config.stem_channels, width)
        self.hourglasses = nn.ModuleList(Hourglass(config.channels, config.blocks) for _ in range(stacks))
        self.outs = nn.ModuleList(ConvNorm(width, features, 3) for _ in range(stacks))
        between = range(stacks - 1)
        self.merge_stems = nn.ModuleList(ConvNorm(width, width, 1, activation=False) for _ in between)
        self.merge_outs = nn.ModuleList(ConvNorm(features, width, 1, activation=False) for _ in between)
        self.inters = nn.ModuleList(Residual(width, width) for _ in between)
        self.heads = nn.ModuleList(CornerHead(config) for _ in range(stacks))

    def forward(self, images: Tensor) -> CornerMaps:
        """The last stack's maps; the other stacks' heads are not run."""
        *_, features = self.features(images)
        maps: CornerMaps = self.heads[-1](features)
        return maps

    def all_stacks(self, images: Tensor) -> tuple[CornerMaps, ...]:
        """Every stack's maps, first to last, for intermediate supervision.

        Raises:
            ConfigError: After `drop_auxiliary_heads`.
        """
        if len(self.heads) != len(self.hourglasses):
            raise ConfigError("expected a head on every stack, got a network prepared for inference: build a new one")
        return tuple(head(x) for head, x in zip(self.heads, self.features(images), strict=True))

    def features(self, images: Tensor) -> Iterator[Tensor]:
        """Each stack's (N, feature_channels, ceil(H / 4), ceil(W / 4)) features, first to last."""
        x = self.stem(images)
        for stack, (hourglass, out) in enumerate(zip(self.hourglasses, self.outs, strict=True)):
            feature = out(hourglass(x))
            yield feature
            if stack < len(self.inters):
                merged = self.merge_stems[stack](x) + self.merge_outs[stack](feature)
                x = self.inters[stack](relu(merged, inplace=True))

    def drop_auxiliary_heads(self) -> None:
        """Frees the heads that only training needs: all but the last."""
        del self.heads[:-1]
