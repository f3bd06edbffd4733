"""W rewritten: the warping module with the depth as batch and separable keypoint motions."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from liveportrait.networks.appearance import DEPTH
from liveportrait.networks.blocks import coordinate_grid
from liveportrait.networks.fast.depth import FourierConv, ToomConv
from liveportrait.networks.fast.layers import (
    Conv,
    UpConv,
    depth_window,
    end_type,
    gather_sample,
    hat_matrices,
    shifted_sum,
)
from liveportrait.networks.fast.rewrites import (
    Rewrites,
    batch_norm_line,
    depth_to_inputs,
    depth_to_outputs,
    fold_batch_norm,
)
from liveportrait.networks.warping import (
    MOTIONS,
    VARIANCE,
    DenseMotionNetwork,
    WarpingNetwork,
    heatmaps,
)

LEAK = 0.01
TILE = 2
"""Depth slices per tile of ToomConv: 4 would save more, but needs more precision than bfloat16 has."""
WIDE_BLOCKS = 2
"""Down blocks whose maps are large compared to their weights."""


class WarpSource(NamedTuple):
    """W's data of a source, computed once.

    Attributes:
        volume: f_s (S, 32, D, H, W), S is 1 or the number of frames.
        keypoints: x_s (S, 21, 3) float32.
        compressed: (S, 4, D, H, W) float32, input of the keypoint motions.
        background: (S, 1, 5, D, H, W) float32, the first five channels: no heat, and the unmoved features.
        heat: One factor per axis (z, y, x) of the source's heat maps, each (S, 21, size) float32.
    """

    volume: Tensor
    keypoints: Tensor
    compressed: Tensor
    background: Tensor
    heat: tuple[Tensor, Tensor, Tensor]


class DepthConv(nn.Module):
    """Convolution 3x3x3 with its batch norm and ReLU.

    Args:
        conv: The plain convolution.
        norm: The batch norm after it.
        rewrites: Rewrites.
        upsample: Whether a nearest upsampling by 2 comes before it.
        wide: Whether its map is large compared to its weights, so that fewer products along the depth are faster.
    """

    def __init__(
        self, conv: nn.Module, norm: nn.Module, rewrites: Rewrites, *, upsample: bool = False, wide: bool = False
    ) -> None:
        super().__init__()
        self.line: nn.ParameterList | None = None  # the norm's gain and shift, where they are not folded
        if rewrites.folded_norms:
            weight, bias = fold_batch_norm(conv, norm)
        else:
            inner = conv.state_dict()
            weight, bias = inner["weight"].clone(), inner["bias"].clone()
            self.line = nn.ParameterList(nn.Parameter(part.float(), False) for part in batch_norm_line(norm))
        self.flat, self.upsample = rewrites.depth_as_batch, upsample
        self.conv: nn.Module
        if not self.flat:
            self.conv = nn.Conv3d(weight.shape[1], weight.shape[0], 3, padding=1)
            self.conv.weight, self.conv.bias = nn.Parameter(weight, False), nn.Parameter(bias, False)
        elif upsample:
            self.conv = UpConv(
                depth_to_inputs(weight), bias, 2, before=rewrites.low_resolution_up, relu=rewrites.folded_norms
            )
        else:
            self.conv = Conv(depth_to_inputs(weight), bias, 1)
        self.toom: ToomConv | None = None
        if wide and self.flat and not upsample and rewrites.depth_products and rewrites.folded_norms:
            self.toom = ToomConv(weight, bias, DEPTH, TILE)

    def forward(self, x: Tensor, batch: int) -> Tensor:
        """(D*B, I, H, W) depth-major -> (D*B, O, H or 2H, W or 2W)."""
        if self.toom is not None and fewer_products(x, batch):
            return functional.relu_(self.toom(x))
        if self.flat:
            y = self._normed(self.conv(depth_window(x, batch)))
            return y if self.upsample and self.line is None else functional.relu_(y)
        if self.upsample:
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
        volume = x.unflatten(0, (-1, batch)).permute(1, 2, 0, 3, 4)
        y = self._normed(self.conv(volume.contiguous()))
        return functional.relu_(y).permute(2, 0, 1, 3, 4).flatten(0, 1)

    def _normed(self, y: Tensor) -> Tensor:
        """(N, O, ...) after the batch norm, unless it is folded into the weights."""
        if self.line is None:
            return y
        gain, shift = (part.reshape(-1, *([1] * (y.dim() - 2))) for part in self.line)
        return y * gain + shift


class FastWarping(nn.Module):
    """The warping module, rewritten.

    Args:
        plain: The plain module with its weights; they are copied.
        rewrites: Which rewrites are on.
        dtype: Type of the convolutions.
    """

    def __init__(
        self, plain: WarpingNetwork, rewrites: Rewrites | None = None, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.rewrites = rewrites = rewrites or Rewrites()
        motion = plain.dense_motion_network
        encoder, decoder = motion.hourglass.encoder, motion.hourglass.decoder
        self.compress = Conv(*_flat(fold_batch_norm(motion.compress, motion.norm)), 0)
        self.down = nn.ModuleList(
            DepthConv(block.get_submodule("conv"), block.get_submodule("norm"), rewrites, wide=index < WIDE_BLOCKS)
            for index, block in enumerate(encoder.down_blocks)
        )
        self.up = nn.ModuleList(
            DepthConv(block.get_submodule("conv"), block.get_submodule("norm"), rewrites, upsample=True)
            for block in decoder.up_blocks
        )
        self.last = DepthConv(decoder.conv, decoder.norm, rewrites, wide=True)
        mask, reach = motion.mask, motion.mask.kernel_size[0] // 2
        self.mask: nn.Module
        if rewrites.depth_as_batch:
            self.mask = Conv(depth_to_outputs(mask.weight), None, reach)
        else:
            self.mask = nn.Conv3d(mask.in_channels, mask.out_channels, mask.kernel_size[0], padding=reach, bias=False)
            self.mask.weight = nn.Parameter(mask.weight.detach().clone(), False)
        self.mask_waves: FourierConv | None = None
        if rewrites.depth_as_batch and rewrites.depth_products:
            self.mask_waves = FourierConv(mask.weight, DEPTH)
        self.mask_taps = mask.kernel_size[0]
        self.mask_bias = nn.Parameter(cast(Tensor, mask.bias).detach().clone(), False)
        # Occlusion, 7x7 to one channel: one product per tap and depth, then one pass moves the taps to their positions.
        weight = motion.occlusion.weight.detach()
        taps = weight.shape[2] * weight.shape[3]
        channels = decoder.out_filters
        per_depth = weight[0].unflatten(0, (channels, -1)).permute(1, 2, 3, 0).flatten(1, 2)  # (D, taps, C)
        self.occlusion_taps = nn.Parameter(per_depth.transpose(1, 2).contiguous(), False)
        place = torch.eye(taps).reshape(1, taps, weight.shape[2], weight.shape[3])
        self.occlusion_place = Conv(place, motion.occlusion.bias, motion.occlusion.kernel_size[0] // 2)
        self.third = Conv(*fold_batch_norm(plain.third.conv, plain.third.norm), 1)
        self.fourth = Conv(plain.fourth.weight, plain.fourth.bias, 0)
        self.set_type(dtype)

    def set_type(self, dtype: torch.dtype) -> None:
        """Cast the convolutions; everything that affects coordinates stays in float32.

        In bfloat16 the last ones stay as well: they are 3 per cent of W's products, and G's norms amplify their
        rounding.
        """
        waves, self.end_dtype = [] if self.mask_waves is None else [self.mask_waves], end_type(dtype)
        own = (*self.down, *self.up, self.last, self.mask, *waves)
        for module in (*own, self.third, self.fourth):
            module.to(dtype if module in own else self.end_dtype)
            for parameter in module.parameters():
                if parameter.dim() == 4:
                    parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        self.occlusion_taps.data = self.occlusion_taps.data.to(self.end_dtype)
        self.dtype = dtype

    def drop_toom(self) -> None:
        """Disable the products at points (ToomConv), which cost precision in bfloat16."""
        for module in self.modules():
            if isinstance(module, DepthConv):
                module.toom = None

    def prepare(self, feature: Tensor, kp_source: Tensor) -> WarpSource:
        """Compute everything that depends on the source only.

        Args:
            feature: f_s (S, 32, D, H, W).
            kp_source: x_s (S, 21, 3).
        """
        feature, kp_source = feature.float(), kp_source.float()
        slices = feature.transpose(1, 2)
        compressed = functional.relu(self.compress(slices.flatten(0, 1)))
        compressed = compressed.unflatten(0, slices.shape[:2]).transpose(1, 2).contiguous()
        axes = _axes(compressed)
        still = [hat_matrices(axis, len(axis)) for axis in axes]
        background = functional.pad(_resample(compressed[:, None], *still), (0, 0, 0, 0, 0, 0, 1, 0))
        heat = cast("tuple[Tensor, Tensor, Tensor]", tuple(_gaussian(axes, kp_source)))
        return WarpSource(feature, kp_source, compressed, background, heat)

    def forward(self, feature_3d: Tensor, kp_driving: Tensor, kp_source: Tensor) -> dict[str, Tensor]:
        """Like the plain module: see WarpingNetwork.forward."""
        return self.warp(self.prepare(feature_3d, kp_source), kp_driving)

    def warp(self, source: WarpSource, kp_driving: Tensor) -> dict[str, Tensor]:
        """Warp a prepared source to driving keypoints.

        Args:
            source: From prepare; one source, or as many as frames.
            kp_driving: x_d (B, 21, 3).

        Returns:
            occlusion_map (B, 1, H, W), deformation (B, D, H, W, 3), both float32; out (B, 256, H, W) in the type of
            the last convolutions.
        """
        batch = len(kp_driving)
        kp_driving = kp_driving.float()
        if not self.rewrites.source_cache:
            source = self.prepare(source.volume, source.keypoints)
        levels = [self._inputs(source, kp_driving)]
        for block in self.down:
            levels.append(functional.avg_pool2d(block(levels[-1], batch), 2))
        x = levels.pop()
        for block in self.up:
            x = torch.cat((block(x, batch), levels.pop()), dim=1)
        prediction = self.last(x, batch)
        deformation = self._deformation(self._mask(prediction, batch), source.keypoints, kp_driving)
        occlusion = self._occlusion(prediction, batch)
        volume = source.volume.expand(batch, -1, -1, -1, -1)
        if self.rewrites.gather_sampler:
            warped = gather_sample(volume, deformation)
        else:
            warped = functional.grid_sample(
                volume, deformation, mode="bilinear", padding_mode="zeros", align_corners=False
            )
        flat = warped.flatten(1, 2).to(self.end_dtype)
        if not torch.compiler.is_exporting():
            flat = flat.contiguous(memory_format=torch.channels_last)
        out = self.fourth(functional.leaky_relu_(self.third(flat), LEAK)) * occlusion.to(self.end_dtype)
        return {"occlusion_map": occlusion, "deformation": deformation, "out": out}

    # ------------------------------------------------------------------ parts

    def _inputs(self, source: WarpSource, kp_driving: Tensor) -> Tensor:
        """(D*B, 110, H, W): per motion the heat map, then the moved features."""
        axes = _axes(source.compressed)
        batch, (depth, height, width) = len(kp_driving), source.compressed.shape[-3:]
        grid = coordinate_grid(depth, height, width, kp_driving)
        if self.rewrites.separable_motions:
            shift = (source.keypoints - kp_driving).flip(-1)  # z, y, x
            matrices = [
                hat_matrices(axis + shift[..., i, None], len(axis)) for i, axis in enumerate(axes)
            ]  # (B, 21, N, N)
            moved = _resample(source.compressed[:, None], *matrices)
        else:
            motions = DenseMotionNetwork.sparse_motions(grid, kp_driving, source.keypoints.expand(batch, -1, -1))[:, 1:]
            volumes = source.compressed.expand(batch, -1, -1, -1, -1).repeat_interleave(MOTIONS - 1, dim=0)
            moved = functional.grid_sample(
                volumes, motions.flatten(0, 1), mode="bilinear", padding_mode="zeros", align_corners=False
            )
            moved = moved.unflatten(0, (batch, -1))
        if self.rewrites.separable_heatmaps:
            heat = _outer(*_gaussian(axes, kp_driving)) - _outer(*source.heat)
        else:
            heat = heatmaps(grid, kp_driving) - heatmaps(grid, source.keypoints)
        background = source.background.expand(batch, *([-1] * 5)).to(self.dtype)
        others = torch.cat((heat[:, :, None].to(self.dtype), moved.to(self.dtype)), dim=2)
        stacked = torch.cat((background, others), dim=1).flatten(1, 2)  # (B, 22 x 5, D, H, W)
        ordered = stacked.permute(2, 0, 1, 3, 4).flatten(0, 1)
        return ordered if torch.compiler.is_exporting() else ordered.contiguous(memory_format=torch.channels_last)

    def _mask(self, prediction: Tensor, batch: int) -> Tensor:
        """(D*B, H, W, 22) float32 shares that sum to 1."""
        if self.mask_waves is not None and fewer_products(prediction, batch):
            logits = self.mask_waves(prediction)
        elif self.rewrites.depth_as_batch:
            logits = shifted_sum(self.mask(prediction), self.mask_taps, batch)
        else:
            volume = prediction.unflatten(0, (-1, batch)).permute(1, 2, 0, 3, 4)
            logits = self.mask(volume.contiguous()).permute(2, 0, 1, 3, 4).flatten(0, 1).float()
        return torch.softmax(logits.permute(0, 2, 3, 1) + self.mask_bias, dim=-1)

    def _deformation(self, mask: Tensor, kp_source: Tensor, kp_driving: Tensor) -> Tensor:
        """(B, D, H, W, 3) sampling grid."""
        batch, (height, width) = len(kp_driving), mask.shape[1:3]
        depth = len(mask) // batch
        grid = coordinate_grid(depth, height, width, kp_driving)
        mask = mask.reshape(depth, batch, height * width, -1)
        if self.rewrites.mask_times_shift:
            shift = functional.pad(kp_source - kp_driving, (0, 0, 1, 0))  # (B, 22, 3); the background doesn't move
            moved = (mask @ shift[None]).reshape(depth, batch, height, width, 3).transpose(0, 1)
            return grid + moved
        motions = DenseMotionNetwork.sparse_motions(grid, kp_driving, kp_source.expand(batch, -1, -1))
        shares = mask.reshape(depth, batch, height, width, -1).permute(1, 4, 0, 2, 3)
        return (shares[..., None] * motions).sum(1)

    def _occlusion(self, prediction: Tensor, batch: int) -> Tensor:
        """(B, 1, H, W) float32 in 0..1."""
        height, width = prediction.shape[2:]
        rows = prediction.permute(0, 2, 3, 1).reshape(-1, batch * height * width, prediction.shape[1])
        rows = rows.to(self.end_dtype)
        taps = torch.bmm(rows, self.occlusion_taps).float().sum(0).reshape(batch, height, width, -1)
        return torch.sigmoid(self.occlusion_place(taps.permute(0, 3, 1, 2)))


def fewer_products(x: Tensor, batch: int) -> bool:
    """Whether to use the forms with fewer products along the depth: measured on CPUs only."""
    return x.device.type == "cpu" and len(x) == DEPTH * batch


def _flat(folded: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """A 1x1x1 convolution as a 1x1 one."""
    weight, bias = folded
    return weight[:, :, 0], bias


def _axes(volume: Tensor) -> list[Tensor]:
    """Voxel positions along z, y and x, the outermost centres at -1 and 1."""
    return [
        2.0 * (torch.arange(count, device=volume.device, dtype=torch.float32) / (count - 1)) - 1.0
        for count in volume.shape[-3:]
    ]


def _gaussian(axes: list[Tensor], keypoints: Tensor) -> list[Tensor]:
    """Factors of the heat maps along z, y, x: (B, K, size) each."""
    return [torch.exp((axis - keypoints[..., 2 - i, None]).square() * (-0.5 / VARIANCE)) for i, axis in enumerate(axes)]


def _outer(z: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """(B, K, D), (B, K, H), (B, K, W) -> (B, K, D, H, W)."""
    return (z[..., None] * y[..., None, :])[..., None] * x[..., None, None, :]


def _resample(volume: Tensor, z: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Apply one matrix per axis.

    Args:
        volume: (S, 1, C, D, H, W).
        z: (D', D), or (B, K, D', D); the others likewise.
        y: Matrices along y.
        x: Matrices along x.

    Returns:
        (B, K, C, D', H', W').
    """
    channels, depth, height = volume.shape[2:5]
    rows = volume.flatten(2, 4) @ x.transpose(-1, -2)  # (B, K, C D H, W')
    rows = y[..., None, :, :] @ rows.unflatten(2, (channels * depth, height))  # (B, K, C D, H', W')
    size = rows.shape[3:]
    rows = z[..., None, :, :] @ rows.flatten(3).unflatten(2, (channels, depth))  # (B, K, C, D', H' W')
    return rows.unflatten(-1, size)
