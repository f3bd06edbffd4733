"""W, the warping module: dense motion from two sets of keypoints, then the warped feature (paper section 3.1).

The sampling grid has its end points at -1 and 1 while ``grid_sample`` runs with ``align_corners=False``. The weights
were trained with that mismatch, so it is kept. Sampling positions keep their own precision under autocast.
"""

from __future__ import annotations

import itertools
from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from liveportrait.networks.appearance import CHANNELS, DEPTH
from liveportrait.networks.blocks import DownBlock3d, SameBlock2d, UpBlock3d, coordinate_grid

KEYPOINTS: Final = 21
MOTIONS: Final = KEYPOINTS + 1
COMPRESSED: Final = 4
VARIANCE: Final = 0.01
ENCODER: Final = (64, 128, 256, 512, 1024)
DECODER: Final = (512, 256, 128, 64, 32)


class Encoder(nn.Module):
    """Contracting half of the hourglass."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        widths = (inputs, *ENCODER)
        self.down_blocks = nn.ModuleList(DownBlock3d(a, b) for a, b in itertools.pairwise(widths))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Input and output of every block, largest first."""
        levels = [x]
        for block in self.down_blocks:
            levels.append(block(levels[-1]))
        return levels


class Decoder(nn.Module):
    """Expanding half of the hourglass; each block's output is followed by the encoder's map of that size."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        skips = (*ENCODER[-2::-1], inputs)
        blocks = []
        width = ENCODER[-1]
        for output, skip in zip(DECODER, skips, strict=True):
            blocks.append(UpBlock3d(width, output))
            width = output + skip
        self.up_blocks = nn.ModuleList(blocks)
        self.out_filters = width
        self.conv = nn.Conv3d(width, width, 3, padding=1)
        self.norm = nn.BatchNorm3d(width)

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Encoder maps, largest first -> (B, out_filters, D, H, W)."""
        *skips, x = levels
        for block, skip in zip(self.up_blocks, reversed(skips), strict=True):
            x = torch.cat((block(x), skip), dim=1)
        return functional.relu(self.norm(self.conv(x)))


class Hourglass(nn.Module):
    """3-D hourglass that pools height and width and keeps depth."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.encoder = Encoder(inputs)
        self.decoder = Decoder(inputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, D, H, W) -> (B, decoder.out_filters, D, H, W)."""
        return cast(Tensor, self.decoder(self.encoder(x)))


def heatmaps(grid: Tensor, keypoints: Tensor) -> Tensor:
    """Gaussian around every keypoint.

    Args:
        grid: (D, H, W, 3) voxel positions.
        keypoints: (B, K, 3).

    Returns:
        (B, K, D, H, W) in 0..1.
    """
    offset = grid - keypoints[:, :, None, None, None]
    return torch.exp(-0.5 * offset.square().sum(-1) / VARIANCE)


class DenseMotionNetwork(nn.Module):
    """Blends one translation per keypoint and the identity into a dense sampling grid, and finds the occlusions."""

    def __init__(self) -> None:
        super().__init__()
        self.hourglass = Hourglass(MOTIONS * (COMPRESSED + 1))
        width = self.hourglass.decoder.out_filters
        self.mask = nn.Conv3d(width, MOTIONS, 7, padding=3)
        self.compress = nn.Conv3d(CHANNELS, COMPRESSED, 1)
        self.norm = nn.BatchNorm3d(COMPRESSED)
        self.occlusion = nn.Conv2d(width * DEPTH, 1, 7, padding=3)

    def forward(self, feature: Tensor, kp_driving: Tensor, kp_source: Tensor) -> dict[str, Tensor]:
        """Find the source position of every output voxel.

        Args:
            feature: (B, 32, 16, H, W) feature volume.
            kp_driving: (B, 21, 3) driving keypoints.
            kp_source: (B, 21, 3) source keypoints.

        Returns:
            mask (B, 22, 16, H, W), deformation (B, 16, H, W, 3), occlusion_map (B, 1, H, W).
        """
        batch, _, depth, height, width = feature.shape
        compressed = functional.relu(self.norm(self.compress(feature)))
        grid = coordinate_grid(depth, height, width, kp_source)
        motions = self.sparse_motions(grid, kp_driving, kp_source)
        moved = functional.grid_sample(
            compressed.repeat_interleave(MOTIONS, dim=0).to(motions.dtype), motions.flatten(0, 1),
            mode="bilinear", padding_mode="zeros", align_corners=False,
        ).reshape(batch, MOTIONS, COMPRESSED, depth, height, width)  # fmt: skip
        heat = heatmaps(grid, kp_driving) - heatmaps(grid, kp_source)
        heat = functional.pad(heat, (0, 0, 0, 0, 0, 0, 1, 0))[:, :, None]
        prediction = self.hourglass(torch.cat((heat, moved), dim=2).flatten(1, 2))

        mask = torch.softmax(self.mask(prediction), dim=1)
        deformation = (mask[..., None] * motions).sum(1)
        occlusion = torch.sigmoid(self.occlusion(prediction.reshape(batch, -1, height, width)))
        return {"mask": mask, "deformation": deformation, "occlusion_map": occlusion}

    @staticmethod
    def sparse_motions(grid: Tensor, kp_driving: Tensor, kp_source: Tensor) -> Tensor:
        """(B, 22, D, H, W, 3): the identity, then the translation from each driving to its source keypoint."""
        shifted = grid - kp_driving[:, :, None, None, None] + kp_source[:, :, None, None, None]
        identity = grid.expand(len(kp_source), 1, *grid.shape)
        return torch.cat((identity, shifted), dim=1)


class WarpingNetwork(nn.Module):
    """Warps the feature volume and flattens it for the generator."""

    def __init__(self) -> None:
        super().__init__()
        self.dense_motion_network = DenseMotionNetwork()
        self.third = SameBlock2d(CHANNELS * DEPTH, 256, slope=0.01)
        self.fourth = nn.Conv2d(256, 256, 1)

    def forward(self, feature_3d: Tensor, kp_driving: Tensor, kp_source: Tensor) -> dict[str, Tensor]:
        """Warp a source to driving keypoints.

        Args:
            feature_3d: f_s (B, 32, 16, 64, 64).
            kp_driving: x_d (B, 21, 3) in crop units.
            kp_source: x_s (B, 21, 3) in crop units.

        Returns:
            occlusion_map (B, 1, 64, 64) 0..1, deformation (B, 16, 64, 64, 3), out (B, 256, 64, 64).
        """
        motion = self.dense_motion_network(feature=feature_3d, kp_driving=kp_driving, kp_source=kp_source)
        deformation, occlusion = motion["deformation"], motion["occlusion_map"]
        warped = functional.grid_sample(
            feature_3d.to(deformation.dtype), deformation, mode="bilinear", padding_mode="zeros", align_corners=False
        )
        out = self.fourth(self.third(warped.flatten(1, 2))) * occlusion
        return {"occlusion_map": occlusion, "deformation": deformation, "out": out}
