"""Eye layer: eyeball under moving lids, gaze, lid skin and lashes.

A warp alone squeezes the painted iris when the lid falls. Here the eyeball is rebuilt once per source (white filled in,
hidden part of the iris completed) and seen between the moving lids; a lowered lid is covered with skin from around the
eye.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from liveportrait.engines.mesh.geometry import closed_curve, line_mask, open_curve, polygon_mask
from liveportrait.ramps import smoothstep
from models.topology import BROW_LEFT, BROW_RIGHT, EYE_LEFT, EYES, EyeIndices

Float = npt.NDArray[np.float64]
Picture = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]

PATCH = 2.4  # side of the eye patch in eye widths
LASH_DARKNESS = 0.4  # brightest lash line, as a share of the skin below the eye
GRAIN_FROM, GRAIN_HEIGHT = 0.24, 0.4  # strip of skin below the middle of the eye, eye widths
RIM = 0.05  # eye widths inside the lids that are lid line rather than eye, in a drawing
OWN_EDGE = 0.05  # eye widths over which the filled-in white blends into the photo's own white
OWN_LIGHT = (0.6, 0.85)  # brightness of the photo's own white, relative to the bright white
OWN_TONE = (0.7, 0.9)  # its darkest channel, relative to that brightness: the rim of a large blue iris is bright too
SKIN = np.array([1.0, 0.76, 0.66])  # colour of skin in white light
PALER = 0.35  # share of its colour removed from the white: between the lids, pixels are half skin
LEAST_WHITE = 0.8  # brightness of the white relative to the skin below the eye: a narrow eye shows only shaded white
CORNER_SHADE = 0.3  # loss of brightness of the filled ball at the corners of the eye
CHANGED, NARROWED = (0.04, 0.16), (0.12, 0.4)  # change of opening over which the rebuilt eyeball fades in
RIM_FROM, RIM_TO = 0.02, 0.1  # distance inside the lids, in eye widths, over which it fades in
LOOKS_AWAY = (0.03, 0.1)  # iris moves, in eye widths, that would leave part of the old iris beside the lids
OWN_LASHES = (0.02, 0.1)  # depth below the upper lid, eye widths, over which the photo's lashes and their shadow end
NO_IRIS = 0.87  # brightness of a statue's iris relative to its eyeball; the palest of 100 others has 0.83
DARKER = 0.25  # share by which they are darker than the eyeball where they stay as they are
LASH_DOWN, LASH_UP = 0.04, 0.05  # how far the drawn lashes lie inside a narrowed eye, outside a widened one, eye widths
UNSHADED = 0.2  # widening at which the lid casts no shadow on the eyeball any more
MIN_EYE = 64.0  # eye width in patch pixels, at least


@dataclass(frozen=True)
class EyeLayer:
    """Patches of one eye, all (N, N) or (N, N, 3) float32 around the middle between the corners.

    Attributes:
        eye: Landmark indices of the eye.
        size: N.
        zoom: Patch pixels per crop pixel.
        corners: (2, 2) outer and inner corner in the crop.
        ball: White of the eye without iris.
        own: 0..1, where the ball shows the photo's own pixels, including their shading.
        iris: Complete iris.
        iris_mask: Its alpha.
        lid: Lid skin.
        lash: (3,) colour of the lash line.
        lash_strength: 0..1, how dark the source's own lash line is.
        flat: Lid and lashes move with the mesh, and the ball has no shade: a drawing, or a pet.
        blank: No iris is seen, as in a shut eye or a statue's: there is no gaze to draw.
    """

    eye: EyeIndices
    size: int
    zoom: float
    corners: Float
    ball: Picture
    own: Picture
    iris: Picture
    iris_mask: Picture
    lid: Picture
    lash: Picture
    lash_strength: float
    flat: bool = False
    blank: bool = False


def corners_left_to_right(shape: Float, eye: EyeIndices) -> tuple[Float, Float]:
    """(2,) corners of an eye of a shape (478, 3), from left to right in the image, which is the direction of gaze."""
    outer, inner = shape[eye.outer, :2], shape[eye.inner, :2]
    return (outer, inner) if eye is EYE_LEFT else (inner, outer)


def gaze_offset(canonical: Float, eye: EyeIndices) -> Float:
    """Iris centre relative to the middle of the corners, (x, y) in eye widths along the eye."""
    a, b = corners_left_to_right(canonical, eye)
    axis = b - a
    width = max(float(np.linalg.norm(axis)), 1e-6)
    axis = axis / width
    d = canonical[eye.iris, :2] - (a + b) / 2
    return np.array([d @ axis, d @ np.array([-axis[1], axis[0]])]) / width


def eye_patch(image: Image, centre: Float, zoom: float, size: int) -> Image:
    """(size, size, 3) patch around the middle of an eye (2,), in crop pixels, enlarged by ``zoom``."""
    matrix = np.array([[zoom, 0, size / 2 - zoom * centre[0]], [0, zoom, size / 2 - zoom * centre[1]]])
    patch = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(patch, np.uint8)


def prepare_eye(image: Image, points: Float, eye: EyeIndices) -> EyeLayer:
    """Rebuild the hidden parts of an eye.

    Args:
        image: (S, S, 3) source crop.
        points: (478, 3) crop pixels.
        eye: Which eye.
    """
    p = points[:, :2]
    a, b = p[eye.outer], p[eye.inner]
    width = max(float(np.linalg.norm(a - b)), 2.0)
    centre = (a + b) / 2
    zoom = max(1.0, MIN_EYE / width)
    n, w = int(PATCH * width * zoom), width * zoom
    patch = eye_patch(image, centre, zoom, n)
    pixels = patch.astype(np.float32)

    def local(indices: tuple[int, ...]) -> Float:
        return (p[list(indices)] - centre) * zoom + n / 2

    full = polygon_mask(n, n, closed_curve(local(eye.ring)))
    margin = max(1, round(0.035 * w))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1,) * 2)
    visible = np.asarray(cv2.erode(full, kernel), np.float32)
    rim = p[eye.iris + 1 : eye.iris + 5]
    radius = max(np.linalg.norm(rim[0] - rim[2]), np.linalg.norm(rim[1] - rim[3])) / 2 * zoom
    iris_centre, radius = _refine_iris(patch, visible, local((eye.iris,))[0], float(radius), w)

    yy, xx = np.mgrid[:n, :n].astype(np.float32)
    r = np.hypot(xx - iris_centre[0], yy - iris_centre[1])
    inside = visible > 0.5
    iris = _complete_iris(pixels, inside, r, radius, w)
    iris_mask = np.clip((1.02 * radius - r) / (0.16 * radius) + 0.5, 0, 1).astype(np.float32)
    skin_below = np.median(_sample(image, p[list(eye.lower_rings[9:])]), 0)
    ball, own = _fill_white(pixels, inside & (r > 1.22 * radius), full > 0, w, skin_below)
    brow = polygon_mask(n, n, local(BROW_LEFT if eye is EYE_LEFT else BROW_RIGHT))
    lid = _lid_skin(pixels, full, brow, skin_below, w)
    lash, strength = _lash_colour(pixels, local(eye.upper), skin_below, w)
    blank = _seen_iris(iris[iris_mask > 0.9], ball[n // 3 : -n // 3, n // 3 : -n // 3]) > NO_IRIS
    return EyeLayer(eye, n, zoom, np.stack([a, b]), ball, own, iris, iris_mask, lid, lash, strength, blank=blank)


def _sample(image: npt.NDArray[np.generic], xy: Float) -> Float:
    x = np.clip(np.round(xy[..., 0]), 0, image.shape[1] - 1).astype(int)
    y = np.clip(np.round(xy[..., 1]), 0, image.shape[0] - 1).astype(int)
    return image[y, x].astype(np.float64)


def _refine_iris(patch: Image, visible: Picture, centre: Float, radius: float, w: float) -> tuple[Float, float]:
    """Iris circle with the strongest step from dark inside to bright outside on its lateral arcs."""
    grey = cv2.GaussianBlur(cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 0.02 * w)
    arc = np.radians([-40, -25, -10, 0, 10, 25, 40])
    arc = np.concatenate([arc, arc + np.pi])
    ring = np.stack([np.cos(arc), np.sin(arc)], 1)
    size, ox, oy = (
        axis.ravel()
        for axis in np.meshgrid(
            np.arange(0.85, 1.35, 0.1), np.arange(-0.3, 0.31, 0.1), np.arange(-0.2, 0.21, 0.1), indexing="ij"
        )
    )
    r = (radius * size)[:, None, None]
    c = centre + radius * np.stack([ox, oy], 1)[:, None]
    seen = _sample(visible, c + r * ring) > 0
    count = seen.sum(1)
    step = (_sample(grey, c + 1.15 * r * ring) - _sample(grey, c + 0.85 * r * ring)) * seen
    value = step.sum(1) / np.maximum(count, 1) * np.minimum(1, count / 8)
    value -= 25 * np.abs(size - 1) + 6 * (np.abs(ox) + np.abs(oy))
    value[count < 4] = -np.inf
    best = int(value.argmax())
    return (c[best, 0], float(r[best, 0, 0])) if np.isfinite(value[best]) else (centre, radius)


def _seen_iris(iris: Picture, ball: Picture) -> float:
    """Brightness of an iris (M, 3) relative to that of its eyeball (h, w, 3); about 1 where no iris is seen."""
    return float(np.median(iris.sum(1)) / max(float(ball.sum(2).mean()), 1.0)) if len(iris) else 1.0


def _fill_white(
    pixels: Picture, known: npt.NDArray[np.bool_], full: npt.NDArray[np.bool_], w: float, skin: Float
) -> tuple[Picture, Picture]:
    """(N, N, 3) ball without iris, and (N, N) 0..1 where it shows the photo's own white, veins and inner corner."""
    if known.sum() <= 12:  # no white visible: use a bright grey in the eye's own tone
        tone = np.median(pixels[full], 0) if full.any() else np.full(3, 190.0)
        white = _whitened(np.asarray(0.5 * tone + 95, np.float64), skin)
        return np.zeros_like(pixels) + white.astype(np.float32), np.zeros(pixels.shape[:2], np.float32)
    samples = pixels[known]
    brightest = samples[samples.sum(1) >= np.quantile(samples.sum(1), 0.7)].mean(0)
    white = _whitened(np.asarray(brightest, np.float64), skin)
    bright = pixels.sum(2) / np.float32(white.sum())
    tone = (pixels / np.maximum(white, 1).astype(np.float32)).min(2) / np.maximum(bright, 0.01)
    weight = known * np.clip(bright * smoothstep(*OWN_TONE, tone), 0.2, 1) ** 2
    num = cv2.GaussianBlur(pixels * weight[..., None], (0, 0), 0.09 * w)
    den = cv2.GaussianBlur(weight.astype(np.float32), (0, 0), 0.09 * w)[..., None]
    across = np.abs(np.arange(len(pixels)) - len(pixels) / 2) / (w / 2)  # 1 at the corners, where the ball turns away
    fall = (1 - CORNER_SHADE * smoothstep(0.3, 1.0, across))[None, :, None].astype(np.float32)
    filled = (0.45 * (num + white * 0.05) / (den + 0.05) + 0.55 * white) * fall
    depth = cv2.distanceTransform(known.astype(np.uint8), cv2.DIST_L2, 3)
    light = smoothstep(*OWN_LIGHT, cv2.GaussianBlur(bright, (0, 0), 0.02 * w))  # excludes lashes
    light = light * smoothstep(*OWN_TONE, cv2.GaussianBlur(tone, (0, 0), 0.02 * w))
    own = np.asarray(np.clip(depth / (OWN_EDGE * w), 0, 1) * light, np.float32)
    return np.asarray(filled + (pixels - filled) * own[..., None], np.float32), own


