"""Shading that comes with a smile (tools/make_smile.py): folds beside the nose, cheeks over them, lower lids."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import cv2
import numpy as np
import numpy.typing as npt

from liveportrait.engines.mesh import fit
from liveportrait.engines.mesh.cheeks import corner_smiles
from liveportrait.engines.mesh.data import face_model
from liveportrait.engines.mesh.geometry import polygon_mask
from liveportrait.engines.mesh.layout import Layout, mesh_triangles
from liveportrait.engines.mesh.raster import rasterise
from liveportrait.ramps import smoothstep
from models.topology import CHEEKS, FACE_POINTS, POINTS

Float = npt.NDArray[np.float64]
Picture = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]

MAP_SIZE = 160  # pixels of the map of the face, 1.2 face widths
STEPS = 400.0  # map values per unit of the logarithm of brightness
STRENGTH = 2.1  # gain: averaged over many faces, the folds are flatter than on any single one
MOST = 1.25  # strongest smile for which shading increases
UNDONE = 0.5  # share of its shading that a photo's own smile loses when it goes: the rest is the person's own
SHADOW_CHROMA = 2.2  # how much redder than itself the shadow on skin is
FOLDS = (129, 203, 206, 216, 207, 187, 205, 36), (358, 423, 426, 436, 427, 411, 425, 266)  # points around either fold
CREASED = 0.02, 0.1  # depth of the lines there, logarithm of brightness: of smooth skin, and of skin with folds
SMOOTH = 0.55  # strength of the shading on smooth skin, relative to skin with folds
_EDGE = (-0.6, -0.45)  # position of the map's corner, face widths


@dataclass(frozen=True)
class SmileShading:
    """Effect of a full smile on a source.

    Attributes:
        own: How much the source itself smiles.
        halves: For the left and the right of the image: window (x0, y0, x1, y1), and its pixels under a full smile
            beyond the source's own.
    """

    own: float
    halves: tuple[tuple[tuple[int, int, int, int], Image], ...]

    def shaded(self, crop: Image, shape: Float, source: Float) -> Image:
        """The source crop (S, S, 3 or 4) shaded for a new canonical shape (478, 3); unchanged if the shading is."""
        out = crop
        for (window, smiling), amount in zip(self.halves, self._amounts(shape, source), strict=True):
            if abs(amount) < 0.02:
                continue
            if out is crop:
                out = crop.copy()
            x0, y0, x1, y1 = window
            part = np.ascontiguousarray(crop[y0:y1, x0:x1, :3])
            out[y0:y1, x0:x1, :3] = cv2.addWeighted(part, 1 - amount, smiling, amount, 0)
        return out

    def _amounts(self, shape: Float, source: Float) -> list[float]:
        """Change of either half's smile, in full smiles."""
        out = []
        for way in corner_smiles(shape, source):
            change = float(np.clip(self.own + way, 0, MOST) - np.clip(self.own, 0, MOST))
            out.append(change if change > 0 else UNDONE * change)
        return out


@lru_cache(maxsize=1)
def map_places() -> Picture:
    """(478, 3) positions of the points of a resting mean face on the map."""
    model = face_model()
    rest = model.mean + sum(np.float32(amount) * model.bases[name] for name, amount in fit.RESTING.items())
    scale = MAP_SIZE / 1.2
    out = np.zeros((POINTS, 3), np.float32)
    out[:, :2] = (rest[:, :2] - np.asarray(_EDGE, np.float32)) * scale - 0.5
    out[:, 2] = rest[:, 2] * scale
    return out


@lru_cache(maxsize=1)
def _shading() -> Picture:
    """(MAP_SIZE, MAP_SIZE) change of the logarithm of brightness in a full smile."""
    with (files("assets") / "mesh" / "smile.npz").open("rb") as stream, np.load(stream) as data:
        return data["shading"].astype(np.float32) * np.float32(STRENGTH / STEPS)


def _shadow_tint(image: Image, layout: Layout) -> Picture:
    """(3,) how much each channel darkens in a shadow on skin, about 1: skin gets redder and deeper, grey stays grey."""
    places = np.round(layout.rest[list(CHEEKS), :2]).astype(int).clip(0, image.shape[0] - 1)
    skin = np.median(image[places[:, 1], places[:, 0]].astype(np.float32), 0) + 1
    return np.asarray(np.clip(1 + SHADOW_CHROMA * (1 - skin / skin.mean()), 0.6, 1.4), np.float32)


def _strength(image: Image, layout: Layout) -> float:
    """How deep the folds of this face get, relative to the usual ones: those of smooth skin stay shallow.

    A face that has lines beside its nose at rest shows deeper ones in a smile. They are looked for in the brightness of
    both sides, between two scales; the smoother side counts, the other may lie in a shadow.
    """
    scale = layout.pose.scale
    grey = np.log(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) + 8)
    lines = cv2.GaussianBlur(grey, (0, 0), 0.012 * scale) - cv2.GaussianBlur(grey, (0, 0), 0.04 * scale)
    depths = []
    for ring in FOLDS:
        hull = np.asarray(cv2.convexHull(layout.rest[list(ring), :2].astype(np.float32))[:, 0], np.float64)
        mask = polygon_mask(grey.shape[0], grey.shape[1], hull) > 0.5
        depths.append(-float(np.quantile(lines[mask], 0.03)) if mask.sum() > 20 else CREASED[1])
    return SMOOTH + (1 - SMOOTH) * float(smoothstep(*CREASED, min(depths)))


def build_shading(image: Image, layout: Layout) -> SmileShading:
    """Shade a source (S, S, 3) as if it smiled."""
    size = image.shape[0]
    places = np.full((POINTS, 3), -9.0, np.float32)
    places[:] = map_places()
    canvas = np.full((size, size, 3), -9.0, np.float32)
    field = rasterise(mesh_triangles(), layout.rest[:POINTS].astype(np.float32), places, canvas)
    shading = cv2.remap(
        _shading(), field[..., 0].copy(), field[..., 1].copy(), cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
    )
    shading = cv2.GaussianBlur(shading, (0, 0), max(0.5, 0.004 * layout.pose.scale))
    face = layout.rest[:FACE_POINTS, :2]
    low = np.floor(face.min(0)).astype(int).clip(0, size - 1)
    high = np.ceil(face.max(0)).astype(int).clip(1, size)
    middle = int(np.clip(round(float(layout.rest[[2, 13, 152], 0].mean())), low[0] + 1, high[0] - 1))
    tint = _shadow_tint(image, layout) * np.float32(_strength(image, layout))
    halves = []
    for x0, x1 in ((int(low[0]), middle), (middle, int(high[0]))):
        window = x0, int(low[1]), x1, int(high[1])
        part = np.s_[window[1] : window[3], x0:x1]
        smiling = image[part].astype(np.float32) * np.exp(shading[part][..., None] * tint)
        halves.append((window, np.clip(smiling + 0.5, 0, 255).astype(np.uint8)))
    return SmileShading(float(np.clip(fit.smile_amount(layout.canonical), 0, MOST)), tuple(halves))
