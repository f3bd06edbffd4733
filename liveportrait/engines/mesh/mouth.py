"""Mouth layer: the interior that a closed mouth does not show (cavity, tongue, teeth fixed to the skull)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from liveportrait.engines.mesh.fit import mouth_width, resting_mouth
from liveportrait.engines.mesh.geometry import closed_curve, lip_gap, polygon_mask
from liveportrait.engines.mesh.layout import Layout, Pose
from liveportrait.engines.mesh.teeth import Rows, blur_of, build_rows, character, grain_of, look_up
from liveportrait.ramps import smoothstep
from models.topology import CHEEKS, EYES, LIP_UPPER_INNER, LIPS_INNER, LIPS_OUTER, MOUTH_CORNERS

Float = npt.NDArray[np.float64]
Picture = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class MouthLayer:
    """Colours and measures of the source's mouth.

    Attributes:
        gap: Inner lip gap of the source in face widths.
        width: Width of its mouth at rest in face widths.
        dark: (3,) colour of the depth of the mouth.
        tongue: (3,) colour.
        tooth: (3,) colour.
        gum: (3,) colour.
        rows: Teeth and gums in these colours.
        line: (3,) canonical position of the middle of the resting lip line.
        chin: Canonical height (y) of the chin with the mouth at rest.
        own: (S, S, 3) source crop whose mouth is open, else None.
        own_mask: (S, S) where its interior is visible.
        own_teeth: (S, S) where it is as bright as teeth, or None where it shows none.
        own_soft: (S, S, 3) that interior, blurred within itself.
        own_kept: Share (0..1) of the photo's own interior that stays in a mouth of another shape.
        own_shape: Gap and width of the photo's own mouth, face widths.
        inside: What the interior shows: teeth; depth and tongue only (plain); or only the photo's own pixels.
    """

    gap: float
    width: float
    line: Float
    chin: float
    dark: Picture
    tongue: Picture
    tooth: Picture
    gum: Picture
    rows: Rows | None = None
    own: Image | None = None
    own_mask: Picture | None = None
    own_teeth: Picture | None = None
    own_soft: Image | None = None
    own_kept: float = 1.0
    own_shape: tuple[float, float] = (0.0, 0.0)
    inside: Literal["teeth", "plain", "photo"] = "teeth"


def _rgb(lightness: float, a: float, b: float) -> Picture:
    lab = np.rint(np.clip([[[lightness, a, b]]], 0, 255)).astype(np.uint8)
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)[0, 0], np.float32)


def prepare_mouth(image: Image, points: Float, layout: Layout, white: Picture) -> MouthLayer:
    """Derive the colours from lips, cheeks and eyes.

    Args:
        image: (S, S, 3) source crop.
        points: (478, 3) crop pixels.
        layout: The source's mesh.
        white: (3,) white of the eyes, 0..255: the teeth get its tint.
    """
    size = image.shape[0]
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32)
    outer = polygon_mask(size, size, closed_curve(points[list(LIPS_OUTER), :2])) > 0.5
    lips = outer & ~(polygon_mask(size, size, points[list(LIPS_INNER), :2]) > 0)
    lip = np.median(lab[lips], 0) if lips.any() else np.array([120.0, 140, 135])
    cheeks = np.clip(np.round(points[list(CHEEKS), :2]), 0, size - 1).astype(int)
    skin = np.median(lab[cheeks[:, 1], cheeks[:, 0]], 0)
    ka, kb = lip[1] - 128, lip[2] - 128
    eye = cv2.cvtColor(white.astype(np.uint8)[None, None], cv2.COLOR_RGB2LAB)[0, 0].astype(np.float32)
    chroma = skin[1:] - 128
    usual = np.array([  # fitted to 265 portraits that show their teeth
        max(0.49 * skin[0] + 0.31 * eye[0] - 0.085 * lip[0] + 74, LEAST_TOOTH * skin[0]),
        128 + 0.18 * chroma[0] + 0.48 * (eye[1] - 128),
        128 + 0.32 * chroma[1] + 0.35 * (eye[2] - 128) + 0.28 * kb,
    ])  # fmt: skip
    tooth = _rgb(*usual)
    red = min(16.0, 0.7 * float(np.hypot(*chroma)))  # redness of a tongue beside pale lips; none in black and white
    gap = lip_gap(layout.canonical)
    rest = resting_mouth(layout.canonical)
    scale = layout.pose.scale
    own_mask: Picture | None = None
    own_teeth: Picture | None = None
    own_kept = 1.0
    if gap > OPEN:
        inner = polygon_mask(size, size, closed_curve(points[list(LIPS_INNER), :2], 3))
        seen = lab[inner > 0.7]
        bright = np.zeros(3, np.float32)
        if len(seen) > 8:
            bright = np.asarray(seen[seen[:, 0] >= np.quantile(seen[:, 0], 0.85)].mean(0), np.float32)
        teeth = bright[0] > OWN_BRIGHT * lip[0] and gap * scale > OWN_PIXELS
        if teeth or gap > OWN_WIDE:
            soft = cv2.GaussianBlur(inner, (0, 0), max(0.6, 0.005 * scale))
            own_mask = np.clip(2 * soft - 1, 0, 1).astype(np.float32)
        if teeth and own_mask is not None:
            own_mask *= 1 - _like_lips(lab, lip, bright)
            lightness = cv2.GaussianBlur(lab[..., 0], (0, 0), max(0.6, 0.006 * scale))
            own_teeth = np.asarray(smoothstep(*TOOTH_LIKE, lightness / bright[0]), np.float32)
            own_kept = float(smoothstep(*OWN_AREA, float((own_mask * own_teeth).sum()) / scale**2))
            # Their colour is used; a row a few pixels high is mixed with the lips beside it.
            sure = own_kept * float(smoothstep(*OWN_SURE, gap * scale))
            usual[0] += (
                (1 - sure) * 0.7 * np.maximum(bright[0] - usual[0], 0)
            )  # even few teeth tell how bright they are
            tooth = _rgb(*(usual + sure * (bright - usual)))
        elif gap * scale > OWN_PIXELS:  # visible, but dark
            tooth *= np.float32(np.clip(0.5 + 0.5 * _rgb(*bright).mean() / tooth.mean(), 0.6, 1))
    gum = _rgb(0.9 * lip[0], 128 + 0.9 * ka, 128 + 0.9 * kb)
    grain = grain_of(image, points[list(CHEEKS), :2], scale)
    softness = blur_of(image, points[[i for eye in EYES for i in eye.ring], :2])
    rows = build_rows(tooth, gum, character(layout.canonical), scale, softness, grain)
    return MouthLayer(
        gap=gap,
        width=mouth_width(rest),
        line=rest[13],
        chin=float(rest[152, 1]),
        dark=_rgb(0.12 * lip[0] + 6, 128 + 0.85 * ka, 128 + 0.75 * kb),
        tongue=_rgb(min(0.78 * lip[0], 150), 128 + max(0.95 * ka, red), 128 + 0.6 * kb),
        tooth=tooth,
        gum=gum,
        rows=rows,
        own=None if own_mask is None else image,
        own_mask=own_mask,
        own_teeth=own_teeth,
        own_soft=None if own_mask is None else _blurred_within(image, own_mask, OWN_BLUR * scale),
        own_kept=own_kept,
        own_shape=(gap, mouth_width(layout.canonical)),
    )


def _like_lips(lab: Picture, lip: Picture, tooth: Picture) -> Picture:
    """Share (S, S) in which the image has the tint of the lips rather than that of the teeth.

    Landmarks of the inner lips are sometimes slightly off; a remaining piece of lip would stay inside the mouth.
    """
    way = (lip - tooth)[1:]
    length = float(way @ way)
    if length < LEAST_TINT**2:
        return np.zeros(lab.shape[:2], np.float32)
    share = ((lab[..., 1] - tooth[1]) * way[0] + (lab[..., 2] - tooth[2]) * way[1]) / length
    return np.asarray(smoothstep(0.55, 0.95, cv2.GaussianBlur(share, (0, 0), 0.7)), np.float32)


def _blurred_within(image: Image, mask: Picture, sigma: float) -> Image:
    """The part of an image (S, S, 3) under a mask (S, S), blurred without the pixels outside the mask."""
    weight = cv2.GaussianBlur(mask, (0, 0), sigma)[..., None] + np.float32(1e-4)
    inside = cv2.GaussianBlur(image.astype(np.float32) * mask[..., None], (0, 0), sigma)
    return np.asarray(np.clip(inside / weight, 0, 255), np.uint8)


def draw_mouth(layer: MouthLayer, out: Image, vertices: Float, layout: Layout, pose: Pose) -> None:
    """Fill the opened mouth, in place.

    Args:
        layer: From prepare_mouth.
        out: (S, S, 3) warped image.
        vertices: (V, 3) new mesh positions.
        layout: The source's mesh.
        pose: New head pose.
    """
    gap = lip_gap(vertices) / pose.scale
    if layer.own is None:
        strength = float(smoothstep(0.008, 0.024, gap - layer.gap))
    else:  # an open mouth shows the photo's own pixels as long as its opening and its width are unchanged
        strength = float(smoothstep(*OWN_UNCHANGED, _change(layer, gap, _width(vertices, pose))))
    if strength <= 0 or layer.inside == "photo":
        return
    contour = closed_curve(vertices[list(LIPS_INNER), :2], 3)
    low = np.floor(contour.min(0) - 4).astype(int).clip(0, out.shape[0] - 1)
    high = np.ceil(contour.max(0) + 5).astype(int).clip(0, out.shape[0] - 1)
    w, h = (high - low).tolist()
    if w < 4 or h < 3:
        return
    # Grown by a pixel or two: at the seam the source shows a dark line or a row of teeth, which would be stretched.
    # Barely parted lips are not grown, or they would look twice as open.
    inside = polygon_mask(h, w, contour - low)
    mask = cv2.GaussianBlur(inside, (0, 0), max(0.8, min(0.007, 0.22 * gap) * pose.scale))
    mask = np.minimum(1.6 * mask, 1) * np.float32(strength)
    # The pointed ends of the open area fade: a corner of the mouth is a soft dimple.
    wide = cv2.GaussianBlur(inside, (0, 0), max(1.0, min(CORNER_REACH, 0.25 * gap) * pose.scale))
    mask *= smoothstep(*CORNER_FADE, wide)
    front = 1 - float(smoothstep(0.03, 0.08, gap))  # between barely parted lips, only what lies in front is seen
    shadow = _lip_shadow(inside, min(LIP_SHADOW, 0.3 * gap) * pose.scale, 0.3 - 0.15 * front)
    interior = _cavity(layer, vertices, layout, pose, low, shadow, gap)
    rim = cv2.GaussianBlur(inside, (0, 0), max(0.8, min(0.014, 0.10 * gap) * pose.scale))
    depth = np.float32(0.16 - 0.1 * front)
    interior *= (1 - depth + depth * np.clip(2.2 * rim - 1.1, 0, 1))[..., None]
    # Teeth behind barely parted lips lie in the lips' own reddish shade; merely darker ones would be a grey slit.
    lost = (layer.gum.mean() / np.maximum(layer.gum, 1)) ** np.float32(NARROW_TINT)
    interior *= 1 - np.float32(NARROW * (1 - smoothstep(0.012, 0.032, gap))) * lost
    touching = np.float32(1 - smoothstep(*LIPS_TOUCH, gap))
    tint = LIP_LINE * (layer.gum + LIP_LINE_TINT * (layer.gum - layer.gum.mean()))
    interior += (tint - interior) * touching  # teeth between lips that touch would be a grey slit
    region = out[low[1] : high[1], low[0] : high[0]]
    result = region.astype(np.float32)
    result += (interior - result) * mask[..., None]
    region[:] = np.clip(result + 0.5, 0, 255).astype(np.uint8)


def _width(vertices: Float, pose: Pose) -> float:
    """Width of the mouth in face widths."""
    left, right = pose.invert(vertices[list(MOUTH_CORNERS)])[:, :2]
    return float(np.linalg.norm(left - right))


def _change(layer: MouthLayer, gap: float, width: float) -> float:
    """How far a mouth differs from the photo's own, in face widths of its gap.

    Speech passes through the gap of a smile, whose teeth would flash up if the gap alone counted.
    """
    return max(abs(gap - layer.own_shape[0]), WIDTH_COUNTS * abs(width - layer.own_shape[1]))


def _lip_shadow(inside: Picture, reach: float, dark: float) -> Picture:
    """Shadow of the upper lip on the teeth under it, as a factor: the interior shifted down and blurred."""
    drop = max(1, round(reach))
    lit = np.zeros_like(inside)
    lit[drop:] = inside[:-drop] if drop < len(inside) else 0
    return np.asarray(1 - dark + dark * cv2.GaussianBlur(lit, (0, 0), max(0.7, 0.6 * reach)), np.float32)


@dataclass(frozen=True)
class _Arch:
    """Projection of the dental arch at one pose: a parabola that bends back from the plane of the front teeth.

    Positions on it are skull coordinates: x to the right, y down from the resting lip line, in face widths.
    """

    anchor: Float
    matrix: Float
    bend: Float

    @classmethod
    def at(cls, layer: MouthLayer, vertices: Float, layout: Layout, pose: Pose) -> _Arch:
        """The arch of the upper jaw, below the nose of a posed mesh."""
        teeth = layer.line - layout.canonical[2] + np.array([0, 0, TEETH_DEPTH])
        anchor = vertices[2, :2] + (pose.scale * pose.rotation @ teeth)[:2]
        return cls(anchor, pose.scale * pose.rotation[:2, :2], pose.scale * pose.rotation[:2, 2] * ARCH)

    @cached_property
    def _inverse(self) -> Picture:
        return np.linalg.inv(self.matrix).astype(np.float32)

    def places(self, px: Picture, py: Picture) -> tuple[Picture, Picture]:
        """Skull coordinates of image points."""
        inverse = self._inverse
        dx, dy = px - np.float32(self.anchor[0]), py - np.float32(self.anchor[1])
        x = inverse[0, 0] * dx + inverse[0, 1] * dy
        y = inverse[1, 0] * dx + inverse[1, 1] * dy
        back = inverse @ self.bend.astype(np.float32)  # px = matrix (x, y) + bend x^2, solved for x
        if abs(back[0]) > 1e-4:
            x = (np.sqrt(np.maximum(1 + 4 * back[0] * x, TURNED_AWAY)) - 1) / (2 * back[0])
        return np.asarray(x, np.float32), np.asarray(y - back[1] * x * x, np.float32)

    def pixels(self, x: Picture, y: Picture) -> tuple[Picture, Picture]:
        """Image points of skull coordinates."""
        m, bend = self.matrix.astype(np.float32), self.bend.astype(np.float32)
        px = np.float32(self.anchor[0]) + m[0, 0] * x + m[0, 1] * y + bend[0] * x * x
        py = np.float32(self.anchor[1]) + m[1, 0] * x + m[1, 1] * y + bend[1] * x * x
        return np.asarray(px, np.float32), np.asarray(py, np.float32)

    def place(self, point: Float) -> tuple[float, float]:
        """Skull coordinates of one image point."""
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
    lower_lip = arch.place(vertices[14, :2])[1]
    # The row ends inside the corners of the mouth, whatever the head's turn.
    reach = [arch.place(vertices[i, :2])[0] for i in (78, 308)]
    along = _squeezed(x, *reach)

    # A shut jaw shows both rows, one on top of the other; rounded lips hide the teeth.
    spread = _width(vertices, pose)
    width = spread / layer.width
    narrow = float(smoothstep(*ROUNDED, width))
    rounded = narrow * float(smoothstep(0.045, 0.085, gap))
    chin = float(pose.invert(vertices[152][None])[0, 1]) - layer.chin
    jaw = jaw_drop(chin, lower_lip, width)
    clenched = (1 - float(smoothstep(0.015, 0.05, jaw))) * (1 - rounded)

    out = np.zeros((h, w, 3), np.float32) + layer.dark
    across, up = x / (TONGUE_WIDTH * max(width, 0.7)), (lower_lip - y) / max(TONGUE_HEIGHT * gap, 0.02)
    _draw_tongue(layer, out, across, up, gap)
    if layer.inside == "plain" or layer.rows is None:
        out = np.asarray(cv2.GaussianBlur(out, (0, 0), max(0.5, 0.0025 * pose.scale)), np.float32)
        return np.asarray(out + (SHADE_TINT * layer.dark - out) * (1 - shadow[..., None]), np.float32)

    corner = np.where(x < 0, x / min(reach[0], -1e-3), x / max(reach[1], 1e-3))
    light = (1 - CORNER_SHADE * np.asarray(smoothstep(0.35, 1.0, corner), np.float32))[..., None]
    smile_light = 0.98 + 0.18 * float(smoothstep(0.98, 1.2, width))  # a smile lets more light in
    light *= np.float32(min(smile_light, max(0.9, WHITEST / float(layer.tooth.max()))))
    most = LOWER_SHOWN + (LOWER_WIDE - LOWER_SHOWN) * (1 - rounded) + 0.022 * clenched
    shift = float(np.clip(jaw, lower_lip - most - LOWER_EDGE, lower_lip - LOWER_EDGE))
    lower = look_up(layer.rows.lower, along, y - np.float32(shift) * (1 - LOWER_BEND * along * along))
    lower *= np.float32(1 - rounded)  # a rounded lower lip stands before its teeth: they would be a grey rim
    out = out * (1 - lower[..., 3:]) + lower[..., :3] * light * np.float32(0.93 - 0.4 * narrow)
    lip = arch.place(vertices[13, :2])[1]
    raised = HIDDEN * rounded + max(0.0, UPPER_EDGE - lip - UPPER_SHOWN) - _lower_edge(layer, layout)
    upper = look_up(layer.rows.upper, along, y + np.float32(raised))
    gum = look_up(layer.rows.gum, along, y + np.float32(raised))[..., None]
    out = out * (1 - upper[..., 3:]) + upper[..., :3] * light * np.float32(1 - 0.4 * narrow)
    if layer.own is not None and layer.own_mask is not None:
        kept = 1 - (1 - layer.own_kept) * float(smoothstep(*OWN_CHANGED, _change(layer, gap, spread)))
        out += _own_interior(layer, vertices, layout, arch, x, y + np.float32(raised), gum, out, gap) * np.float32(kept)
    shade = 1 - shadow[..., None]
    out += (SHADE_TINT * layer.dark - out) * shade  # the shadow of the lip takes the colour of the mouth
    return out


def _lower_edge(layer: MouthLayer, layout: Layout) -> float:
    """How far the upper teeth reach below UPPER_EDGE, face widths: a photo with barely parted lips shows its own."""
    if layer.own is not None:
        return 0.0
    lower_lip = _Arch.at(layer, layout.rest, layout, layout.pose).place(layout.rest[14, :2])[1]
    return float(np.clip(lower_lip, UPPER_EDGE, UPPER_LOWEST)) - UPPER_EDGE


def upper_lip_raised(layer: MouthLayer, layout: Layout) -> float:
    """How far the photo's upper lip is above the resting line of its lips, face widths."""
    return -_Arch.at(layer, layout.rest, layout, layout.pose).place(layout.rest[13, :2])[1]


