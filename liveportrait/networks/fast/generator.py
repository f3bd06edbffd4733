"""G rewritten: the SPADE generator with folded and merged convolutions."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from liveportrait.networks.fast.int8 import Int8Conv, Levels, step_of, to_levels
from liveportrait.networks.fast.layers import Conv, UpConv, end_type, spread_phases, spread_phases_in_place
from liveportrait.networks.fast.rewrites import Rewrites, fold_shortcut
from liveportrait.networks.generator import SLOPE, SPADE, SPADEGenerator, SPADEResnetBlock

EPSILON = 1e-5
HIDDEN = 128


class Modulation(nn.Module):
    """Scale and shift of one SPADE layer from its hidden map.

    Args:
        plain: The plain layer.
        merged: One convolution for both.
        after: 1x1 convolution (O, C, 1, 1) that follows directly; it is then merged into the shift.
    """

    def __init__(self, plain: SPADE, merged: bool, after: Tensor | None = None) -> None:
        super().__init__()
        gamma, beta = plain.mlp_gamma, plain.mlp_beta
        gamma_bias, shift_bias = cast(Tensor, gamma.bias) + 1.0, cast(Tensor, beta.bias)
        shift = beta.weight
        if after is not None:
            shift, shift_bias = fold_shortcut(after, shift, shift_bias)
        self.sizes = (len(gamma.weight), len(shift))
        self.after = None if after is None else Conv(after, None, 0)
        self.convs = nn.ModuleList()
        if merged:
            self.convs.append(Conv(torch.cat((gamma.weight, shift)), torch.cat((gamma_bias, shift_bias)), 1))
        else:
            self.convs.extend((Conv(gamma.weight, gamma_bias, 1), Conv(shift, shift_bias, 1)))
        self.int8: tuple[Int8Conv, ...] = ()

    def quantise(self, weights: Modulation) -> None:
        """Switch to 8-bit weights.

        Args:
            weights: The same layer in float32.
        """
        parts = [part for conv in weights.convs for part in zip(*weights.split_weights(conv), strict=True)]
        self.int8 = tuple(Int8Conv(weight, bias, torch.bfloat16) for weight, bias in parts)
        self.convs = nn.ModuleList()

    def split_weights(self, conv: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
        """Weights and biases of a convolution, separately for scale and shift if it is the merged one."""
        weight, bias = cast(Tensor, conv.weight), cast(Tensor, conv.bias)
        sizes = list(self.sizes) if len(self.convs) == 1 else [len(weight)]
        return list(weight.split(sizes)), list(bias.split(sizes))

    def forward(self, x: Tensor, hidden: Tensor | Levels) -> Tensor:
        """Normalised x (B, C, H, W), hidden (B, 128, H, W) -> x * (1 + gamma) + beta, (B, C, H, W) or (B, O, H, W)."""
        if isinstance(hidden, Levels):
            scale, shift = (conv(hidden) for conv in self.int8)
        elif len(self.convs) == 2:
            scale, shift = (conv(hidden) for conv in self.convs)
        elif hidden.device.type == "cpu" and not torch.compiler.is_exporting():
            # Two separate outputs are faster to read afterwards than two halves of one.
            weights, biases = self.split_weights(self.convs[0])
            scale, shift = (functional.conv2d(hidden, w, b, padding=1) for w, b in zip(weights, biases, strict=True))
        else:
            scale, shift = self.convs[0](hidden).split(self.sizes, dim=1)
        if self.after is not None:
            return cast(Tensor, self.after(x * scale)) + shift
        return torch.addcmul(shift, x, scale)


class SpectralConv(Conv):
    """Convolution that divides by its spectral norm in every frame, like the plain network; for measurements only."""

    def __init__(self, weight: Tensor, bias: Tensor | None, padding: int) -> None:
        super().__init__(weight, bias, padding)
        rows = weight.detach().flatten(1)
        self.u = nn.Parameter(torch.full((len(rows),), len(rows) ** -0.5), False)
        image = rows.T @ self.u.detach()
        self.v = nn.Parameter(image / image.norm(), False)
        self.norm = nn.Parameter(torch.dot(self.u.detach(), rows @ self.v.detach()), False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, I, H, W) -> (B, O, H', W')."""
        sigma = torch.dot(self.u, torch.mv(self.weight.flatten(1), self.v))
        weight = self.weight * (self.norm / sigma)
        return functional.conv2d(x.to(weight.dtype), weight, self.bias, padding=self.padding)


