"""The engine with LivePortrait's 21 learned keypoints and the official weights, on any runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import cv2
import numpy as np

from liveportrait.engines.base import Engine, Image, Portrait
from liveportrait.engines.liveportrait21 import (
    EYE_PAIRS,
    FAMILY,
    KEYPOINTS,
    network_eye_ratios,
    neutral_delta,
    region_masks,
)
from liveportrait.engines.precision import judge_numbers, judge_peaks
from liveportrait.engines.runtime import INPUT_SIZE, Runtime, SourceFeatures, place_networks, to_tensor
from liveportrait.landmarks import installed_landmarks
from liveportrait.motion import Array, Motion, headpose_degrees, keypoints, landmark_ratios, rotation_from_euler
from models.face import Face

if TYPE_CHECKING:
    from torch import Tensor, nn


class LivePortraitEngine(Engine):
    """LivePortrait: the big networks on a runtime, stitching and retargeting on the CPU.

    Args:
        runtime: Computes F, M, W and G.
        networks: Network name -> module with its weights; the small ones are moved, not copied.
        animals: The weights are those for animals.

    Attributes:
        runtime: Computes F, M, W and G.
        landmarks: The official landmark model if it is installed: eye and lip ratios are then measured as in the
            retargeting networks' training. None uses those of the face mesh, converted to that scale.
        stitching: The stitching network S.

    Raises:
        ModelError: A network is missing.
    """

    family = FAMILY
    keypoints = KEYPOINTS

    def __init__(self, runtime: Runtime, networks: Mapping[str, nn.Module], *, animals: bool = False) -> None:
        import torch

        self.runtime, self.name, self.batch, self.animals = runtime, runtime.name, runtime.batch, animals
        self.landmarks = installed_landmarks()
        self.regions = region_masks()
        # Sending inputs to a GPU would take longer than running the small networks.
        small = place_networks(networks, ("stitching", "eye", "lip"), torch.device("cpu"))
        self.stitching, self._eye, self._lip = small.values()

    # ------------------------------------------------------------------ engine protocol

    def encode(self, crop: Image, face: Face | None) -> Portrait:
        """Prepare a source; see Engine.encode.

        A fourth channel is blended over grey and dropped. Without a face (animals) the ratios are unknown.
        """
        crop, runtime = _opaque(crop), self.runtime
        image = to_tensor(_resized(crop, cv2.INTER_AREA), runtime.device)
        volume, heads = runtime.ready().run(
            lambda: (runtime.appearance(image), runtime.motion(image)),
            lambda result: judge_numbers(result[0], *result[1].values()),
        )
        canonical, motion = self._read(heads, crop, face)
        x_s = keypoints(canonical, motion)
        return Portrait(motion, canonical, x_s, crop, SourceFeatures(volume, self._tensor(x_s)))

    def encode_unseen(self, crop: Image) -> Portrait:
        """See Engine.encode_unseen."""
        return self.encode(crop, None)

    def read_motion(self, crop: Image, face: Face | None) -> Motion:
        """Read one driving frame; see Engine.read_motion. Without a face the ratios are unknown."""
        crop, runtime = _opaque(crop), self.runtime
        image = to_tensor(_resized(crop, cv2.INTER_LINEAR), runtime.device)
        heads = runtime.ready().run(lambda: runtime.motion(image), lambda result: judge_numbers(*result.values()))
        return self._read(heads, crop, face)[1]

    def render(self, portrait: Portrait, x_d: Array) -> Image:
        """Draw the portrait; see Engine.render. Values are truncated to integer levels, as in the official release."""
        features, runtime = _features(portrait), self.runtime
        guard = runtime.ready()
        frames = [
            guard.run(partial(runtime.levels, features, part), lambda result: judge_peaks(result[1]))[0]
            for part in self._tensor(_checked_keypoints(x_d)).split(self.batch)
            if len(part)
        ]
        return np.concatenate(frames) if frames else np.empty((0, self.crop_size, self.crop_size, 3), np.uint8)

    def neutral_of(self, driving: Motion) -> Motion:
        """The driving face at rest with closed lips; see Engine.neutral_of."""
        return replace(driving, delta=neutral_delta())

    def stitch(self, portrait: Portrait, x_d: Array) -> Array:
        """Stitched keypoints; see Engine.stitch."""
        x_d = _checked_keypoints(x_d)
        out = self._small(self.stitching, portrait, x_d.reshape(len(x_d), -1))
        stitched = x_d + out[:, :-2].reshape(-1, KEYPOINTS, 3)
        stitched[..., :2] += out[:, None, -2:]
        return stitched

    def retarget_eyes(self, portrait: Portrait, ratios: Array) -> Array:
        """Offsets of the eye network; see Engine.retarget_eyes.

        The network has one target for both eyes. With two different targets it runs once for each: the points of each
        eye use their own side's result, all others the mean. Unknown ratios (NaN) move nothing.
        """
        ratios = np.asarray(ratios, np.float32).reshape(-1, 2)
        left = self._eye_offsets(portrait, ratios[:, :1])
        if np.array_equal(ratios[:, 0], ratios[:, 1], equal_nan=True):
            return left
        right = self._eye_offsets(portrait, ratios[:, 1:])
        out: Array = (left + right) / np.float32(2.0)
        first_x, second_x = (portrait.canonical[list(pair), 0].mean() for pair in EYE_PAIRS)
        sides = (left, right) if first_x <= second_x else (right, left)
        for pair, side in zip(EYE_PAIRS, sides, strict=True):
            out[:, list(pair)] = side[:, list(pair)]
        return out

    def retarget_lips(self, portrait: Portrait, ratios: Array) -> Array:
        """Offsets of the lip network; see Engine.retarget_lips. Unknown ratios (NaN) move nothing."""
        ratios = np.asarray(ratios, np.float32).reshape(-1, 1)
        return self._offsets(self._lip, portrait, portrait.motion.lip_ratio, ratios)

    def slider_delta(self, portrait: Portrait, sliders: Mapping[str, float]) -> Array:
        """Expression offsets of sliders; see Engine.slider_delta."""
        from liveportrait.expression import liveportrait_delta

        return liveportrait_delta(sliders, portrait.canonical)

    def warm_up(self) -> None:
        """Start the runtime and choose its precision by its self-test."""
        self.runtime.ready()

    def tune(self) -> None:
        """See Engine.tune."""
        self.runtime.tune()

    def describe(self) -> dict[str, str]:
        """Where each part runs; see Engine.describe."""
        import torch

        self.runtime.ready()
        own = {
            "device": self.runtime.label,
            "precision": self.runtime.precision,
            "weights": "animals" if self.animals else "human",
            "landmarks": "face mesh" if self.landmarks is None else "203 points",
            "torch": str(torch.__version__),
        }
        return super().describe() | own | self.runtime.details()

    # ------------------------------------------------------------------ parts

    def _tensor(self, values: Array) -> Tensor:
        import torch

        return torch.from_numpy(np.array(values, np.float32)).to(self.runtime.device)

    def _ratios(self, crop: Image, face: Face | None) -> tuple[Array, Array]:
        """Eye ratios (1, 2) and lip ratio (1, 1); NaN without a face."""
        if face is None:
            return np.full((1, 2), np.nan, np.float32), np.full((1, 1), np.nan, np.float32)
        if self.landmarks is not None:
            return landmark_ratios(self.landmarks(crop, face)[None])
        return network_eye_ratios(face.eye_ratios)[None], np.array([[face.lip_ratio]], np.float32)

    def _read(self, heads: Mapping[str, Tensor], crop: Image, face: Face | None) -> tuple[Array, Motion]:
        """Canonical keypoints (21, 3) and the motion of one frame."""
        values = {name: tensor.cpu().numpy() for name, tensor in heads.items()}
        angles = (headpose_degrees(values[name])[:, 0] for name in ("pitch", "yaw", "roll"))
        eyes, lips = self._ratios(crop, face)
        motion = Motion(
            rotation=rotation_from_euler(*angles),
            translation=values["t"],
            scale=values["scale"],
            delta=values["exp"].reshape(1, KEYPOINTS, 3),
            eye_ratio=eyes,
            lip_ratio=lips,
            engine=self.family,
        )
        return values["kp"].reshape(KEYPOINTS, 3), motion

    def _eye_offsets(self, portrait: Portrait, target: Array) -> Array:
        return self._offsets(self._eye, portrait, portrait.motion.eye_ratio, target)

    def _offsets(self, network: nn.Module, portrait: Portrait, own: Array, target: Array) -> Array:
        """(B, 21, 3) offsets for the source's own ratios (1, n) and a target (B, 1); zeros where one is unknown."""
        ratios = np.concatenate([np.repeat(own, len(target), axis=0), target], axis=1).astype(np.float32)
        known = np.isfinite(ratios).all(axis=1)
        out = np.zeros((len(target), KEYPOINTS, 3), np.float32)
        if known.any():
            out[known] = self._small(network, portrait, ratios[known]).reshape(-1, KEYPOINTS, 3)
        return out

    @staticmethod
    def _small(network: nn.Module, portrait: Portrait, rest: Array) -> Array:
        """Run a small network on x_s and further values (B, n), in float32 on the CPU."""
        import torch

        own = np.repeat(portrait.keypoints.reshape(1, -1), len(rest), axis=0)
        with torch.inference_mode():
            out: Array = network(torch.from_numpy(np.concatenate([own, rest], axis=1).astype(np.float32))).numpy()
        return out.copy()