def _whitened(tone: Float, skin: Float) -> Float:
    """(3,) colour of the white from the tone seen between the lids: closer to neutral, and no darker than skin."""
    level = float(tone.sum())
    light = np.maximum(skin, 1) / SKIN
    light = light / light.sum() + 1 / 3  # skin varies: trust half of its estimate of the light
    pale = tone + PALER * (level * light / 2 - tone)
    return np.asarray(pale * max(1.0, min(LEAST_WHITE * float(skin.sum()) / max(level, 1.0), 1.8)))


def _complete_iris(pixels: Picture, inside: npt.NDArray[np.bool_], r: Picture, radius: float, w: float) -> Picture:
    """Visible part of the iris unchanged, hidden part from the radial profile."""
    depth = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 3)
    seen = np.clip(depth / (0.05 * w), 0, 1)[..., None]
    n = pixels.shape[0]
    middle = np.unravel_index(int(r.argmin()), r.shape)
    last = pixels[middle]
    profile = np.zeros((int(1.6 * radius) + 3, 3), np.float32)
    for i in range(len(profile)):
        ring = inside & (r >= i - 0.8) & (r < i + 1.2)
        if ring.sum() > 2:
            last = np.median(pixels[ring], 0)
        profile[i] = last
    radial = profile[np.minimum(r.astype(int), len(profile) - 1)]
    # Above the pupil, pixels much brighter than the iris at that radius are lid that the landmarks counted as eye.
    yy = np.mgrid[:n, :n][0]
    lid = (pixels.sum(2) - radial.sum(2) > 75) & (yy < middle[0] - 0.3 * radius)
    seen = seen * (1 - cv2.GaussianBlur(lid.astype(np.float32), (0, 0), 0.012 * w)[..., None].clip(0, 1))
    return np.asarray(pixels * seen + radial * (1 - seen), np.float32).reshape(n, n, 3)


