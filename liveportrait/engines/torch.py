"""The LivePortrait engine on PyTorch: 21 learned keypoints, official weights, any device that torch knows.

Half precision is used where a self-test finds that it draws the same picture; a frame that comes out as NaN or black
is drawn again in full precision, and so are all later ones, with one warning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

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
from liveportrait.engines.precision import Precision, PrecisionGuard, judge_numbers, judge_pictures, pick_device
from liveportrait.landmarks import installed_landmarks
from liveportrait.motion import Array, Motion, headpose_degrees, keypoints, landmark_ratios, rotation_from_euler
from liveportrait.networks import NAMES
from models.face import Face
from models.registry import ModelError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from liveportrait.networks.loading import Variant

INPUT_SIZE: Final = 256


@dataclass(frozen=True)
class SourceFeatures:
    """What is computed once per source.

    Attributes:
        volume: f_s (1, 32, 16, 64, 64) float32 on the engine's device.
        keypoints: x_s (1, 21, 3) float32 on the engine's device.
    """

    volume: Tensor
    keypoints: Tensor


class TorchEngine(Engine):
    """LivePortrait on PyTorch.

    Args:
        networks: Network name (liveportrait.networks.NAMES) -> module with its weights; taken over and moved to the
            device.
        device: See pick_device.
        precision: "auto" takes half precision on CUDA and MPS and full precision on the CPU; whatever is taken or
            asked for must pass the self-test.
        threads: CPU threads; 0 leaves torch's choice. The number holds for the whole process.
        batch: Frames drawn at once; 0 chooses 4 on CUDA and 1 elsewhere.
        animals: The weights are those of animals.

    Attributes:
        landmarks: The official landmark model if it is installed: eye and lip openings are then measured as the
            retargeting networks learned them. None takes those of the face mesh, brought to their scale.

    Raises:
        ModelError: torch or the device isn't here, or a network is missing.
        ValueError: The precision is unknown.
    """

    name = "torch"
    family = FAMILY
    keypoints = KEYPOINTS

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        *,
        device: str = "auto",
        precision: Precision = "auto",
        threads: int = 0,
        batch: int = 0,
        animals: bool = False,
    ) -> None:
        self.animals = animals
        self.landmarks = installed_landmarks()
        self.device = pick_device(device)
        self._guard = PrecisionGuard(self.device, precision)
        import torch

        missing = [name for name in NAMES if name not in networks]
        if missing:
            raise ModelError(f"The torch engine needs the network {missing[0]}.")
        if threads > 0:
            torch.set_num_threads(threads)
        self.regions = region_masks()
        self.batch = batch or (4 if self.device.type == "cuda" else 1)

        def place(name: str, where: torch.device) -> nn.Module:
            return networks[name].eval().requires_grad_(False).to(where)

        self._appearance = place("appearance_feature_extractor", self.device)
        self._motion = place("motion_extractor", self.device)
        self._warping = place("warping_module", self.device)
        self._generator = place("spade_generator", self.device)
        cpu = torch.device("cpu")  # the small ones take longer to reach a GPU than to run
        self._stitching, self._eye, self._lip = (place(name, cpu) for name in ("stitching", "eye", "lip"))

    @classmethod
    def from_checkpoints(
        cls,
        checkpoints: Mapping[str, Path],
        *,
        device: str = "auto",
        precision: Precision = "auto",
        threads: int = 0,
        batch: int = 0,
        animals: bool = False,
    ) -> TorchEngine:
        """Load the weights of all networks.

        Args:
            checkpoints: Network name -> file, see liveportrait.networks.loading.find_checkpoints.
            device: See the class.
            precision: See the class.
            threads: See the class.
            batch: See the class.
            animals: See the class.

        Raises:
            ModelError: torch or the device is missing, or a file isn't what its name says.
        """
        pick_device(device)
        from liveportrait.networks.generator import fold_spectral_norm
        from liveportrait.networks.loading import load_networks

        networks = load_networks(checkpoints, convert=True)
        fold_spectral_norm(networks["spade_generator"])
        return cls(networks, device=device, precision=precision, threads=threads, batch=batch, animals=animals)

    # ------------------------------------------------------------------ engine protocol

    @property
    def precision(self) -> str:
        """Precision in use: "fp32", "fp16" or "bf16"; it can fall to "fp32" at any frame."""
        return self._guard.precision

    def encode(self, crop: Image, face: Face | None) -> Portrait:
        """Prepare a source; see Engine.encode.

        A fourth channel is laid over grey and dropped. Without a face (animals) the ratios are unknown.
        """
        crop = _opaque(crop)
        image = self._image(_resized(crop, cv2.INTER_AREA))
        volume, heads = self._ready().run(
            lambda: (self._appearance(image).float(), _floats(self._motion(image))),
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
        crop = _opaque(crop)
        image = self._image(_resized(crop, cv2.INTER_LINEAR))
        heads = self._ready().run(
            lambda: _floats(self._motion(image)),
            lambda result: judge_numbers(*result.values()),
        )
        return self._read(heads, crop, face)[1]

    def render(self, portrait: Portrait, x_d: Array) -> Image:
        """Draw the portrait; see Engine.render. Values are cut down to whole levels, as the official release does."""
        features = _features(portrait)
        guard = self._ready()
        frames = [
            _levels(guard.run(partial(self._draw, features, part), judge_pictures))
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
        out = self._small(self._stitching, portrait, x_d.reshape(len(x_d), -1))
        stitched = x_d + out[:, :-2].reshape(-1, KEYPOINTS, 3)
        stitched[..., :2] += out[:, None, -2:]
        return stitched

    def retarget_eyes(self, portrait: Portrait, ratios: Array) -> Array:
        """Offsets of the eye network; see Engine.retarget_eyes.

        The network knows one target for both eyes. With two different ones it is asked for each: the points of each
        eye take their own side's answer, all others the mean. Unknown ratios (NaN) move nothing.
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
        """Choose the precision by the self-test; on a GPU this runs every network, on the CPU only if half is asked."""
        self._ready()

    def describe(self) -> dict[str, str]:
        """What runs where; see Engine.describe."""
        import torch

        self._ready()
        chip = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else str(self.device)
        weights = "animals" if self.animals else "human"
        points = "face mesh" if self.landmarks is None else "203 points"
        own = {
            "device": chip, "precision": self.precision, "weights": weights, "landmarks": points,
            "torch": str(torch.__version__),
        }  # fmt: skip
        return super().describe() | own

    # ------------------------------------------------------------------ parts

    def _ready(self) -> PrecisionGuard:
        """The guard, after its self-test."""
        self._guard.self_test(self._test_frame)
        return self._guard

    def _test_frame(self) -> Tensor:
        """Draw a synthetic head in the pose of its mirror image."""
        image = self._image(_test_picture())
        return self._draw(*_mirror_case(image, self._appearance, lambda view: _floats(self._motion(view))))

    def _draw(self, features: SourceFeatures, driving: Tensor) -> Tensor:
        """(B, 3, 512, 512) float32 RGB, 0..1."""
        warp, draw = self.split(features)
        return draw(warp(driving))

    def split(self, features: SourceFeatures) -> tuple[Callable[[Tensor], Any], Callable[[Any], Tensor]]:
        """W and G apart, to be measured: (B, 21, 3) keypoints -> what G takes, and from there to pictures."""

        def warp(driving: Tensor) -> Any:
            count = len(driving)
            return self._warping(
                feature_3d=features.volume.expand(count, -1, -1, -1, -1),
                kp_source=features.keypoints.expand(count, -1, -1),
                kp_driving=driving,
            )["out"]

        def draw(out: Any) -> Tensor:
            picture: Tensor = self._generator(out)
            return picture.float()

        return warp, draw

    def _image(self, rgb: Image) -> Tensor:
        """(256, 256, 3) uint8 -> (1, 3, 256, 256) float32 in 0..1 on the device."""
        import torch

        return torch.from_numpy(rgb.transpose(2, 0, 1)[None].copy()).to(self.device).float() / 255.0

    def _tensor(self, values: Array) -> Tensor:
        import torch

        return torch.from_numpy(np.array(values, np.float32)).to(self.device)

    def _ratios(self, crop: Image, face: Face | None) -> tuple[Array, Array]:
        """Openings of the eyes (1, 2) and lips (1, 1); NaN without a face."""
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
        """(B, 21, 3) answer to the source's own ratios (1, n) and a target (B, 1); zeros where one is unknown."""
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


