"""Mouth layer: the interior that a closed mouth has never shown (cavity, tongue, teeth fixed to the skull)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from liveportrait.engines.mesh.fit import resting_mouth
from liveportrait.engines.mesh.geometry import closed_curve, lip_gap, polygon_mask
from liveportrait.engines.mesh.layout import Layout, Pose
from liveportrait.ramps import smoothstep
from models.topology import CHEEKS, LIP_UPPER_INNER, LIPS_INNER, LIPS_OUTER

Float = npt.NDArray[np.float64]
Picture = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class MouthLayer:
    """Colours and measures of the source's mouth.

    Attributes:
        gap: Inner lip gap of the source in face widths.
        dark: (3,) colour of the depth of the mouth.
        tongue: (3,) colour.
        tooth: (3,) colour.
        gum: (3,) colour.
        line: (3,) canonical place of the middle of the resting lip line.
        chin: Canonical height (y) of the chin with a resting mouth.
        own: (S, S, 3) source crop whose mouth is open, else None.
        own_mask: (S, S) where its interior is seen.
        own_soft: (S, S, 3) that interior, blurred within itself.
        inside: What it shows: teeth; depth and tongue alone (plain); or nothing but the photo's own pixels.
    """

    gap: float
    line: Float
    chin: float
    dark: Picture
    tongue: Picture
    tooth: Picture
    gum: Picture
    own: Image | None = None
    own_mask: Picture | None = None
    own_soft: Image | None = None
    inside: Literal["teeth", "plain", "photo"] = "teeth"


def _rgb(lightness: float, a: float, b: float) -> Picture:
    lab = np.clip([[[lightness, a, b]]], 0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)[0, 0], np.float32)


def prepare_mouth(image: Image, points: Float, layout: Layout, white: Picture) -> MouthLayer:
    """Take the colours from lips, cheeks and eyes.

    Args:
        image: (S, S, 3) source crop.
        points: (478, 3) crop pixels.
        layout: The source's mesh.
        white: (3,) white of the eyes, 0..255: its tint is that of the teeth too.
    """
    size = image.shape[0]
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32)
    outer = polygon_mask(size, size, closed_curve(points[list(LIPS_OUTER), :2])) > 0.5
    lips = outer & ~(polygon_mask(size, size, points[list(LIPS_INNER), :2]) > 0)
    lip = np.median(lab[lips], 0) if lips.any() else np.array([120.0, 140, 135])
    cheeks = np.clip(np.round(points[list(CHEEKS), :2]), 0, size - 1).astype(int)
    skin = np.median(lab[cheeks[:, 1], cheeks[:, 0]], 0)
    ka, kb = lip[1] - 128, lip[2] - 128
    tint = cv2.cvtColor(white.astype(np.uint8)[None, None], cv2.COLOR_RGB2LAB)[0, 0, 1:].astype(np.float32) - 128
    chroma = skin[1:] - 128
    tooth = _rgb(
        min(1.14 * skin[0] + 8, 230),
        128 + 0.2 * chroma[0] + 0.35 * tint[0],
        128 + 0.35 * chroma[1] + 0.6 * tint[1],
    )
    red = min(10.0, 0.6 * float(np.hypot(*chroma)))  # of a tongue beside pale lips; none in black and white
    gap = lip_gap(layout.canonical)
    rest = resting_mouth(layout.canonical)
    own: Image | None = None
    own_mask: Picture | None = None
    own_soft: Image | None = None
    if gap > OPEN:
        inner = polygon_mask(size, size, closed_curve(points[list(LIPS_INNER), :2], 3))
        soft = cv2.GaussianBlur(inner, (0, 0), max(0.6, 0.005 * layout.pose.scale))
        own, own_mask = image, np.clip(2 * soft - 1, 0, 1).astype(np.float32)
        own_soft = _blurred_within(image, own_mask, OWN_BLUR * layout.pose.scale)
        seen = image[inner > 0.7].astype(np.float32)
        if len(seen) > 8:
            bright = seen[seen.sum(1) >= np.quantile(seen.sum(1), 0.7)].mean(0)
            if bright.sum() > 0.75 * tooth.sum():  # the source shows teeth: theirs is the colour
                tooth = bright
    return MouthLayer(
        gap=gap,
        line=rest[13],
        chin=float(rest[152, 1]),
        dark=_rgb(0.12 * lip[0] + 6, 128 + 0.55 * ka, 128 + 0.45 * kb),
        tongue=_rgb(min(0.8 * lip[0], 140), 128 + max(0.95 * ka, red), 128 + 0.6 * kb),
        tooth=tooth,
        gum=_rgb(0.9 * lip[0], 128 + 0.9 * ka, 128 + 0.9 * kb),
        own=own,
        own_mask=own_mask,
        own_soft=own_soft,
    )


def _blurred_within(image: Image, mask: Picture, sigma: float) -> Image:
    """The part of a picture (S, S, 3) under a mask (S, S), blurred without what lies beside it."""
    weight = cv2.GaussianBlur(mask, (0, 0), sigma)[..., None] + np.float32(1e-4)
    inside = cv2.GaussianBlur(image.astype(np.float32) * mask[..., None], (0, 0), sigma)
    return np.asarray(np.clip(inside / weight, 0, 255), np.uint8)


def draw_mouth(layer: MouthLayer, out: Image, vertices: Float, layout: Layout, pose: Pose) -> None:
    """Fill the opened mouth, in place.

    Args:
        layer: From prepare_mouth.
        out: (S, S, 3) warped picture.
        vertices: (V, 3) new mesh positions.
        layout: The source's mesh.
        pose: New head pose.
    """
    gap = lip_gap(vertices) / pose.scale
    if layer.own is None:
        strength = float(smoothstep(0.008, 0.024, gap - layer.gap))
    else:  # an open mouth stays the photo's own as long as it keeps its opening
        strength = float(smoothstep(0.003, 0.012, abs(gap - layer.gap)))
    if strength <= 0 or layer.inside == "photo":
        return
    contour = closed_curve(vertices[list(LIPS_INNER), :2], 3)
    low = np.floor(contour.min(0) - 4).astype(int).clip(0, out.shape[0] - 1)
    high = np.ceil(contour.max(0) + 5).astype(int).clip(0, out.shape[0] - 1)
    w, h = (high - low).tolist()
    if w < 4 or h < 3:
        return
    # Grown by a pixel or two: at the seam the source shows a dark line or a row of teeth, which would be stretched.
    # Hardly parted lips are not grown, or they would look twice as open.
    inside = polygon_mask(h, w, contour - low)
    mask = cv2.GaussianBlur(inside, (0, 0), max(0.8, min(0.007, 0.22 * gap) * pose.scale))
    mask = np.minimum(1.6 * mask, 1) * np.float32(strength)
    shadow = _lip_shadow(inside, min(LIP_SHADOW, 0.3 * gap) * pose.scale)
    interior = _cavity(layer, vertices, layout, pose, low, shadow, gap)
    rim = cv2.GaussianBlur(inside, (0, 0), max(0.8, min(0.014, 0.10 * gap) * pose.scale))
    interior *= (0.84 + 0.16 * np.clip(2.2 * rim - 1.1, 0, 1))[..., None]
    interior += (layer.dark - interior) * np.float32(NARROW * (1 - smoothstep(0.012, 0.032, gap)))
    region = out[low[1] : high[1], low[0] : high[0]]
    result = region.astype(np.float32)
    result += (interior - result) * mask[..., None]
    region[:] = np.clip(result + 0.5, 0, 255).astype(np.uint8)


def _lip_shadow(inside: Picture, reach: float) -> Picture:
    """Shadow of the upper lip on the teeth under it, as a factor: the interior shifted down and blurred."""
    drop = max(1, round(reach))
    lit = np.zeros_like(inside)
    lit[drop:] = inside[:-drop] if drop < len(inside) else 0
    return np.asarray(0.64 + 0.36 * cv2.GaussianBlur(lit, (0, 0), max(0.7, 0.6 * reach)), np.float32)


@dataclass(frozen=True)
class _Arch:
    """Picture of the dental arch at one pose: a parabola that bends back from the plane of the front teeth.

    Places on it are skull coordinates: x to the right, y down from the resting lip line, in face widths.
    """

    anchor: Float
    matrix: Float
    bend: Float

    @classmethod
    def at(cls, layer: MouthLayer, vertices: Float, layout: Layout, pose: Pose) -> _Arch:
        """The arch of the upper jaw below the nose of a posed mesh."""
        teeth = layer.line - layout.canonical[2] + np.array([0, 0, TEETH_DEPTH])
        anchor = vertices[2, :2] + (pose.scale * pose.rotation @ teeth)[:2]
        return cls(anchor, pose.scale * pose.rotation[:2, :2], pose.scale * pose.rotation[:2, 2] * ARCH)

    def places(self, px: Picture, py: Picture) -> tuple[Picture, Picture]:
        """Skull coordinates of picture points."""
        inverse = np.linalg.inv(self.matrix).astype(np.float32)
        dx, dy = px - np.float32(self.anchor[0]), py - np.float32(self.anchor[1])
        x = inverse[0, 0] * dx + inverse[0, 1] * dy
        y = inverse[1, 0] * dx + inverse[1, 1] * dy
        back = inverse @ self.bend.astype(np.float32)  # px = matrix (x, y) + bend x^2, solved for x
        if abs(back[0]) > 1e-4:
            x = (np.sqrt(np.maximum(1 + 4 * back[0] * x, TURNED_AWAY)) - 1) / (2 * back[0])
        return np.asarray(x, np.float32), np.asarray(y - back[1] * x * x, np.float32)

    def pixels(self, x: Picture, y: Picture) -> tuple[Picture, Picture]:
        """Picture points of skull coordinates."""
        m, bend = self.matrix.astype(np.float32), self.bend.astype(np.float32)
        px = np.float32(self.anchor[0]) + m[0, 0] * x + m[0, 1] * y + bend[0] * x * x
        py = np.float32(self.anchor[1]) + m[1, 0] * x + m[1, 1] * y + bend[1] * x * x
        return np.asarray(px, np.float32), np.asarray(py, np.float32)

    def place(self, point: Float) -> tuple[float, float]:
        """Skull coordinates of one picture point."""
        x, y = self.places(*np.asarray(point, np.float32).reshape(2, 1))
        return float(x[0]), float(y[0])


def _cavity(
    layer: MouthLayer,
    vertices: Float,
    layout: Layout,
    pose: Pose,
    low: npt.NDArray[np.int_],
    shadow: Picture,
    gap: float,
) -> Picture:
    """Drawn interior (h, w, 3): depth, tongue, lower teeth on the jaw, upper teeth on the skull."""
    h, w = shadow.shape
    yy, xx = np.mgrid[low[1] : low[1] + h, low[0] : low[0] + w].astype(np.float32)
    arch = _Arch.at(layer, vertices, layout, pose)
    x, y = arch.places(xx, yy)
    jaw = max(0.0, float(pose.invert(vertices[152][None])[0, 1]) - layer.chin) * JAW_SHARE
    lower_lip = arch.place(vertices[14, :2])[1]
    soft = 1.0 / pose.scale
    # The row ends inside the corners of the mouth, however the head is turned.
    reach = [arch.place(vertices[i, :2])[0] for i in (78, 308)]
    along = _squeezed(x, *reach)

    out = np.zeros((h, w, 3), np.float32) + layer.dark
    rise = np.clip((lower_lip - y) / max(0.75 * gap, 0.03), 0, 1)
    tongue = (1 - rise**1.6) * np.clip(1 - (x / 0.15) ** 2, 0, 1)
    tongue *= 0.9 * float(smoothstep(0.04, 0.10, gap))
    out += (layer.tongue - out) * tongue[..., None]

    if layer.inside == "plain":
        out = np.asarray(cv2.GaussianBlur(out, (0, 0), max(0.5, 0.0025 * pose.scale)), np.float32)
        return np.asarray(out + (SHADE_TINT * layer.dark - out) * (1 - shadow[..., None]), np.float32)

    # A shut jaw shows both rows, one on the other; not so in a rounded mouth.
    wide = gap / max(reach[1] - reach[0], 1e-3)
    clenched = (1 - float(smoothstep(0.015, 0.05, jaw))) * (1 - float(smoothstep(0.15, 0.3, wide)))
    shown = LOWER_SHOWN + 0.03 * clenched
    lower_edge = max(UPPER_EDGE - 0.010 + jaw, lower_lip - shown) + 0.5 * x * x
    lower = _tooth_row(along, LOWER_TEETH, soft) * _above(lower_edge - y, soft)
    lower *= 0.80 + 0.04 * clenched - 0.9 * np.abs(along) / 0.2 * (1 - 0.5 * clenched)
    lower *= float(smoothstep(0.0, 0.05, lower_lip - UPPER_EDGE - jaw + 0.02))
    out += (layer.tooth * (0.82 + 0.02 * clenched) - out) * np.clip(lower, 0, 1)[..., None]

    edge = UPPER_EDGE - 0.16 * x * x - _scallop(along, UPPER_TEETH) * 0.006
    upper = _tooth_row(along, UPPER_TEETH, soft) * _above(y - edge, soft)
    relief = (1 - 0.55 * (along / 0.2) ** 2) * (0.90 + 0.10 * np.clip((edge - y) / 0.05, 0, 1))
    out += (layer.tooth * np.clip(relief, 0.25, 1)[..., None] - out) * upper[..., None]
    gum = _gum(along, y)[..., None]
    out += (layer.gum - out) * (gum * upper[..., None])
    out = np.asarray(cv2.GaussianBlur(out, (0, 0), max(0.5, 0.0025 * pose.scale)), np.float32)
    if layer.own is not None and layer.own_mask is not None:
        out += _own_interior(layer, vertices, layout, arch, x, y, gum, out)
    shade = 1 - shadow[..., None]
    out += (SHADE_TINT * layer.dark - out) * shade  # light under the lip has the colour of the mouth
    return out


def _squeezed(x: Picture, left: float, right: float) -> Picture:
    """Places x (face widths), either side compressed so that a far corner of the mouth falls on the row's end."""
    sides = [np.float32(min(1.0, ROW_END / max(abs(corner), 1e-3))) for corner in (left, right)]
    return np.asarray(np.where(x < 0, x * sides[0], x * sides[1]), np.float32)