def _lid_skin(pixels: Picture, full: Picture, brow: Picture, skin_below: Float, w: float) -> Picture:
    """Skin from around the eye, without lashes and brow, spread over the eye."""
    n = pixels.shape[0]
    k = max(3, 2 * round(0.035 * w) + 1)
    away = cv2.distanceTransform((full < 0.5).astype(np.uint8), cv2.DIST_L2, 3) / w
    clear = cv2.dilate(brow, np.ones((k, k), np.uint8)) == 0
    grey = pixels.mean(2)
    yy = np.mgrid[:n, :n][0]
    weight = ((away > 0.15) & (away < 0.6) & clear) * np.clip(grey / max(skin_below.mean(), 1) - 0.42, 0.02, 0.5)
    weight = (weight * np.where(yy < n / 2, 1.6, 1.0) * np.exp(-((away / 0.35) ** 2))).astype(np.float32)
    num = np.zeros_like(pixels)
    den = np.zeros((n, n, 1), np.float32)
    for sigma, share in ((0.14, 1.0), (0.3, 0.05)):
        num += share * cv2.GaussianBlur(pixels * weight[..., None], (0, 0), sigma * w)
        den += share * cv2.GaussianBlur(weight, (0, 0), sigma * w)[..., None]
    skin = (num + 1e-4 * skin_below) / (den + 1e-4)
    return np.asarray(0.97 * (skin + _grain(pixels, (away > 0.12) & clear, w)), np.float32)


