"""Image comparison: similarity, sharpness, and misplaced or moving background."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from liveportrait.crop import Crop
from liveportrait.options import AnimationOptions
from measuring.heads import Float, Head, Image
from models.topology import OVAL

Mask = npt.NDArray[np.bool_]
Grey = npt.NDArray[np.float32]
COLOURS = 24
"""Number of representative colours for a face, and for the background."""
PATTERNED = 0.03
"""Share of the background that must have texture for its shift to be measurable."""
FOREIGN = 8.0
"""Distance in CIELAB from every colour of a face above which a pixel does not belong to it. Of 24 portraits with a
patch of background on a cheek, 84 % are detected; intact ones have at most 0.2 % of such pixels."""


def grey_of(picture: Image) -> Grey:
    """Lightness (H, W), 0..255."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.float32)


def ssim_map(a: Image, b: Image) -> Grey:
    """Structural similarity at every pixel (Wang et al. 2004: Gaussian window of 1.5 pixels)."""
    x, y = grey_of(a), grey_of(b)

    def mean(values: Grey) -> Grey:
        return np.asarray(cv2.GaussianBlur(values, (11, 11), 1.5), np.float32)

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return np.asarray((2 * mx * my + c1) * (2 * cov + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2)), np.float32)


def ssim(a: Image, b: Image) -> float:
    """Mean structural similarity of two images of the same size."""
    return float(ssim_map(a, b).mean())


def psnr(difference: Float) -> float:
    """Peak signal-to-noise ratio in dB of differences in grey levels; 99 if there are none."""
    error = float(np.mean(np.square(difference, dtype=np.float64)))
    return 99.0 if error < 1e-3 else float(10 * np.log10(255**2 / error))


def detail(picture: Image) -> float:
    """Energy of details finer than about four pixels, in squared grey levels."""
    grey = grey_of(picture)
    return float(np.square(grey - cv2.GaussianBlur(grey, (0, 0), 1.5)).mean())


def oval_mask(shape: tuple[int, ...], head: Head, shrink: float = 0.0) -> Mask:
    """Mask (H, W) of the inside of a face's outline, shrunk by a fraction of the face width."""
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(head.points[list(OVAL)]).astype(np.int32)], 1)
    reach = round(shrink * head.width)
    if reach > 0:
        mask = np.asarray(cv2.erode(mask, np.ones((2 * reach + 1,) * 2, np.uint8), borderValue=0), np.uint8)
    return mask > 0


# ---- background inside the face -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Palette:
    """Colours of one photo in CIELAB.

    Attributes:
        face: (N, 3) of the face.
        behind: (M, 3) of the background; M may be 0.
    """

    face: Float
    behind: Float

    @classmethod
    def of(cls, picture: Image, head: Head, matte: Grey) -> Palette:
        """Colours of a photo with a known person matte (H, W), 0 background to 1 person."""
        lab = _lab(picture)
        inside = oval_mask(picture.shape, head, 0.02)
        reach = 2 * round(0.04 * head.width) + 1
        near = cv2.dilate((matte > 0.2).astype(np.uint8), np.ones((reach, reach), np.uint8)) == 0
        return cls(_centres(lab[inside]), _centres(lab[near]))

    def foreign(self, picture: Image, head: Head) -> float:
        """Share of a face that has a colour of the background and none of the face, 0..1."""
        if not len(self.behind):
            return 0.0
        inside = oval_mask(picture.shape, head, 0.03)
        if not inside.any():
            return 0.0
        lab = _lab(picture)[inside]
        face, behind = _distance(lab, self.face), _distance(lab, self.behind)
        return float(((face > FOREIGN) & (behind < 0.5 * face)).mean())


def _lab(picture: Image) -> Grey:
    """CIELAB (H, W, 3) without specks."""
    return np.asarray(cv2.cvtColor(cv2.medianBlur(picture, 3).astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)


def _centres(colours: Float) -> Float:
    """Representative colours of (N, 3)."""
    if len(colours) < 4 * COLOURS:
        return np.zeros((0, 3), np.float32)
    some = np.ascontiguousarray(colours[:: max(1, len(colours) // 4000)], np.float32)
    cv2.setRNGSeed(1)
    until = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 0.5)
    _, _, centres = cv2.kmeans(some, COLOURS, np.zeros((len(some), 1), np.int32), until, 2, cv2.KMEANS_PP_CENTERS)
    return np.asarray(centres)


def _distance(colours: Float, centres: Float) -> Float:
    """(N,) distances to the nearest centre."""
    return np.asarray(np.linalg.norm(colours[:, None] - centres[None], axis=2).min(1))


# ---- background that moves ------------------------------------------------------------------------------------------


class Still:
    """The background inside a photo's crop, which should stand still.

    Args:
        photo: (H, W, 3).
        head: Its head.
        matte: (H, W) 0 background to 1 person.
    """

    AWAY = 0.12
    """Minimum distance of background from the person in face widths; nearer, a moving outline may rightly cover it."""
    TEXTURE = 6.0
    """Minimum gradient in grey levels per pixel for which a shift of the background is measurable."""

    def __init__(self, photo: Image, head: Head, matte: Grey) -> None:
        self.grey = grey_of(photo)
        self._photo = photo.astype(np.int16)
        crop = Crop.from_face(head.face, AnimationOptions(), 512)
        square = cv2.warpAffine(
            np.full((crop.size, crop.size), 255, np.uint8), crop.inverse[:2], (photo.shape[1], photo.shape[0])
        )
        reach = 2 * round(self.AWAY * head.width) + 1
        person = cv2.dilate((matte > 0.1).astype(np.uint8), np.ones((reach, reach), np.uint8))
        self.mask: Mask = (square > 250) & (person == 0)
        slope = cv2.magnitude(*(cv2.Scharr(self.grey, cv2.CV_32F, dx, 1 - dx) / 32 for dx in (1, 0)))
        self.textured: Mask = self.mask & (slope > self.TEXTURE)

    def change(self, picture: Image) -> float | None:
        """Mean difference of that background from the photo, in grey levels; None if there is hardly any."""
        if self.mask.sum() < 200:
            return None
        return float(np.abs(picture[self.mask] - self._photo[self.mask]).mean())

    def shift(self, picture: Image) -> float | None:
        """Shift of its texture in pixels relative to the photo (95th percentile); None without texture."""
        if self.textured.sum() < max(200, PATTERNED * self.mask.sum()):
            return None
        before, now = self.grey.astype(np.uint8), grey_of(picture).astype(np.uint8)
        flow = np.zeros((*before.shape, 2), np.float32)
        cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST).calc(before, now, flow)
        return float(np.percentile(np.linalg.norm(flow, axis=2)[self.textured], 95))
