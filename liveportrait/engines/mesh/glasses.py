"""Glasses and other things worn on a face: detects them and keeps their shape.

A warp bends everything that lies over the skin. Glasses are stiff, so where they are worn, the mesh between brows and
cheeks moves with the head only; lids, irises, mouth and forehead stay free, and brows for the most part.

They are found by edges: histograms of oriented gradients (Dalal and Triggs, CVPR 2005) of the strip over both eyes,
weighted by a logistic regression (tools/train_glasses.py).
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

import cv2
import numpy as np
import numpy.typing as npt

from liveportrait.engines.mesh.data import face_model, nearness
from liveportrait.engines.mesh.layout import Pose
from liveportrait.ramps import smoothstep
from models.topology import EYES

Float = npt.NDArray[np.float64]
Features = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]

STRIP = (96, 48)  # width and height in pixels
STRIP_WIDTH = 1.15  # in face widths
STRIP_DROP = 0.04  # distance of its middle below the line of the eyes, face widths
BINS = 8
CELL = 8  # pixels
CONTRAST = 1.0  # added to the norm of a block, so that flat blocks don't count
CLIP = 0.3
ZONE_FROM = (-0.26, -0.18)  # heights over which the stiff zone begins, face widths: brows lie at -0.25 to -0.18
LEAST, SURE = 0.5, 1.5  # log-odds from which the shape of glasses is partly kept, and fully kept


def wears_glasses(image: Image, pose: Pose) -> float:
    """Log-odds that a face wears glasses: above 0 means probably.

    Args:
        image: (S, S, 3) uint8 RGB.
        pose: Pose of the mean face in image pixels.
    """
    strip = eye_strip(image, pose)
    weights, offset = _model()
    both = [edge_histograms(strip), edge_histograms(np.ascontiguousarray(strip[:, ::-1]))]
    return float(np.mean(both, axis=0) @ weights + offset)


def stiffness(log_odds: float) -> Float | None:
    """(478, 1) share of its expression that each point loses, 0..1; None where no glasses are found."""
    share = float(np.clip((log_odds - LEAST) / (SURE - LEAST), 0, 1))
    return share * _zone() if share else None


def stiff_points(image: Image, pose: Pose, points: Float, worn: Features | None) -> Float | None:
    """(478, 1) share of its expression that each point loses to glasses and other worn things; None if there are none.

    Args:
        image: (S, S, 3) uint8 RGB.
        pose: Pose of the mean face in image pixels.
        points: (478, 3) mesh in image pixels.
        worn: (S, S) 0..1 mask of other worn things; None if there are none.
    """
    held = stiffness(wears_glasses(image, pose))
    if worn is None:
        return held
    at = np.round(points[:, :2]).astype(int).clip(0, len(worn) - 1)
    own = worn[at[:, 1], at[:, 0], None].astype(np.float64)
    if own[[eye.iris for eye in EYES]].min() > LEAST:  # dark glasses, even if their frame is not recognised
        own = np.maximum(own, _zone())
    return own if held is None else np.maximum(own, held)


def eye_strip(image: Image, pose: Pose) -> Image:
    """(48, 96) uint8 grey image of both eyes, upright and at a fixed scale."""
    mean = face_model().mean.astype(np.float64)
    width, height = STRIP
    step = STRIP_WIDTH / width
    grey = cv2.cvtColor(np.ascontiguousarray(image[..., :3]), cv2.COLOR_RGB2GRAY)
    shrink = pose.scale * step
    if shrink > 1:
        grey = np.asarray(cv2.GaussianBlur(grey, (0, 0), 0.5 * shrink), np.uint8)
    corner = np.array([-(width - 1) / 2 * step, STRIP_DROP - (height - 1) / 2 * step, 0.0])
    start = pose.apply((mean[[eye.outer for eye in EYES]].mean(0) + corner)[None])[0, :2]
    matrix = np.column_stack([pose.scale * pose.rotation[:2, :2] * step, start])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(grey, matrix, STRIP, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def edge_histograms(strip: Image) -> Features:
    """(1760,) histograms of oriented gradients of a strip, in overlapping blocks of 2 x 2 cells."""
    grey = strip.astype(np.float32)
    dx, dy = cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=1), cv2.Sobel(grey, cv2.CV_32F, 0, 1, ksize=1)
    size = np.hypot(dx, dy)
    place = (np.arctan2(dy, dx) % np.pi) * (BINS / np.pi)
    low = np.floor(place)
    share, first = (place - low).astype(np.float32), low.astype(int) % BINS
    height, width = grey.shape
    yy, xx = np.mgrid[:height, :width]
    votes = np.zeros((BINS, height, width), np.float32)
    votes[first, yy, xx] += size * (1 - share)
    votes[(first + 1) % BINS, yy, xx] += size * share
    cells = votes.reshape(BINS, height // CELL, CELL, width // CELL, CELL).mean((2, 4)).transpose(1, 2, 0)
    blocks = np.concatenate([cells[:-1, :-1], cells[1:, :-1], cells[:-1, 1:], cells[1:, 1:]], axis=-1)
    norm = np.linalg.norm(blocks, axis=-1, keepdims=True) + CONTRAST
    return np.asarray(np.minimum(blocks / norm, CLIP), np.float32).ravel()


@lru_cache(maxsize=1)
def _model() -> tuple[Features, float]:
    with (files("assets") / "mesh" / "glasses.npz").open("rb") as stream, np.load(stream) as data:
        return data["weights"].astype(np.float32), float(data["offset"])


@lru_cache(maxsize=1)
def _zone() -> Float:
    """(478, 1) 1 where glasses lie: from below the brows to the upper cheeks, except on lids and irises."""
    mean = face_model().mean.astype(np.float64)
    y = mean[:, 1]
    zone = smoothstep(*ZONE_FROM, y) * (1 - smoothstep(0.08, 0.24, y))
    free = nearness(face_model().mean, [i for eye in EYES for i in eye.ring], 0.04).astype(np.float64)
    free[[eye.iris + i for eye in EYES for i in range(5)]] = 1
    return (zone * (1 - free))[:, None]