def jaw_drop(chin: float, lower_lip: float, width: float) -> float:
    """How far the lower teeth have come down, in face widths.

    Landmarks of the chin show too little of it, since the head's pose absorbs some. The lower lip shows the rest: a
    grin bares the teeth of a shut jaw, other mouths open by the jaw.

    Args:
        chin: How far the chin has come down, face widths.
        lower_lip: How far the lower lip lies below the resting line of the lips, face widths.
        width: Width of the mouth relative to rest.
    """
    return max(0.0, JAW_SHARE * chin, lower_lip - float(np.interp(width, *LIP_ALONE)))


def _draw_tongue(layer: MouthLayer, out: Picture, across: Picture, up: Picture, gap: float) -> None:
    """A rounded tongue behind the lower teeth, in place: lit on top, with a line along its middle.

    Args:
        layer: Colours.
        out: (h, w, 3) depth of the mouth, drawn into.
        across: (h, w) positions from the middle, 1 at the tongue's side.
        up: (h, w) positions upwards from the lower lip, 1 at the tongue's top.
        gap: Mean gap of the lips, face widths.
    """
    seen = float(smoothstep(0.035, 0.09, gap))
    if seen <= 0:
        return
    wall = np.float32(0.28 * smoothstep(0.06, 0.2, gap)) * np.exp(-0.7 * across * across)[..., None]
    out += (layer.tongue - out) * wall  # light that falls on the back of the mouth
    low = np.maximum(up, 0)
    round_ = across * across + low * low
    cover = smoothstep(1.1, 0.6, round_) * seen
    light = 0.42 + 0.62 * np.sqrt(np.clip(1 - 0.9 * round_, 0, 1)) + 0.14 * (0.5 - np.clip(up, 0, 1))
    light += 0.16 * np.exp(-((across / 0.5) ** 2) - ((up - 0.42) / 0.17) ** 2)
    light -= 0.08 * np.exp(-((across / 0.09) ** 2)) * smoothstep(0.02, 0.3, up) * smoothstep(0.95, 0.6, up)
    out += (layer.tongue * light[..., None] - out) * cover[..., None]


