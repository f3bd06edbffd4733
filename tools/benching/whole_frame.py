"""The whole frame on the device: driving crop -> M -> relative motion -> S -> W -> G -> uint8 levels -> paste-back.

Nothing is copied to the CPU in between, so that a graphics card can run it as one CUDA graph. It covers the plain case:
relative motion of everything, measured from a neutral driving frame, without filters, sliders or retargeting. The
program does not use it (``liveportrait.animator`` is its only way of a frame): it measures what a card could gain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from liveportrait.engines.graph import StaticGraph, leaves, rebuilt
from liveportrait.networks.fast.warping import FastWarping, WarpSource
from liveportrait.warp import scale_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from liveportrait.compose import Compositor
    from liveportrait.engines.base import Image, Portrait
    from liveportrait.engines.graph import Recorder
    from liveportrait.motion import Array, Motion
    from liveportrait.networks.fast.generator import FastGenerator

BINS = 66


class FramePlace(NamedTuple):
    """Position of the crop in the image.

    Attributes:
        shrink_y: (s, 512) area weights to the size of the crop in the image; the identity where it is enlarged.
        shrink_x: The same along x.
        grid: (1, h, w, 2) position of each pixel of the window in the shrunk crop, -1..1.
        mask: (1, 1, h, w) share of the crop.
        window: (1, 3, h, w) float32 levels of the source's window.
    """

    shrink_y: Tensor
    shrink_x: Tensor
    grid: Tensor
    mask: Tensor
    window: Tensor


class FrameMotion(NamedTuple):
    """The source at rest and the driver's neutral frame.

    Attributes:
        canonical: (21, 3).
        keypoints: (1, 21, 3) x_s.
        rotation: (3, 3) the reference's rotation, transposed, times the source's.
        translation: (1, 3) source minus reference.
        scale: (1, 1) of the source.
        reference_scale: (1, 1).
        follow: (1, 1) share of the driver's change of scale that is transferred.
        delta: (21, 3) source minus reference.
    """

    canonical: Tensor
    keypoints: Tensor
    rotation: Tensor
    translation: Tensor
    scale: Tensor
    reference_scale: Tensor
    follow: Tensor
    delta: Tensor


class WholeFrame(nn.Module):
    """Draws frames from driving crops.

    Args:
        motion: M.
        stitching: S, or None to leave it out.
        warping: W.
        generator: G.
    """

    def __init__(
        self, motion: nn.Module, stitching: nn.Module | None, warping: FastWarping, generator: FastGenerator
    ) -> None:
        super().__init__()
        self.motion, self.stitching, self.warping, self.generator = motion, stitching, warping, generator

    def forward(
        self, source: WarpSource, rest: FrameMotion, place: FramePlace, crops: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw frames.

        Args:
            source: See FastWarping.prepare.
            rest: See FrameMotion.
            place: See FramePlace.
            crops: (B, 256, 256, 3) uint8 RGB driving crops.

        Returns:
            (B, h, w, 3) uint8 windows of the image, (B, 512, 512, 3) uint8 crops, (B,) highest values before conversion
            to uint8 (NaN if an image contains any).
        """
        driving = self.keypoints(rest, crops)
        squares, peaks = self.generator.levels_and_peaks(self.warping.warp(source, driving)["out"])
        return self.paste(place, squares), squares, peaks

    def keypoints(self, rest: FrameMotion, crops: Tensor) -> Tensor:
        """(B, 21, 3) driving keypoints of crops, stitched."""
        heads = self.motion(crops.permute(0, 3, 1, 2).float() / 255.0)
        heads = {name: value.float() for name, value in heads.items()}
        rotation = rotations(degrees(heads["pitch"]), degrees(heads["yaw"]), degrees(heads["roll"])) @ rest.rotation
        delta = heads["exp"].reshape(len(crops), -1, 3) + rest.delta
        scale = rest.scale * (heads["scale"] / rest.reference_scale) ** rest.follow
        x = scale[..., None] * (rest.canonical @ rotation + delta)
        shift = (heads["t"] + rest.translation)[:, None]
        x = x + torch.cat((shift[..., :2], torch.zeros_like(shift[..., 2:])), dim=-1)
        if self.stitching is None:
            return x
        own = rest.keypoints.expand(len(x), -1, -1).flatten(1)
        out = self.stitching(torch.cat((own, x.flatten(1)), dim=1))
        return x + out[:, :-2].reshape(x.shape) + functional.pad(out[:, None, -2:], (0, 1))

    @staticmethod
    def paste(place: FramePlace, squares: Tensor) -> Tensor:
        """(B, 512, 512, 3) uint8 -> (B, h, w, 3) uint8 windows: cubic where the crop grows, area where it shrinks."""
        pictures = squares.permute(0, 3, 1, 2).float()
        pictures = place.shrink_y @ pictures @ place.shrink_x.T
        grid = place.grid.expand(len(squares), -1, -1, -1)
        up = functional.grid_sample(pictures, grid, mode="bicubic", padding_mode="border", align_corners=False)
        mixed = place.window + place.mask * (up.round().clamp(0.0, 255.0) - place.window)
        return mixed.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def one_graph(
    frame: WholeFrame, source: WarpSource, rest: FrameMotion, place: FramePlace, recorder: Recorder | None
) -> Callable[[Tensor], tuple[Image, Image, Array]]:
    """Function: (B, 256, 256, 3) uint8 driving crops on the device -> windows, crops and peaks, see WholeFrame.forward.

    Args:
        frame: The networks.
        source: See FastWarping.prepare.
        rest: See FrameMotion.
        place: See FramePlace.
        recorder: Captures the graph; None computes each frame anew.
    """
    shape = source, rest, place

    def compute(*tensors: Tensor) -> tuple[Tensor, ...]:
        results: tuple[Tensor, ...] = frame(*rebuilt(shape, iter(tensors[:-1])), tensors[-1])
        return results

    fixed, graph = leaves(shape), StaticGraph(compute, recorder)

    def take(results: tuple[Tensor, ...]) -> tuple[Image, Image, Array]:
        windows, squares, peaks = (result.cpu().numpy().copy() for result in results)
        return windows, squares, peaks

    return lambda crops: graph(fixed, [crops], take)


