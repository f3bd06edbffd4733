"""Common interface to the feature maps of any backbone."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn


class FeatureMaps(nn.Module):
    """A backbone without its classifier or head.

    Args:
        net: The backbone.
        places: Indices of the chosen maps among all; None if it returns only the chosen ones.
        channels: Channels of the chosen maps, fine to coarse.
        reductions: Their strides in pixels.
    """

    def __init__(
        self, net: nn.Module, places: tuple[int, ...] | None, channels: tuple[int, ...], reductions: tuple[int, ...]
    ) -> None:
        super().__init__()
        if places is not None:
            net.drop_head()  # type: ignore[operator]
        self.net, self.places, self.channels, self.reductions = net, places, channels, reductions

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, C, H, W) image to the chosen maps, fine to coarse."""
        if self.places is None:
            return list(self.net(x))
        maps = cast("list[Tensor]", self.net.features(x))  # type: ignore[operator]
        return [maps[i] for i in self.places]
