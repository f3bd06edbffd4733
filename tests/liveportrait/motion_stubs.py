"""Engines for tests: numbers and pictures that can be checked by hand."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from liveportrait.engines.base import Engine, Portrait
from liveportrait.motion import Array, Motion, keypoints
from models import topology
from models.face import Face

PARITY = Path(__file__).resolve().parents[1] / "parity"


def load_recipe():
    """The weight recipe of the parity fixtures."""
    spec = importlib.util.spec_from_file_location("parity_recipe", PARITY / "recipe.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def mask_of(points: Mapping[int, str], k: int = 21) -> np.ndarray:
    """(K, 3) mask from point -> axes."""
    mask = np.zeros((k, 3), bool)
    for point, axes in points.items():
        mask[point, ["xyz".index(a) for a in axes]] = True
    return mask


LIP = mask_of(dict.fromkeys((6, 12, 14, 17, 19, 20), "xyz"))
EYES = mask_of(dict.fromkeys((11, 13, 15, 16, 18), "xyz"))
OFFICIAL = mask_of(
    dict.fromkeys((1, 2, 6, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20), "xyz") | {3: "y", 4: "y", 5: "z", 8: "z", 9: "yz"}
)
ALL = np.ones((21, 3), bool)


class IdentityEngine(Engine):
    """Returns the source crop whatever the motion; keeps what it was asked for."""

    name = "identity"
    family = "liveportrait21"
    keypoints = 21
    crop_size = 128
    regions: ClassVar = {"all": ALL, "exp": ALL, "lip": LIP, "eyes": EYES, "official": OFFICIAL}
    alpha = True

    def __init__(self) -> None:
        self.drawn: list[Array] = []
        self.eye_targets: list[Array] = []
        self.lip_targets: list[Array] = []

    def encode(self, crop, face):
        motion = still_motion(1)
        canonical = np.linspace(-0.5, 0.5, 63, dtype=np.float32).reshape(21, 3)
        return Portrait(motion, canonical, keypoints(canonical, motion, self.delta_space), crop)

    def read_motion(self, crop, face):
        return still_motion(1)

    def render(self, portrait, x_d):
        self.drawn.append(x_d)
        return np.repeat(portrait.crop[None], len(x_d), axis=0)

    def stitch(self, portrait, x_d):
        return x_d

    def retarget_eyes(self, portrait, ratios):
        self.eye_targets.append(ratios)
        offsets = np.zeros((len(ratios), self.keypoints, 3), np.float32)
        offsets[:, 11, 1] = portrait.motion.eye_ratio[0, 0] - ratios[:, 0]
        offsets[:, 15, 1] = portrait.motion.eye_ratio[0, 1] - ratios[:, 1]
        return offsets

    def retarget_lips(self, portrait, ratios):
        self.lip_targets.append(ratios)
        offsets = np.zeros((len(ratios), self.keypoints, 3), np.float32)
        offsets[:, 19, 1] = ratios[:, 0] - portrait.motion.lip_ratio[0, 0]
        return offsets

    def slider_delta(self, portrait, sliders):
        return np.zeros((1, self.keypoints, 3), np.float32)


def still_motion(n: int, k: int = 21, **changes: Array) -> Motion:
    """N neutral frames; arrays by name replace the defaults."""
    values = {
        "rotation": np.tile(np.eye(3, dtype=np.float32), (n, 1, 1)),
        "translation": np.zeros((n, 3), np.float32),
        "scale": np.ones((n, 1), np.float32),
        "delta": np.zeros((n, k, 3), np.float32),
        "eye_ratio": np.full((n, 2), 0.3, np.float32),
        "lip_ratio": np.zeros((n, 1), np.float32),
    }
    values.update({name: np.asarray(a, np.float32) for name, a in changes.items()})
    return Motion(**values, engine="liveportrait21")


class ParityEngine(IdentityEngine):
    """The stitching and retargeting networks of the fixtures, in plain numpy."""

    def __init__(self) -> None:
        super().__init__()
        self._layers = {}
        recipe = load_recipe()
        for name in ("stitching", "lip", "eye"):
            spec = recipe.load_spec(PARITY / "net_state_dict" / f"{name}.json")
            weights = recipe.make_state_dict(name, spec)
            order = sorted({int(key.split(".")[1]) for key in weights})
            self._layers[name] = [(weights[f"mlp.{i}.weight"], weights[f"mlp.{i}.bias"]) for i in order]

    def _run(self, name: str, *inputs: Array) -> Array:
        count = max(len(a) for a in inputs)
        x = np.concatenate([np.broadcast_to(a.reshape(len(a), -1), (count, a[0].size)) for a in inputs], axis=1)
        layers = self._layers[name]
        for i, (weight, bias) in enumerate(layers):
            x = x @ weight.T + bias
            if i < len(layers) - 1:
                x = np.maximum(x, 0)
        return x.astype(np.float32)

    def stitch(self, portrait, x_d):
        out = self._run("stitching", portrait.keypoints, x_d)
        x = x_d + out[:, :63].reshape(-1, 21, 3)
        x[..., :2] += out[:, None, 63:]
        return x

    def retarget_eyes(self, portrait, ratios):
        pair = portrait.motion.eye_ratio
        return self._run("eye", portrait.keypoints, pair, ratios[:, :1]).reshape(-1, 21, 3)

    def retarget_lips(self, portrait, ratios):
        return self._run("lip", portrait.keypoints, portrait.motion.lip_ratio, ratios).reshape(-1, 21, 3)


class ShiftEngine(IdentityEngine):
    """Moves the crop to the right by the shift of the keypoints."""

    name = "shift"

    def render(self, portrait, x_d):
        self.drawn.append(x_d)
        frames = []
        for x in x_d:
            move = (x - portrait.keypoints[0])[:, 0].mean() * self.crop_size / 2
            frames.append(np.roll(portrait.crop, round(float(move)), axis=1))
        return np.stack(frames)


def round_face(x: float, y: float, radius: float, angle: float = 0.0) -> Face:
    """A face of 478 points: all on an ellipse but the ones that the crop looks at; angle in degrees, clockwise."""
    turns = np.linspace(0, 2 * np.pi, 478, endpoint=False)
    points = np.stack([0.8 * np.cos(turns), np.sin(turns), np.zeros(478)], axis=1)
    for eye, sign in zip(topology.EYES, (-1, 1), strict=True):
        points[list(eye.ring)] = (0.35 * sign, -0.25, 0)
    points[list(topology.LIPS)] = (0, 0.45, 0)
    a = np.deg2rad(angle)
    turned = points[:, :2] @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
    points[:, :2] = turned * radius + (x, y)
    return Face(points.astype(np.float32), 1.0)
