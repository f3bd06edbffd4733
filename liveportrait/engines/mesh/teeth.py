"""Teeth, gums and tongue that a closed mouth does not show: relief maps of a 3-D head in the colours of a photo."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import cv2
import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]
Picture = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]

# The maps lie in the plane of the face: x from the middle, y down from the resting lip line, in face widths.
LEFT, RIGHT, TOP, BOTTOM = -0.24, 0.24, -0.20, 0.24
MAP_SCALE = 533.0  # pixels of a map per face width
WARMER = 0.4  # light lost in the mouth's shade takes on this share of the colour of the gums, which are all around
CONTRAST = 0.38  # strength of the relief of teeth: more looks chiselled, unlike teeth in real clips
USUAL_SHADE = 0.93  # of the front of an incisor in the maps
INSIDE_DARKENS = 1.2  # loss of light of a tooth per face width that it lies further back
BLUR = 0.0056  # blur of the relief, face widths
PERSONAL = 0.07  # variation of arches in width and height, as a share


@dataclass(frozen=True)
class Rows:
    """Both rows of teeth with their gums, as images in the plane of the face.

    Attributes:
        upper: (H, W, 4) colour times cover, and cover 0..1; fixed to the skull.
        lower: The same of the lower row, with the jaw shut.
        gum: (H, W) share of the cover of the upper row that is gum, 0..1.
    """

    upper: Picture
    lower: Picture
    gum: Picture


@dataclass(frozen=True)
class Character:
    """How a person's teeth differ from the mean, each about -1..1."""

    width: float
    height: float
    lightness: float
    uneven: float


@lru_cache(maxsize=1)
def _maps() -> dict[str, Picture]:
    """Name -> (H, W, 4): cover of teeth, cover of gums (0..1), shade (about 0..1.3), depth in face widths."""
    with (files("assets") / "mesh" / "mouth.npz").open("rb") as stream, np.load(stream) as data:
        steps = np.array([255, 255, 160, 400], np.float32)
        return {name: data[name].astype(np.float32) / steps for name in ("upper", "lower")}


def character(canonical: Float) -> Character:
    """Teeth that go with a face: always the same for one person, and different for another.

    Args:
        canonical: (478, 3) canonical source. Only measures that no expression changes are used.
    """
    pairs = ((133, 362), (168, 2), (172, 397), (33, 263))
    lengths = np.array([np.linalg.norm(canonical[a, :2] - canonical[b, :2]) for a, b in pairs])
    # Means and deviations of these measures over 782 portraits.
    eyes, nose, jaw, lids = (lengths - [0.245, 0.353, 0.807, 0.627]) / [0.0124, 0.0153, 0.0271, 0.0149]
    mixed = np.tanh(0.7 * np.array([jaw - 0.4 * nose, nose + 0.4 * eyes, lids - eyes, 1.7 * eyes + 1.3 * nose]))
    return Character(*(float(value) for value in mixed))


def build_rows(tooth: Picture, gum: Picture, own: Character, scale: float, softness: float, grain: Picture) -> Rows:
    """Colour the relief for one portrait.

    Args:
        tooth: (3,) colour of the front teeth, 0..255.
        gum: (3,) colour of the gums.
        own: The person's individual features.
        scale: Pixels of the portrait per face width.
        softness: Blur of the portrait in its pixels (standard deviation).
        grain: (H, W) texture of the portrait's surface (see grain_of).
    """
    sigma = MAP_SCALE * max(BLUR, softness / scale)
    colour = np.asarray(tooth * (1 + 0.05 * own.lightness), np.float32)
    losses = np.asarray(1 - WARMER * (gum / max(float(gum.mean()), 1.0) - 1), np.float32)  # exponents of the light
    pictures, gums = [], []
    for name in ("upper", "lower"):
        relief = _reshaped(_maps()[name], own, upper=name == "upper")
        teeth, soft, shade, depth = cv2.split(relief)
        light = np.clip(1 - INSIDE_DARKENS * depth, 0.2, 1) * grain
        bright = np.clip(1 + CONTRAST * (shade - USUAL_SHADE), 0.2, 1.16) * light
        pink = np.clip(0.9 + 0.5 * (shade - 0.6), 0.3, 1.1) * light
        picture = np.empty((*teeth.shape, 4), np.float32)
        crowns = colour * teeth[..., None] * bright[..., None] ** losses
        picture[..., :3] = crowns + gum * ((1 - teeth) * soft * pink)[..., None]
        picture[..., 3] = teeth + (1 - teeth) * soft
        pictures.append(np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.float32))
        gums.append(np.asarray(cv2.GaussianBlur((1 - teeth) * soft, (0, 0), sigma), np.float32))
    return Rows(pictures[0], pictures[1], gums[0])


