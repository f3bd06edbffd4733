"""G, the SPADE generator: warped feature -> image (paper section 3.1)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.spectral_norm import remove_spectral_norm, spectral_norm

SLOPE = 0.2


class SPADE(nn.Module):
    """Instance norm whose scale and shift are computed from a conditioning map."""

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.mlp_shared = nn.Sequential(nn.Conv2d(condition, 128, 3, padding=1), nn.ReLU())
        self.mlp_gamma = nn.Conv2d(128, channels, 3, padding=1)
        self.mlp_beta = nn.Conv2d(128, channels, 3, padding=1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(B, channels, H, W) and (B, condition, h, w) -> (B, channels, H, W)."""
        shared = self.mlp_shared(functional.interpolate(condition, size=x.shape[-2:], mode="nearest"))
        return functional.instance_norm(x) * (1 + self.mlp_gamma(shared)) + cast(Tensor, self.mlp_beta(shared))


class SPADEResnetBlock(nn.Module):
    """Residual block of two convolutions, each after SPADE and leaky ReLU.

    The convolutions are spectrally normalised by torch's hook, whose stored vectors are part of the checkpoint; in
    evaluation mode the hook divides by u . (W v) and runs no power iteration.
    """

    def __init__(self, inputs: int, outputs: int, condition: int) -> None:
        super().__init__()
        middle = min(inputs, outputs)
        self.learned_shortcut = inputs != outputs
        self.conv_0 = spectral_norm(nn.Conv2d(inputs, middle, 3, padding=1))
        self.conv_1 = spectral_norm(nn.Conv2d(middle, outputs, 3, padding=1))
        if self.learned_shortcut:
            self.conv_s = spectral_norm(nn.Conv2d(inputs, outputs, 1, bias=False))
        self.norm_0 = SPADE(inputs, condition)
        self.norm_1 = SPADE(middle, condition)
        if self.learned_shortcut:
            self.norm_s = SPADE(inputs, condition)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(B, inputs, H, W) and (B, condition, h, w) -> (B, outputs, H, W)."""
        y = self.conv_0(functional.leaky_relu(self.norm_0(x, condition), SLOPE))
        y = self.conv_1(functional.leaky_relu(self.norm_1(y, condition), SLOPE))
        shortcut = self.conv_s(self.norm_s(x, condition)) if self.learned_shortcut else x
        return cast(Tensor, shortcut + y)


class SPADEGenerator(nn.Module):
    """Draws the image; the warped feature is both its input and its conditioning map."""

    MIDDLE_BLOCKS = 6

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Conv2d(256, 512, 3, padding=1)
        for index in range(self.MIDDLE_BLOCKS):
            self.add_module(f"G_middle_{index}", SPADEResnetBlock(512, 512, 256))
        self.up_0 = SPADEResnetBlock(512, 256, 256)
        self.up_1 = SPADEResnetBlock(256, 64, 256)
        self.conv_img = nn.Sequential(nn.Conv2d(64, 12, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, feature: Tensor) -> Tensor:
        """Draw.

        Args:
            feature: (B, 256, 64, 64), the warping module's out.

        Returns:
            (B, 3, 512, 512) RGB, 0..1.
        """
        x = self.fc(feature)
        for index in range(self.MIDDLE_BLOCKS):
            x = self.get_submodule(f"G_middle_{index}")(x, feature)
        x = self.up_0(functional.interpolate(x, scale_factor=2.0, mode="nearest"), feature)
        x = self.up_1(functional.interpolate(x, scale_factor=2.0, mode="nearest"), feature)
        return torch.sigmoid(self.conv_img(functional.leaky_relu(x, SLOPE)))


def fold_spectral_norm(generator: nn.Module) -> None:
    """Replace every spectrally normalised weight by its value, in place.

    Saves the division per frame and leaves plain convolutions for compilers and exporters. The module must be in
    evaluation mode with its weights loaded; afterwards its state dict has ``weight`` instead of ``weight_orig``,
    ``weight_u`` and ``weight_v``. The norms are summed in float64, so that the same file always gives bit-identical
    weights: derived files are identified by their content.
    """
    for module in generator.modules():
        original = module._parameters.get("weight_orig")
        if original is not None:
            rows = original.detach().double().flatten(1)
            u, v = (cast(Tensor, getattr(module, name)).double() for name in ("weight_u", "weight_v"))
            norm = torch.dot(u, torch.mv(rows, v)).to(original.dtype)
            remove_spectral_norm(module)
            module.weight = nn.Parameter(original.detach() / norm, original.requires_grad)
