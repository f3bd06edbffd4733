"""Drawing of faces placed by hand: pets have no human teeth, and drawn eyes no white to fill in.

Everything inside their eyes and open mouths is the image's own. The content of an eye moves as a whole with the gaze,
so that drawn highlights and slit pupils stay as they are; an open mouth is stretched and squeezed by the mesh.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from liveportrait.engines.mesh.eyes import RIM, EyeLayer, eye_patch
from liveportrait.engines.mesh.geometry import closed_curve, polygon_mask
from liveportrait.engines.mesh.mouth import OPEN, MouthLayer

Float = npt.NDArray[np.float64]
Picture = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]

EDGE: Final = 0.13  # eye widths inside the lids from which hidden eye content is extrapolated: clear of the lid line
EYE_BEHIND: Final = 0.3  # depth of such an eye behind its lids, face widths
ALIKE: Final = 28.0  # steps of colour by which skin beside the eye may differ from the median
DEPTH: Final = np.array([46, 18, 22], np.float32)  # colour of the depth of a mouth that is shut in the source
TONGUE: Final = np.array([178, 88, 92], np.float32)
GREY: Final = 6.0  # mean chroma up to which an image counts as black and white


def own_eye(layer: EyeLayer, image: Image, points: Float) -> EyeLayer:
    """An eye with the image's own content in one piece, and its lid in the colour around it.

    Args:
        layer: The eye as that of a person.
        image: (S, S, 3) source crop.
        points: (478, 3) crop pixels.
    """
    pixels = eye_patch(image, layer.corners.mean(0), layer.zoom, layer.size).astype(np.float32)
    n, eye = layer.size, layer.eye
    width = float(np.linalg.norm(layer.corners[0] - layer.corners[1])) * layer.zoom

    def local(indices: tuple[int, ...]) -> Float:
        return (points[list(indices), :2] - layer.corners.mean(0)) * layer.zoom + n / 2

    inside = polygon_mask(n, n, closed_curve(local(eye.ring))) > 0.5
    depth = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 5)
    content = _spread(pixels, depth > min(EDGE * width, 0.7 * float(depth.max())))
    kept = np.clip(depth / width / RIM - 1, 0, 1)[..., None].astype(np.float32)
    content += (pixels - content) * kept
    around = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, 5) / width
    places = np.clip(np.round(local((*eye.upper_rings[7:], *eye.lower_rings[9:]))), 0, n - 1).astype(int)
    usual = np.median(pixels[places[:7, 1], places[:7, 0]], 0)
    alike = np.abs(pixels - usual).max(2) < ALIKE
    lid = _spread(pixels, (around > 0.04) & (around < 0.6) & alike) if alike.any() else layer.lid
    return replace(layer, iris=content, iris_mask=np.ones((n, n), np.float32), lid=lid, flat=True)


def own_mouth(layer: MouthLayer, image: Image) -> MouthLayer:
    """A mouth without teeth: an open one shows the image's own pixels, a shut one opens on depth and a tongue.

    Args:
        layer: The mouth as that of a person.
        image: (S, S, 3) source crop.
    """
    if layer.gap > OPEN:
        return replace(layer, inside="photo")
    dark, tongue = DEPTH, TONGUE
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)[..., 1:].astype(np.float32) - 128
    if float(np.hypot(lab[..., 0], lab[..., 1]).mean()) < GREY:
        dark, tongue = (np.full(3, colour.mean(), np.float32) for colour in (DEPTH, TONGUE))
    return replace(layer, inside="plain", dark=dark, tongue=tongue)


def _spread(pixels: Picture, known: npt.NDArray[np.bool_]) -> Picture:
    """A patch (N, N, 3) with known pixels (N, N) kept, and unknown ones copied from the nearest known one."""
    if not known.any():
        return pixels
    away, labels = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    nearest = np.zeros((int(labels.max()) + 1, 3), np.float32)
    nearest[labels[known]] = pixels[known]
    spread = nearest[labels]
    soft = cv2.GaussianBlur(spread, (0, 0), max(1.0, 0.02 * len(pixels)))
    share = np.clip(away / max(2.0, 0.02 * len(pixels)), 0, 1)[..., None]
    return np.asarray(spread + (soft - spread) * share, np.float32)