def _gum(x: Picture, y: Picture) -> Picture:
    """Cover of the gums (h, w): above the necks of the teeth, coming down between them."""
    line = UPPER_EDGE - CROWN + 0.25 * x * x + PAPILLA * _scallop(x, UPPER_TEETH)
    return np.asarray(smoothstep(-0.006, 0.006, line - y), np.float32)


def _own_interior(
    layer: MouthLayer,
    vertices: Float,
    layout: Layout,
    arch: _Arch,
    x: Picture,
    y: Picture,
    gum: Picture,
    drawn: Picture,
) -> Picture:
    """What the photo itself shows of its open mouth, as a change to the drawn interior (h, w, 3).

    It stays fixed to the skull; where the lip rises above what the photo shows, the teeth go on to their necks.
    """
    assert layer.own is not None
    assert layer.own_mask is not None
    assert layer.own_soft is not None
    source = _Arch.at(layer, layout.rest, layout, layout.pose)
    sx, sy = source.pixels(x, y)
    scale = layout.pose.scale
    lip = layout.rest[list(LIP_UPPER_INNER), :2]
    order = np.argsort(lip[:, 0])
    top = np.interp(sx, lip[order, 0], lip[order, 1]).astype(np.float32)
    # The higher the lip has risen, the more of the photo's own shadow under it is left out.
    lift = source.place(layout.rest[13, :2])[1] - arch.place(vertices[13, :2])[1]
    top += np.float32(scale * float(np.clip(lift, 0.004, OWN_SHADOW)))
    above = np.clip((top - sy) / np.float32(OWN_SHADOW * scale), 0, 1)[..., None]
    sy = np.maximum(sy, top)
    share = cv2.remap(layer.own_mask, sx, sy, cv2.INTER_LINEAR)[..., None]
    own = cv2.remap(layer.own, sx, sy, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    soft = cv2.remap(layer.own_soft, sx, sy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    own += (soft - own) * above * np.float32(0.85)  # a dark gap or corner doesn't go on as a stripe
    own += (layer.gum - own) * gum
    return np.asarray((own - drawn) * share, np.float32)


OWN_BLUR = 0.02  # by which the photo's teeth are blurred where they go on above what it shows, face widths
OWN_SHADOW = 0.016  # reach of the shadow that the photo's own lip throws on its teeth, face widths
ARCH = 2.0  # the dental arch bends back by this times the square of the distance from its middle, face widths
TURNED_AWAY = 0.04  # square of how obliquely the arch may be seen before its far end is cut
ROW_END = 0.21  # end of the drawn rows from the middle, face widths
CROWN = 0.084  # height of the upper front teeth from edge to neck, face widths
PAPILLA = 0.014  # gums come down so far between the teeth, face widths
OPEN = 0.025  # lip gap in face widths from which on a source's mouth counts as open
TEETH_DEPTH = 0.05  # front teeth lie this far behind the lips, face widths
NARROW = 0.34  # teeth behind lips that are hardly parted lie so far in the dark
SHADE_TINT = 0.2  # of the colour of the depth that shadows of the lip take on
LIP_SHADOW = 0.016  # reach of the upper lip's shadow, face widths
UPPER_EDGE = 0.017  # edge of the upper front teeth below the resting lip line, face widths
LOWER_SHOWN = 0.022  # of the lower front teeth the lip lets see so much at most
JAW_SHARE = 0.8  # of the chin's way that is the jaw's, the rest is skin
# Outer borders of the teeth from the middle, in face widths, foreshortened towards the back.
UPPER_TEETH = np.array([0.0, 0.062, 0.108, 0.150, 0.180, 0.200])
LOWER_TEETH = np.array([0.0, 0.040, 0.082, 0.122, 0.155, 0.180])


def _above(distance: Picture, soft: float) -> Picture:
    """1 where distance < 0, 0 where > 0, soft edge (face widths)."""
    return np.asarray(1 / (1 + np.exp(np.clip(distance / (0.6 * soft), -40, 40))), np.float32)


def _scallop(x: Picture, borders: Float) -> Picture:
    """0 in the middle of a tooth, 1 at its borders: the edge of the row is not straight."""
    place = np.interp(np.abs(x), borders, np.arange(len(borders)))
    return np.asarray(np.abs(2 * (place - np.floor(place)) - 1) ** 4, np.float32)


def _tooth_row(x: Picture, borders: Float, soft: float) -> Picture:
    """Cover of a row of teeth with faint gaps between them."""
    gaps = np.abs(np.abs(x)[..., None] - borders[None, None]).min(-1)
    seam = 1 - 0.13 * np.exp(-((gaps / max(0.005, 0.8 * soft)) ** 2))
    side = np.clip((0.195 - np.abs(x)) / 0.03, 0, 1)
    return np.asarray(seam * side, np.float32)