def degrees(values: Tensor) -> Tensor:
    """(B,) degrees of (B, 66) logits over bins of 3 degrees, or of (B, 1) degrees."""
    if values.shape[1] != BINS:
        return values[:, 0]
    bins = torch.arange(BINS, device=values.device, dtype=torch.float32)
    return 3.0 * (torch.softmax(values, dim=1) * bins).sum(1) - 97.5


def rotations(pitch: Tensor, yaw: Tensor, roll: Tensor) -> Tensor:
    """(B, 3, 3) rotations like liveportrait.motion.rotation_from_euler, from (B,) degrees."""
    (sx, cx), (sy, cy), (sz, cz) = (
        (torch.sin(a), torch.cos(a)) for a in (torch.deg2rad(v) for v in (pitch, yaw, roll))
    )
    rows = (
        cz * cy, sz * cy, -sy,
        cz * sy * sx - sz * cx, sz * sy * sx + cz * cx, cy * sx,
        cz * sy * cx + sz * sx, sz * sy * cx - cz * sx, cy * cx,
    )  # fmt: skip
    return torch.stack(rows, dim=-1).reshape(-1, 3, 3)


def frame_motion(portrait: Portrait, reference: Motion, device: torch.device, follow: float = 0.0) -> FrameMotion:
    """The rest state that the motion of frames is added to.

    Args:
        portrait: The source.
        reference: The driver's neutral frame (N = 1).
        device: Target device.
        follow: Share of the driver's change of scale that is transferred (AnimationOptions.scale_motion).
    """
    source = portrait.motion

    def put(values: Array) -> Tensor:
        return torch.from_numpy(np.array(values, np.float32)).to(device)

    return FrameMotion(
        canonical=put(portrait.canonical),
        keypoints=put(portrait.keypoints),
        rotation=put(reference.rotation[0].T @ source.rotation[0]),
        translation=put(source.translation - reference.translation),
        scale=put(source.scale),
        reference_scale=put(reference.scale),
        follow=put(np.full((1, 1), follow)),
        delta=put(source.delta[0] - reference.delta[0]),
    )


def frame_place(compositor: Compositor, device: torch.device) -> FramePlace:
    """Position where a compositor pastes its crop; source detail is not kept (Compositor's detail=False).

    Raises:
        ValueError: The crop lies outside the image.
    """
    if compositor.window is None:
        raise ValueError("The crop lies outside the image; there is nothing to paste.")
    x0, y0, x1, y1 = compositor.window
    crop = compositor.crop
    scale = scale_of(crop.inverse)
    small = max(1, round(crop.size * scale)) if scale < 0.99 else crop.size
    x, y = np.meshgrid(np.arange(x0, x1, dtype=np.float64), np.arange(y0, y1, dtype=np.float64))
    points = np.stack([x, y], axis=-1) @ crop.matrix[:, :2].T + crop.matrix[:, 2]  # crop pixels, centres are integers
    grid = 2.0 * (points + 0.5) / crop.size - 1.0
    shrink = torch.from_numpy(area_weights(crop.size, small)).to(device)
    window = np.ascontiguousarray(compositor.source[y0:y1, x0:x1, :3].transpose(2, 0, 1)[None], np.float32)
    return FramePlace(
        shrink,
        shrink.clone(),
        torch.from_numpy(grid[None].astype(np.float32)).to(device),
        torch.from_numpy(np.array(compositor.mask, np.float32)[None, None]).to(device),
        torch.from_numpy(window).to(device),
    )


def area_weights(size: int, small: int) -> Array:
    """(small, size) float32: each target pixel is the mean of the part of the line that it covers."""
    edges = np.arange(small + 1) * (size / small)
    pixels = np.arange(size)
    low, high = np.maximum(edges[:-1, None], pixels), np.minimum(edges[1:, None], pixels + 1)
    weights: Array = (np.maximum(high - low, 0.0) * (small / size)).astype(np.float32)
    return weights