def load_engine(
    weights: Path | None = None,
    *,
    variant: Variant = "human",
    device: str = "auto",
    precision: Precision = "auto",
    threads: int = 0,
    batch: int = 0,
) -> TorchEngine:
    """The engine with the official weights.

    Args:
        weights: Folder of them (liveportrait.networks.loading.find_checkpoints says how it may look); None takes the
            installed ones (models.weights).
        variant: Whose weights: "human" or "animals".
        device: See TorchEngine.
        precision: See TorchEngine.
        threads: See TorchEngine.
        batch: See TorchEngine.

    Raises:
        ModelError: torch, the device or a weight file is missing, or a file isn't what its name says.
    """
    pick_device(device)
    from liveportrait.networks.loading import find_checkpoints

    if weights is None:
        from models.weights import find_model

        small = ("stitching", "eye", "lip")
        *base, shared = find_model(f"liveportrait/{variant}")
        checkpoints = {path.stem: path for path in base} | dict.fromkeys(small, shared)
    else:
        checkpoints = find_checkpoints(weights, variant)
    return TorchEngine.from_checkpoints(
        checkpoints, device=device, precision=precision, threads=threads, batch=batch, animals=variant == "animals"
    )


def _features(portrait: Portrait) -> SourceFeatures:
    if not isinstance(portrait.features, SourceFeatures):
        raise ValueError("This portrait was encoded by another engine; encode the source again with the torch engine.")
    return portrait.features


