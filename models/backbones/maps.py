"""Feature maps of any backbone behind one face."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from models.backbones.emo2 import Emo2
from models.backbones.ffnet import FFNet
from models.backbones.osa import OsaNet


class FeatureMaps(nn.Module):
    """A backbone without its classifier or head.

    Args:
        net: An EMOv2, FFNet or OsaNet, or a module that returns the chosen maps by itself.
        places: Which of the net's maps; None if the module chooses by itself.
        channels: Channels of the chosen maps, fine to coarse.
        reductions: Their strides in pixels.
    """

    def __init__(
        self, net: nn.Module, places: tuple[int, ...] | None, channels: tuple[int, ...], reductions: tuple[int, ...]
    ) -> None:
        super().__init__()
        if isinstance(net, Emo2):
            net.norm, net.head = nn.Identity(), nn.Identity()  # type: ignore[assignment]
        elif isinstance(net, (FFNet, OsaNet)):
            net.head = nn.Identity()  # type: ignore[assignment]
        self.net, self.places, self.channels, self.reductions = net, places, channels, reductions

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, C, H, W) picture to the chosen maps, fine to coarse."""
        if self.places is None:
            return list(self.net(x))
        maps = cast("list[Tensor]", self.net.features(x))  # type: ignore[operator]
        return [maps[i] for i in self.places]