def _squeezed(x: Picture, left: float, right: float) -> Picture:
    """Positions x (face widths), compressed on each side so that a far corner of the mouth meets the row's end.

    The front teeth keep most of their width; the hindmost ones are stretched.
    """
    out = x.copy()
    for side, corner in ((x < 0, -left), (x >= 0, right)):
        if corner > ROW_END:
            share = np.clip(np.abs(x) / np.float32(corner), 0, 1)
            bent = 1 - (1 - share) ** np.float32(corner / ROW_END)
            out = np.where(side, np.sign(x) * np.float32(ROW_END) * (0.5 * share + 0.5 * bent), out)
    return np.asarray(out, np.float32)


def _own_interior(
    layer: MouthLayer,
    vertices: Float,
    layout: Layout,
    arch: _Arch,
    x: Picture,
    y: Picture,
    gum: Picture,
    drawn: Picture,
    gap: float,
) -> Picture:
    """The interior of the photo's own open mouth, as a change to the drawn interior (h, w, 3).

    It stays fixed to the skull; where the lip rises above the photo's interior, the teeth are extended upwards.
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
    # The higher the lip rises, the more of the photo's own shadow under it is removed.
    lift = source.place(layout.rest[13, :2])[1] - arch.place(vertices[13, :2])[1]
    top += np.float32(scale * float(np.clip(lift, 0.004, OWN_SHADOW)))
    above = np.clip((top - sy) / np.float32(OWN_SHADOW * scale), 0, 1)[..., None]
    sy = np.maximum(sy, top)
    share = cv2.remap(layer.own_mask, sx, sy, cv2.INTER_LINEAR)[..., None]
    further = np.float32(smoothstep(*OPENED, gap - layer.gap))
    if layer.own_teeth is not None and further > 0:  # everything below the teeth moves down with the jaw
        share *= 1 - further * (1 - cv2.remap(layer.own_teeth, sx, sy, cv2.INTER_LINEAR)[..., None])
    own = cv2.remap(layer.own, sx, sy, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    soft = cv2.remap(layer.own_soft, sx, sy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    own += (soft - own) * above * np.float32(0.85)  # or a dark gap or corner would continue as a stripe
    own += (layer.gum - own) * gum
    return np.asarray((own - drawn) * share, np.float32)


OWN_BLUR = 0.02  # blur of the photo's teeth where they are extended above what it shows, face widths
OWN_SHADOW = 0.016  # reach of the shadow that the photo's own lip throws on its teeth, face widths
ARCH = 2.0  # the dental arch bends back by this times the square of the distance from its middle, face widths
TURNED_AWAY = 0.04  # square of how obliquely the arch may be seen before its far end is cut
ROW_END = 0.21  # end of the drawn rows from the middle, face widths
OWN_BRIGHT = 1.08  # brightness of a photo's teeth relative to its lips, at least; otherwise they aren't visible enough
OWN_PIXELS = 3.5  # and least gap of its lips in pixels
OWN_SURE = 3.0, 9.0  # gap of its lips in pixels from which the colour of its teeth is used, and is used unchanged
LEAST_TOOTH = 1.1  # lightness of drawn teeth relative to the skin, at least
TOOTH_LIKE = 0.6, 0.82  # lightness relative to the photo's teeth between which a pixel counts as tooth
OPENED = 0.015, 0.05  # opening beyond the photo's own, face widths, over which only its teeth stay
OWN_AREA = 0.006, 0.013  # visible area of the photo's teeth, square face widths: fewer are only used at its own opening
OWN_UNCHANGED = 0.003, 0.012  # change of the mouth over which its own pixels give way to a new interior
WIDTH_COUNTS = 0.3  # a change of its width counts by this as much as one of its gap
OWN_CHANGED = 0.004, 0.02  # change of the mouth's gap, face widths, over which few teeth give way to drawn ones
OWN_WIDE = 0.06  # a mouth open wider (face widths) shows the photo's own pixels even if no teeth are visible
LEAST_TINT = 8.0  # difference in tint between lips and teeth from which they can be distinguished, steps of Lab
OPEN = 0.025  # lip gap in face widths from which a source's mouth counts as open
TEETH_DEPTH = 0.05  # distance of the front teeth behind the lips, face widths
LIPS_TOUCH = 0.006, 0.014  # mean gap, face widths, up to which the line between the lips is drawn, and no longer is
LIP_LINE, LIP_LINE_TINT = 0.58, 0.6  # brightness of that line relative to the gums, and its additional tint
NARROW, NARROW_TINT = 0.4, 0.8  # share of light lost behind barely parted lips, and how much redder what is left is
SHADE_TINT = 0.2  # share of the colour of the depth that shadows of the lip take on
LIP_SHADOW = 0.016  # reach of the upper lip's shadow, face widths
LOWER_EDGE = 0.005  # edge of the lower front teeth below the resting line while the jaw is shut
LOWER_SHOWN, LOWER_WIDE = 0.008, 0.034  # visible height of the lower teeth at most, with rounded and with wide lips
ROUNDED = 1.03, 0.88  # mouth width relative to rest, from where lips begin to hide the teeth to where they hide them
LOWER_BEND = 7.0  # the lower row drops less towards the joints of the jaw: by this times x squared
UPPER_EDGE, UPPER_SHOWN = 0.011, 0.06  # edge of the upper front teeth below the resting line; largest visible height
UPPER_LOWEST = 0.03  # lowest edge of the upper teeth that a photo with barely parted lips shows
HIDDEN = 0.085  # distance by which the upper teeth move up behind rounded lips, face widths
CORNER_REACH = 0.013  # reach over which the ends of the open area are examined, face widths
CORNER_FADE = 0.1, 0.42  # open share of their surroundings between which they fade in
WHITEST = 225.0  # level that a smile brightens drawn teeth to at most; in bright skin they would look like a denture
CORNER_SHADE = 0.38  # share of their brightness that teeth lose towards the corners of the mouth
TONGUE_WIDTH, TONGUE_HEIGHT = 0.175, 1.05  # half its width in face widths; its height relative to the mean lip gap
JAW_SHARE = 0.8  # share of the chin's movement that is the jaw's, the rest is skin
# Mouth width relative to rest, and how far its lower lip drops without the jaw, face widths: little in speech, all the
# way in a grin.
LIP_ALONE = (1.0, 1.2, 1.27, 1.33, 1.45), (0.004, 0.009, 0.033, 0.058, 0.078)