class FastBlock(nn.Module):
    """One residual block.

    Args:
        plain: The plain block.
        rewrites: Which rewrites are on.
        scale: Upsampling before the block.
    """

    def __init__(self, plain: SPADEResnetBlock, rewrites: Rewrites, scale: int) -> None:
        super().__init__()
        self.scale, self.shared_norm = scale, rewrites.shared_norm
        convolution = Conv if rewrites.folded_spectral else SpectralConv
        self.conv_0 = convolution(*_weights(plain.conv_0), 1)
        self.conv_1 = convolution(*_weights(plain.conv_1), 1)
        self.conv_s, self.norm_s, folds = None, None, rewrites.folded_shortcut and rewrites.folded_spectral
        if plain.learned_shortcut:
            after = folded(plain.conv_s) if folds else None
            self.conv_s = nn.Identity() if folds else convolution(*_weights(plain.conv_s), 0)
            self.norm_s = Modulation(plain.norm_s, rewrites.merged_spade, after)
        self.norm_0 = Modulation(plain.norm_0, rewrites.merged_spade)
        self.norm_1 = Modulation(plain.norm_1, rewrites.merged_spade)

    def forward(self, x: Tensor, hidden: tuple[Tensor | Levels, ...]) -> Tensor:
        """Block input x (B, I, h, w), hidden maps of norm_0, norm_1 and norm_s -> (B, O, scale*h, scale*w)."""
        kind = self.conv_0.weight.dtype  # x may have higher precision
        if self.shared_norm:
            normal = upsampled(normalised(x).to(kind), self.scale)
            shortcut = normal
        else:
            x = upsampled(x, self.scale)
            normal = normalised(x).to(kind)
            shortcut = normalised(x).to(kind) if self.norm_s is not None else normal
        y = self.conv_0(functional.leaky_relu_(self.norm_0(normal, hidden[0]), SLOPE))
        y = self.conv_1(functional.leaky_relu_(self.norm_1(normalised(y), hidden[1]), SLOPE))
        if self.norm_s is not None and self.conv_s is not None:
            return y.add_(self.conv_s(self.norm_s(shortcut, hidden[2])))
        return x.add_(y)