def _reshaped(relief: Picture, own: Character, *, upper: bool) -> Picture:
    """A map whose row is a little wider or narrower, longer or shorter, and not quite even."""
    h, w = relief.shape[:2]
    x = np.linspace(LEFT, RIGHT, w, dtype=np.float32)[None] / np.float32(1 + PERSONAL * own.width)
    y = np.linspace(TOP, BOTTOM, h, dtype=np.float32)[:, None]
    edge = np.float32(0.011 if upper else -0.005)  # from which the crowns grow
    grown = np.float32(1 + (PERSONAL + 0.03) * own.height)
    wave = 0.0022 * np.sin(41 * x + 9 * own.uneven) + 0.0018 * own.uneven * np.sin(67 * x + 2)
    places_y = edge + (y - edge - np.asarray(wave, np.float32)) / grown
    return look_up(relief, np.broadcast_to(x, (h, w)), places_y)


def look_up(picture: Picture, x: Picture, y: Picture) -> Picture:
    """A map (H, W) or (H, W, C) sampled at skull coordinates (h, w); beyond its edge the edge value continues."""
    h, w = picture.shape[:2]
    px = (x - np.float32(LEFT)) * np.float32((w - 1) / (RIGHT - LEFT))
    py = (y - np.float32(TOP)) * np.float32((h - 1) / (BOTTOM - TOP))
    return np.asarray(cv2.remap(picture, px, py, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)


def grain_of(image: Image, centres: Float, scale: float) -> Picture:
    """Texture of a portrait's surface as a factor about 1, in the shape of a map.

    Args:
        image: (S, S, 3) source crop.
        centres: (N, 2) positions on plain skin, pixels: the one with the median texture is used.
        scale: Pixels per face width.
    """
    shape = _maps()["upper"].shape[:2]
    side = max(8, round(0.09 * scale))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    patches = []
    for x, y in np.round(centres - side / 2).astype(int):
        patch = grey[max(y, 0) : y + side, max(x, 0) : x + side]
        if patch.shape == (side, side):
            rough = patch / (cv2.GaussianBlur(patch, (0, 0), 0.02 * scale) + 1)
            patches.append((float(rough.std()), np.clip(rough / rough.mean(), 0.8, 1.25)))
    if not patches:
        return np.ones(shape, np.float32)
    patches.sort(key=lambda pair: pair[0])
    size = max(2, round(side * MAP_SCALE / scale))
    tile = cv2.resize(patches[len(patches) // 2][1], (size, size), interpolation=cv2.INTER_LINEAR)
    tile = np.block([[tile, tile[:, ::-1]], [tile[::-1], tile[::-1, ::-1]]])
    repeats = [-(-n // (2 * size)) for n in shape]
    return np.asarray(np.tile(tile, repeats)[: shape[0], : shape[1]], np.float32)


def blur_of(image: Image, points: Float) -> float:
    """Blur of a portrait as the standard deviation of a Gaussian, in pixels of the crop.

    Blurring once more weakens edges of sharpness s by a factor of s / sqrt(s^2 + 1).

    Args:
        image: (S, S, 3) source crop.
        points: (N, 2) points around the part of the face that is measured, pixels.
    """
    low, high = np.floor(points.min(0)).astype(int).clip(0), np.ceil(points.max(0)).astype(int) + 1
    grey = cv2.cvtColor(image[low[1] : high[1], low[0] : high[0]], cv2.COLOR_RGB2GRAY).astype(np.float32)
    if min(grey.shape) < 8:
        return 0.5
    strong = [
        float(np.quantile(cv2.magnitude(*(cv2.Scharr(part, cv2.CV_32F, dx, 1 - dx) for dx in (1, 0))), 0.98))
        for part in (grey, cv2.GaussianBlur(grey, (0, 0), 1.0))
    ]
    kept = min(strong[1] / max(strong[0], 1e-6), 0.97)
    return float(kept / np.sqrt(1 - kept * kept))