def _grain(pixels: Picture, usable: npt.NDArray[np.bool_], w: float) -> Picture:
    """(N, N, 3) fine texture of the skin below the eye, mirrored up and down to cover the eye and what lies above."""
    n = pixels.shape[0]
    fine = np.where(usable[..., None], pixels - cv2.GaussianBlur(pixels, (0, 0), 0.1 * w), 0)
    first, height = n / 2 + GRAIN_FROM * w, GRAIN_HEIGHT * w
    row = np.arange(n) - first
    row = first + np.abs((row + height) % (2 * height) - height)  # mirrored up and down
    usual = float(np.abs(fine[usable]).mean()) if usable.any() else 0.0
    fine = np.clip(fine, -3 * usual, 3 * usual)  # rims of glasses and wrinkles are not grain
    return np.asarray(0.85 * fine[np.round(row).astype(int).clip(0, n - 1)], np.float32)


def _lash_colour(pixels: Picture, upper: Float, skin_below: Float, w: float) -> tuple[Picture, float]:
    line = line_mask(pixels.shape[0], pixels.shape[1], upper, max(2, int(0.07 * w)), 0.5) > 0.3
    values = pixels[line]
    if not len(values):
        return np.zeros(3, np.float32), 0.5
    lash = values[values.sum(1) <= np.quantile(values.sum(1), 0.25)].mean(0)
    # Painted lids may have no lashes at all; the line where shut lids meet is dark anyway.
    lash = lash * min(1.0, LASH_DARKNESS * skin_below.sum() / max(lash.sum(), 1))
    strength = float(np.clip(1.4 * (1 - lash.sum() / max(skin_below.sum(), 1)), 0.25, 1))
    return lash.astype(np.float32), strength