def _checked_keypoints(x_d: Array) -> Array:
    x_d = np.asarray(x_d, np.float32)
    if x_d.ndim != 3 or x_d.shape[1:] != (KEYPOINTS, 3):
        raise ValueError(f"Driving keypoints must have the shape (frames, {KEYPOINTS}, 3), not {x_d.shape}.")
    if not np.isfinite(x_d).all():
        raise ValueError("Driving keypoints hold values that are not numbers.")
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


def _mirror_case(image: Tensor, appearance: Any, motion: Any) -> tuple[SourceFeatures, Tensor]:
    """A test picture read by F and M, and the keypoints of its mirror image; all float32."""
    pair = motion(image), motion(image.flip(-1))
    source, driving = (heads["scale"][..., None] * heads["kp"].reshape(1, KEYPOINTS, 3) for heads in pair)
    return SourceFeatures(appearance(image).float(), source.float()), driving.float()


def _test_picture() -> Image:
    """(256, 256, 3) head-like ellipse on a gradient; not symmetric, so that its mirror image is another pose."""
    y, x = np.mgrid[-1.0 : 1.0 : INPUT_SIZE * 1j, -1.0 : 1.0 : INPUT_SIZE * 1j]
    head = 1.0 / (1.0 + np.exp(20.0 * ((x - 0.1) ** 2 / 0.3 + (y + 0.05) ** 2 / 0.5 - 1.0)))
    channels = [0.3 + 0.1 * x + 0.4 * head, 0.35 + 0.1 * y + 0.25 * head, 0.4 - 0.1 * x + 0.15 * head]
    return np.clip(255.0 * np.stack(channels, axis=-1), 0, 255).astype(np.uint8)


def _floats(heads: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.float() for name, tensor in heads.items()}


def _levels(pictures: Tensor) -> Image:
    """(B, 3, H, W) in 0..1 -> (B, H, W, 3) uint8, truncated."""
    import torch

    levels = (pictures.clamp(0.0, 1.0) * 255.0).to(torch.uint8)
    return np.ascontiguousarray(levels.permute(0, 2, 3, 1).cpu().numpy())
