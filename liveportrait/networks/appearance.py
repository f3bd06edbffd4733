"""F, the appearance feature extractor: source image -> feature volume (paper section 3.1)."""

from __future__ import annotations

from typing import Final, cast

from torch import Tensor, nn

from liveportrait.networks.blocks import DownBlock2d, ResBlock3d, SameBlock2d

CHANNELS: Final = 32
DEPTH: Final = 16


class AppearanceFeatureExtractor(nn.Module):
    """Encodes the appearance of a source, once per source."""

    def __init__(self) -> None:
        super().__init__()
        self.first = SameBlock2d(3, 64)
        self.down_blocks = nn.ModuleList((DownBlock2d(64, 128), DownBlock2d(128, 256)))
        self.second = nn.Conv2d(256, CHANNELS * DEPTH, 1)
        self.resblocks_3d = nn.Sequential()
        for index in range(6):
            self.resblocks_3d.add_module(f"3dr{index}", ResBlock3d(CHANNELS))

    def forward(self, source_image: Tensor) -> Tensor:
        """Extract the feature volume.

        Args:
            source_image: (B, 3, 256, 256) RGB, 0..1.

        Returns:
            f_s (B, 32, 16, 64, 64): channel, depth, height, width.
        """
        x = self.first(source_image)
        for block in self.down_blocks:
            x = block(x)
        x = self.second(x)
        batch, _, height, width = x.shape
        return cast(Tensor, self.resblocks_3d(x.reshape(batch, CHANNELS, DEPTH, height, width)))