def draw_eye(
    layer: EyeLayer,
    out: Image,
    vertices: Float,
    open_line: Float,
    opening: float,
    gaze: Float,
    stretch: float,
) -> None:
    """Draw one eye into a warped image, in place.

    Args:
        layer: From prepare_eye.
        out: (S, S, 3) warped image.
        vertices: (V, 3) new mesh positions.
        open_line: (9, 2) where the upper lid line would be if the eye were as open as in the source.
        opening: New eye ratio over the source's.
        gaze: (2,) shift of the iris in eye widths.
        stretch: Crop scale of the source divided by that of the new pose.
    """
    eye = layer.eye
    closed = 1 - min(opening, 1.0)
    looks = float(np.hypot(*gaze))
    active = float(max(smoothstep(0.008, 0.04, looks), smoothstep(*_rebuilt_from(layer, opening), abs(opening - 1))))
    if active <= 0 and abs(opening - 1) <= 0.03:
        return
    a, b = vertices[eye.outer, :2], vertices[eye.inner, :2]
    axis = b - a
    width = float(np.linalg.norm(axis))
    contour = closed_curve(vertices[list(eye.ring), :2])
    every = np.vstack([contour, open_line])
    low = np.floor(every.min(0) - 0.2 * width).astype(int).clip(0, out.shape[0] - 1)
    high = np.ceil(every.max(0) + 0.2 * width).astype(int).clip(0, out.shape[0] - 1)
    w, h = (high - low).tolist()
    if w < 4 or h < 3:
        return
    source_axis = layer.corners[1] - layer.corners[0]
    angle, source_angle = math.atan2(axis[1], axis[0]), math.atan2(source_axis[1], source_axis[0])
    px, py = _patch_map(layer, low, (h, w), (a + b) / 2, angle, source_angle, width, stretch)
    region = out[low[1] : high[1], low[0] : high[0]]
    result = region.astype(np.float32)
    upper, lower = vertices[list(eye.upper), :2], vertices[list(eye.lower), :2]
    gap = float(np.linalg.norm(upper[1:-1] - lower[1:-1], axis=1).mean())
    normal = np.array([math.sin(angle), -math.cos(angle)])
    normal = normal if normal[1] < 0 else -normal
    if closed > 0.03 and not layer.flat:
        _draw_lid(layer, result, (px, py), (upper - low, open_line - low, normal), width, closed)
    inside = polygon_mask(h, w, contour - low)
    if layer.flat:
        rim = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(RIM * width) + 1,) * 2)
        inside = np.asarray(cv2.erode(inside, rim), np.float32)
    mask = cv2.GaussianBlur(inside, (0, 0), 0.6) * np.float32(np.clip((gap - 0.8) / 1.2, 0, 1) * active)
    if not layer.flat and (still := 1 - float(smoothstep(*LOOKS_AWAY, looks))) > 0:
        mask *= 1 - np.float32(still) * _lid_rim(inside, width)
    if mask.max() > 0 and not layer.blank:
        turn = np.array(
            [[math.cos(source_angle), -math.sin(source_angle)], [math.sin(source_angle), math.cos(source_angle)]]
        )
        along = 1 if eye is EYE_LEFT else -1  # gaze is measured left to right, corners outer to inner
        shift = turn @ (gaze * (along * np.linalg.norm(source_axis) * layer.zoom))
        ball = _draw_ball(layer, px, py, shift)
        if not layer.flat:
            shade = _lid_shadow(inside, width)
            shade = 1 - (1 - shade) * np.float32(1 - smoothstep(0, UNSHADED, opening - 1))
            own = cv2.remap(layer.own, px, py, cv2.INTER_LINEAR) * np.float32(1 - smoothstep(0.1, 0.5, closed))
            ball *= (shade + (1 - shade) * own)[..., None]
            mask *= 1 - _own_lashes(upper - low, width, result, ball)
        result += (ball - result) * mask[..., None]
    # The mesh moves the lid line of a drawing; without this, a slit of the eye would remain where both lids meet.
    moved = smoothstep(0.75, 0.98, closed) if layer.flat else smoothstep(0.03, 0.15, abs(opening - 1))
    if moved > 0 and abs(opening - 1) > 0.03:
        lift = 0.0 if layer.flat else -LASH_DOWN if opening < 1 else LASH_UP
        curve = open_curve(upper + lift * width * np.sin(np.linspace(0, np.pi, 9))[:, None] * normal) - low
        fine = line_mask(h, w, curve, round(0.03 * width), max(0.6, 0.015 * width))
        soft = line_mask(h, w, curve, max(2, round(0.075 * width)), max(0.8, 0.035 * width))
        lash = np.maximum(0.85 * fine, 0.6 * soft) * float(moved) * layer.lash_strength
        result += (layer.lash - result) * np.clip(lash, 0, 1)[..., None].astype(np.float32)
    region[:] = np.clip(result + 0.5, 0, 255).astype(np.uint8)