class FastGenerator(nn.Module):
    """The generator, rewritten.

    Args:
        plain: The plain module with its weights, spectral norm folded or not; they are copied.
        rewrites: Which rewrites are on.
        dtype: Type of the convolutions.
    """

    def __init__(
        self, plain: SPADEGenerator, rewrites: Rewrites | None = None, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.rewrites = rewrites = rewrites or Rewrites()
        middle = [
            cast(SPADEResnetBlock, plain.get_submodule(f"G_middle_{i}")) for i in range(SPADEGenerator.MIDDLE_BLOCKS)
        ]
        self.fc = Conv(plain.fc.weight, plain.fc.bias, 1)
        self.blocks = nn.ModuleList(FastBlock(block, rewrites, 1) for block in middle)
        self.blocks.extend((FastBlock(plain.up_0, rewrites, 2), FastBlock(plain.up_1, rewrites, 2)))
        low = rewrites.low_resolution_condition
        self.conditions = nn.ModuleList()
        groups = [[layer for block in middle for layer in (block.norm_0, block.norm_1)]]
        groups += [[block.norm_0, block.norm_1, block.norm_s] for block in (plain.up_0, plain.up_1)]
        self.merged = rewrites.merged_spade
        for layers, scale in zip(groups, (1, 2, 4), strict=True):
            for part in [layers] if self.merged else [[layer] for layer in layers]:
                convs = [cast(nn.Conv2d, layer.mlp_shared[0]) for layer in part]
                weight = torch.cat([conv.weight for conv in convs])
                bias = torch.cat([cast(Tensor, conv.bias) for conv in convs])
                conv: nn.Module
                conv = Conv(weight, bias, 1) if scale == 1 else UpConv(weight, bias, scale, before=low, relu=True)
                self.conditions.append(conv)
        image = cast(nn.Conv2d, plain.conv_img[0])
        self.conv_img = Conv(image.weight, image.bias, 1)
        self.is_int8 = False
        self.set_type(dtype)

    def set_type(self, dtype: torch.dtype) -> None:
        """Cast the weights, which are channels-last; the first convolution has higher precision (layers.end_type)."""
        for module in (self.blocks, self.conditions, self.conv_img):
            module.to(dtype)
        self.fc.to(end_type(dtype))
        for parameter in self.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        self.dtype = dtype

    def forward(self, feature: Tensor) -> Tensor:
        """(B, 256, h, w) -> (B, 3, 8h, 8w) float32 RGB, 0..1."""
        return functional.pixel_shuffle(torch.sigmoid(self._pixels(feature).float()), 2)

    def levels(self, feature: Tensor) -> Tensor:
        """(B, 256, h, w) -> (B, 8h, 8w, 3) uint8 RGB, truncated to integer levels, contiguous."""
        return self.levels_and_peaks(feature)[0]

    def levels_and_peaks(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        """Like levels, with the highest value of each image (B,) in 0..1, NaN if it contains any."""
        values = torch.sigmoid(self._pixels(feature).float())
        peaks = values.amax(dim=(1, 2, 3))
        out = (values * 255.0).to(torch.uint8)
        return functional.pixel_shuffle(out, 2).permute(0, 2, 3, 1).contiguous(), peaks

    def _pixels(self, feature: Tensor) -> Tensor:
        """(B, 12, 4h, 4w) before the sigmoid."""
        if not torch.compiler.is_exporting():
            feature = feature.contiguous(memory_format=torch.channels_last)
        hidden: list[Tensor | Levels] = []
        for condition in self.conditions:
            hidden.extend(self._hidden(condition, feature.to(self.dtype)))
        x = self.fc(feature)  # in bfloat16, this and the sums of the middle blocks keep full precision
        for index, block in enumerate(self.blocks):
            first = 2 * index if index < SPADEGenerator.MIDDLE_BLOCKS else 3 * index - SPADEGenerator.MIDDLE_BLOCKS
            x = block(x, tuple(hidden[first : first + 3]))
        return cast(Tensor, self.conv_img(functional.leaky_relu_(x, SLOPE)))

    def _hidden(self, condition: nn.Module, feature: Tensor) -> list[Tensor | Levels]:
        """Non-negative maps (B, 128, H, W) from a conditioning convolution."""
        if not isinstance(condition, UpConv) or not condition.before:
            whole = functional.relu_(condition(feature))
            maps = whole.split(HIDDEN, dim=1)
            if self.is_int8:
                return [_levels([[part]], 1) for part in maps]
            return list(maps)
        cells = condition.cells(feature)
        count = cells[0][0].shape[1] // HIDDEN
        parts = [[[cell.narrow(1, k * HIDDEN, HIDDEN) for cell in row] for row in cells] for k in range(count)]
        if self.is_int8:
            return [_levels(part, condition.scale) for part in parts]
        spread = spread_phases if torch.compiler.is_exporting() else spread_phases_in_place
        return [spread(part, condition.scale) for part in parts]

    def quantise(self, full: FastGenerator) -> None:
        """Compute the scales and shifts of all SPADE layers, about half of G, in 8 bits; for CPUs with VNNI.

        Args:
            full: The same generator in float32.
        """
        for own, other in list(zip(self.modules(), full.modules(), strict=True)):
            if isinstance(own, Modulation):
                own.quantise(cast(Modulation, other))
        self.is_int8 = True


def _levels(cells: list[list[Tensor]], scale: int) -> Levels:
    """Round the cells before spreading them."""
    step = step_of(max(float(cell.max()) for row in cells for cell in row))
    rounded = [[to_levels(cell, step) for cell in row] for row in cells]
    if scale > 1:
        return Levels(spread_phases_in_place(rounded, scale), step)
    return Levels(rounded[0][0].contiguous(memory_format=torch.channels_last), step)


def _weights(conv: nn.Module) -> tuple[Tensor, Tensor | None]:
    return folded(conv), cast("Tensor | None", conv._parameters.get("bias"))


def folded(conv: nn.Module) -> Tensor:
    """Weight of a convolution with its spectral norm divided out: W / (u . W v) with the stored u and v."""
    original = conv._parameters.get("weight_orig")
    if original is None:
        return cast(Tensor, conv.weight).detach()
    weight = original.detach()
    sigma = torch.dot(cast(Tensor, conv.weight_u), torch.mv(weight.flatten(1), cast(Tensor, conv.weight_v)))
    return weight / sigma


def normalised(x: Tensor) -> Tensor:
    """Instance norm without affine; mean and variance in float32.

    A group norm of one channel per group is equivalent, and the fastest form for channels-last maps.
    """
    if torch.compiler.is_exporting():
        return functional.instance_norm(x.float(), eps=EPSILON).to(x.dtype)
    return functional.group_norm(x, x.shape[1], eps=EPSILON)


def upsampled(x: Tensor, scale: int) -> Tensor:
    """Nearest upsampling."""
    return x if scale == 1 else functional.interpolate(x, scale_factor=float(scale), mode="nearest")