def _features(portrait: Portrait) -> SourceFeatures:
    if not isinstance(portrait.features, SourceFeatures):
        raise ValueError("This portrait was encoded by another engine; encode the source again.")
    return portrait.features


def _checked_keypoints(x_d: Array) -> Array:
    x_d = np.asarray(x_d, np.float32)
    if x_d.ndim != 3 or x_d.shape[1:] != (KEYPOINTS, 3):
        raise ValueError(f"Driving keypoints must have the shape (frames, {KEYPOINTS}, 3), not {x_d.shape}.")
    if not np.isfinite(x_d).all():
        raise ValueError("Driving keypoints contain values that are not numbers.")
    return x_d


def _opaque(crop: Image) -> Image:
    """(S, S, 3) of a crop that may have a fourth channel."""
    if crop.ndim != 3 or crop.shape[0] != crop.shape[1] or crop.shape[2] not in (3, 4) or crop.dtype != np.uint8:
        raise ValueError(f"A crop must be a square uint8 RGB or RGBA image, not {crop.shape} {crop.dtype}.")
    if crop.shape[2] == 3:
        return crop
    share = crop[..., 3:].astype(np.float32) / 255.0
    return np.rint(crop[..., :3] * share + 127.0 * (1.0 - share)).astype(np.uint8)


def _resized(crop: Image, interpolation: int) -> Image:
    """The crop at the networks' input size."""
    if len(crop) == INPUT_SIZE:
        return crop
    return np.asarray(cv2.resize(crop, (INPUT_SIZE, INPUT_SIZE), interpolation=interpolation), np.uint8)