def _patch_map(
    layer: EyeLayer,
    low: npt.NDArray[np.int_],
    shape: tuple[int, int],
    centre: Float,
    angle: float,
    source_angle: float,
    width: float,
    stretch: float,
) -> tuple[Picture, Picture]:
    """Patch coordinates of every pixel of a region."""
    yy, xx = np.mgrid[low[1] : low[1] + shape[0], low[0] : low[0] + shape[1]].astype(np.float32)
    dx, dy = xx - centre[0], yy - centre[1]
    along = float(np.linalg.norm(layer.corners[1] - layer.corners[0])) / max(width, 1e-3)
    p = (math.cos(angle) * dx + math.sin(angle) * dy) * along
    q = (-math.sin(angle) * dx + math.cos(angle) * dy) * stretch
    px = (math.cos(source_angle) * p - math.sin(source_angle) * q) * layer.zoom + layer.size / 2
    py = (math.sin(source_angle) * p + math.cos(source_angle) * q) * layer.zoom + layer.size / 2
    return px.astype(np.float32), py.astype(np.float32)


def _draw_lid(
    layer: EyeLayer,
    result: Picture,
    patch: tuple[Picture, Picture],
    lines: tuple[Float, Float, Float],
    width: float,
    closed: float,
) -> None:
    """Cover the lowered lid with skin, in place; ``lines`` are upper line, open line and the upward normal."""
    upper, open_line, normal = lines
    h, w = result.shape[:2]
    lift = 0.13 * width * np.sin(np.linspace(0, np.pi, 9))[:, None] * normal
    cover = polygon_mask(h, w, np.vstack([open_line + lift, upper[::-1]]), max(0.8, 0.045 * width))
    below = polygon_mask(h, w, np.vstack([upper, upper[::-1] - normal * 0.5 * width]), 0.7)
    alpha = np.minimum(1.15 * cover, 1) * float(smoothstep(0.03, 0.35, closed)) * (1 - below) * 0.92
    skin = cv2.remap(layer.lid, *patch, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    crease = line_mask(h, w, open_curve(open_line), round(0.03 * width), max(0.7, 0.03 * width))
    crease = 1 - np.float32(0.13 * smoothstep(0.2, 0.8, closed)) * np.minimum(crease, 1)
    skin = skin * crease[..., None]
    result += (skin - result) * alpha[..., None].astype(np.float32)


def _draw_ball(layer: EyeLayer, px: Picture, py: Picture, shift: Float) -> Picture:
    ball = cv2.remap(layer.ball, px, py, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    ix, iy = px - np.float32(shift[0]), py - np.float32(shift[1])
    iris = cv2.remap(layer.iris, ix, iy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.remap(layer.iris_mask, ix, iy, cv2.INTER_LINEAR)[..., None]
    return np.asarray(ball + (iris - ball) * alpha, np.float32)


def _rebuilt_from(layer: EyeLayer, opening: float) -> tuple[float, float]:
    """Change of opening at which the rebuilt eyeball starts to replace the photo's eye, and at which it has.

    An eye that narrows slightly looks better warped by the mesh, with its own shading and lashes.
    """
    return NARROWED if opening < 1 and not layer.flat else CHANGED


def _lid_rim(inside: Picture, width: float) -> Picture:
    """(h, w) 1 next to the lids, where the warped photo shows lashes and their shadow, 0 further inside the eye."""
    depth = cv2.distanceTransform((inside > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    return np.asarray(1 - np.clip((depth / width - RIM_FROM) / (RIM_TO - RIM_FROM), 0, 1), np.float32)


def _own_lashes(upper: Float, width: float, warped: Picture, ball: Picture) -> Picture:
    """(h, w) 0..1 where the warped photo's lashes and their shadow stay: dark pixels next to the upper lid (9, 2).

    They stay even if the eye looks aside: what they hide of the old iris is as dark as they are.
    """
    away = np.full(ball.shape[:2], 255, np.uint8)
    cv2.polylines(away, [np.round(open_curve(upper) * 16).astype(np.int32)], False, 0, 1, cv2.LINE_8, 4)
    depth = cv2.distanceTransform(away, cv2.DIST_L2, 3) / width
    near = 1 - np.clip((depth - OWN_LASHES[0]) / (OWN_LASHES[1] - OWN_LASHES[0]), 0, 1)
    darker = 1 - warped.sum(2) / np.maximum(ball.sum(2), 1)
    return np.asarray(near * np.clip(darker / DARKER, 0, 1), np.float32)


def _lid_shadow(inside: Picture, width: float) -> Picture:
    """Shadow of the upper lid on the eyeball, as a factor."""
    drop = max(1, round(0.05 * width))
    shifted = np.roll(inside, drop, 0)
    shifted[:drop] = 0
    shadow = cv2.GaussianBlur(1 - np.minimum(shifted, 1), (0, 0), max(0.7, 0.035 * width))
    round_ball = 0.82 + 0.18 * np.clip(1.5 * cv2.GaussianBlur(inside, (0, 0), max(0.8, 0.08 * width)) - 0.3, 0, 1)
    return np.asarray((1 - 0.34 * np.clip(shadow, 0, 1)) * round_ball, np.float32)


def white_of(layers: tuple[EyeLayer, EyeLayer]) -> Picture:
    """(3,) white of the brighter eye: what white looks like in the light of this photo."""
    tones = [layer.ball[layer.size // 3 : -layer.size // 3].mean((0, 1)) for layer in layers]
    return np.asarray(max(tones, key=lambda tone: float(tone.sum())), np.float32)


def prepare_eyes(image: Image, points: Float) -> tuple[EyeLayer, EyeLayer]:
    """Both eyes, the one on the left of the image first."""
    left, right = (prepare_eye(image, points, eye) for eye in EYES)
    return left, right
