"""Synthetic content for training images: backgrounds, and hands, microphones, objects and hair in front of faces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Map = npt.NDArray[np.float32]
Rng = np.random.Generator


def noise(size: int, cells: int, rng: Rng, channels: int = 3) -> Map:
    """Smooth noise (size, size, channels) 0..1 from a grid of random values."""
    grid = rng.random((cells, cells, channels)).astype(np.float32)
    out = cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.clip(out.reshape(size, size, channels), 0, 1).astype(np.float32)


def texture(size: int, rng: Rng, colour: npt.NDArray[np.floating] | None = None) -> Map:
    """Surface (size, size, 3) 0..255: a colour with gradient, noise, and sometimes stripes, checks or a print."""
    base = rng.uniform(0, 255, 3) if colour is None else np.asarray(colour, np.float64)
    out = np.zeros((size, size, 3), np.float32) + base.astype(np.float32)
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    angle = rng.uniform(0, 2 * np.pi)
    along = np.cos(angle) * x + np.sin(angle) * y
    out += (along - 0.5)[..., None] * rng.normal(0, 60, 3).astype(np.float32) * np.float32(rng.random() < 0.7)
    kind = rng.integers(0, 6)
    other = rng.uniform(0, 255, 3).astype(np.float32)
    if kind == 0:
        stripes = np.sin(along * rng.uniform(15, 120) + rng.uniform(0, 6)) > rng.uniform(-0.7, 0.7)
        out = np.where(stripes[..., None], out, other)
    elif kind == 1:
        n = rng.uniform(4, 20)
        checks = (np.floor(x * n) + np.floor(y * n)) % 2 > 0
        out = np.where(checks[..., None], out, other)
    elif kind == 2:
        blobs = noise(size, int(rng.integers(4, 24)), rng, 1) > 0.5
        out = np.where(blobs, out, other)
    elif kind == 3:
        out += (noise(size, int(rng.integers(3, 40)), rng) - 0.5) * np.float32(rng.uniform(20, 160))
    out += (noise(size, size // 2, rng, 1) - 0.5) * np.float32(rng.uniform(0, 40))
    return np.clip(out, 0, 255)


def background(size: int, rng: Rng) -> Map:
    """A scene (size, size, 3) without people: gradients, clouds of colour, shapes, flags; sharp or blurred."""
    out = texture(size, rng)
    for _ in range(int(rng.integers(0, 9))):
        patch = texture(size, rng)
        mask = np.zeros((size, size), np.float32)
        if rng.random() < 0.5:
            corners = rng.uniform(-0.2, 1.2, (int(rng.integers(3, 6)), 2)) * size
            cv2.fillPoly(mask, [corners.astype(np.int32)], 1.0)
        else:
            x0, y0 = rng.uniform(-0.2, 0.9, 2) * size
            w, h = rng.uniform(0.05, 0.8, 2) * size
            cv2.rectangle(mask, (int(x0), int(y0)), (int(x0 + w), int(y0 + h)), 1.0, -1)
        out += (patch - out) * mask[..., None]
    if rng.random() < 0.6:
        out = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.5, 8)))
    return np.asarray(out, np.float32)


def shade(picture: Map, rng: Rng) -> Map:
    """Add a soft or hard shadow, or a patch of light, of a random shape to an image (S, S, 3)."""
    size = picture.shape[0]
    mask = np.zeros((size, size), np.float32)
    corners = rng.uniform(-0.3, 1.3, (int(rng.integers(3, 6)), 2)) * size
    cv2.fillPoly(mask, [corners.astype(np.int32)], 1.0)
    mask = cv2.GaussianBlur(mask, (0, 0), float(rng.uniform(0.005, 0.08)) * size)
    factor = rng.uniform(0.35, 0.8) if rng.random() < 0.75 else rng.uniform(1.15, 1.6)
    return np.asarray(picture * (1 + (factor - 1) * mask)[..., None], np.float32)


@dataclass
class Layer:
    """A drawn layer.

    Attributes:
        colour: (S, S, 3) 0..255.
        cover: (S, S) 0..1.
        hair: True if it is hair, else an occluder.
    """

    colour: Map
    cover: Map
    hair: bool = False


def _round(cover: Map, depth: float) -> Map:
    """Shading (S, S) of a rounded body: 1 in the middle, darker at the rim."""
    distance = cv2.distanceTransform((cover > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    return np.asarray(np.sqrt(np.clip(distance / max(depth, 1.0), 0, 1)), np.float32)


def _capsule(mask: Map, a: npt.ArrayLike, b: npt.ArrayLike, r0: float, r1: float) -> None:
    """Tapered stroke from a to b, in place."""
    p, q = np.asarray(a, float), np.asarray(b, float)
    steps = max(int(np.linalg.norm(q - p) / max(min(r0, r1) * 0.35, 0.7)), 2)
    for t in np.linspace(0, 1, steps):
        centre = np.round((p + (q - p) * t) * 16).astype(int).tolist()
        cv2.circle(mask, centre, max(int((r0 + (r1 - r0) * t) * 16), 8), 1.0, -1, cv2.LINE_8, 4)


def hand(size: int, unit: float, at: npt.NDArray[np.floating], skin: Map, rng: Rng) -> Layer:
    """A hand whose palm or fingers are at a point.

    Args:
        size: Side of the image.
        unit: Width of the face in pixels.
        at: (2,) centre of the hand.
        skin: (S, S, 3) 0..255, surface to draw with.
        rng: Random generator.
    """
    length = unit * rng.uniform(0.75, 1.1)
    turn = rng.uniform(-np.pi, np.pi) if rng.random() < 0.3 else rng.normal(0, 0.6)  # 0: fingers point up
    c, s = np.cos(turn), np.sin(turn)
    mirror = rng.choice([-1, 1])
    start = at - length * rng.uniform(0.1, 0.75) * np.array([s, -c])

    def place(x: float, y: float) -> npt.NDArray[np.float64]:
        x *= mirror
        return np.asarray(start + length * np.array([c * x + s * y, s * x - c * y]), np.float64)

    cover = np.zeros((size, size), np.float32)
    shade = np.zeros((size, size), np.float32)
    parts: list[Map] = []
    palm = np.zeros((size, size), np.float32)
    outline = [place(*p) for p in ((-0.2, 0.0), (-0.24, 0.3), (-0.21, 0.45), (0.21, 0.47), (0.22, 0.25), (0.17, 0.0))]
    cv2.fillPoly(palm, [np.round(np.array(outline) * 16).astype(np.int32)], 1.0, cv2.LINE_8, 4)
    for p, q in ((0, 2), (2, 3), (3, 5)):
        _capsule(palm, outline[p], outline[q], 0.06 * length, 0.06 * length)
    parts.append(palm)
    spread, bend = rng.uniform(0.0, 0.22), rng.uniform(0.45, 1.0)
    fist = rng.random() < 0.15
    for i, reach in enumerate((0.44, 0.52, 0.50, 0.40)):
        finger = np.zeros((size, size), np.float32)
        x = -0.165 + 0.115 * i
        lean = (i - 1.5) * spread + rng.normal(0, 0.05)
        long = reach * (0.25 if fist else bend * rng.uniform(0.85, 1.05))
        mid = place(x + np.sin(lean) * long * 0.55, 0.45 + np.cos(lean) * long * 0.55)
        lean += rng.normal(0, 0.12)
        tip = place(x + np.sin(lean) * long, 0.45 + np.cos(lean) * long)
        _capsule(finger, place(x, 0.38), mid, 0.062 * length, 0.056 * length)
        _capsule(finger, mid, tip, 0.056 * length, 0.046 * length)
        parts.append(finger)
    thumb = np.zeros((size, size), np.float32)
    lean = -rng.uniform(0.2, 1.1)
    knee = place(-0.22 + np.sin(lean) * 0.16, 0.16 + np.cos(lean) * 0.16)
    _capsule(thumb, place(-0.17, 0.06), knee, 0.075 * length, 0.065 * length)
    lean += rng.uniform(-0.1, 0.5)
    _capsule(thumb, knee, place(-0.30 + np.sin(lean) * 0.2, 0.28 + np.cos(lean) * 0.2), 0.062 * length, 0.05 * length)
    parts.append(thumb)
    wrist = np.zeros((size, size), np.float32)
    _capsule(wrist, place(0, 0.05), place(rng.normal(0, 0.3), -2.2), 0.19 * length, 0.26 * length)
    colour = skin.copy()
    sleeve = place(0, -rng.uniform(0.05, 0.9))
    for part in (wrist, *parts):
        body = _round(part, 0.07 * length)
        light = np.float32(rng.uniform(0.5, 0.75)) + np.float32(rng.uniform(0.3, 0.45)) * body
        shade = np.where(part > 0, light, shade)
        # A thin dark line separates a finger from parts below it.
        rim = cv2.dilate(part, np.ones((3, 3), np.uint8)) - part
        shade = np.where((rim > 0) & (cover > 0), shade * np.float32(0.75), shade)
        cover = np.maximum(cover, part)
    colour *= cv2.GaussianBlur(shade, (0, 0), max(0.012 * length, 0.4))[..., None]
    if rng.random() < 0.6:  # a cuff
        y, x = np.mgrid[:size, :size]
        below = (x - sleeve[0]) * s + (y - sleeve[1]) * -c < 0
        cloth = texture(size, rng) * (0.6 + 0.4 * _round(wrist, 0.15 * length))[..., None]
        arm = below & (cv2.dilate(wrist, np.ones((5, 5), np.uint8)) > 0)
        colour = np.where(arm[..., None], cloth, colour)
        cover = np.maximum(cover, arm.astype(np.float32))
    return Layer(colour.astype(np.float32), cover)


def microphone(size: int, unit: float, at: npt.NDArray[np.floating], rng: Rng) -> Layer:
    """A ball on a stick, with the ball at a point."""
    cover = np.zeros((size, size), np.float32)
    lean = rng.normal(0, 0.5) + (np.pi if rng.random() < 0.08 else 0)
    way = np.array([np.sin(lean), np.cos(lean)])
    radius = unit * rng.uniform(0.08, 0.22)
    stick = np.zeros((size, size), np.float32)
    _capsule(stick, at + way * radius * 0.5, at + way * size * 1.5, radius * rng.uniform(0.35, 0.7), radius * 0.5)
    cv2.ellipse(cover, (at.tolist(), (2 * radius, 2 * radius * rng.uniform(1, 1.5)), -float(np.degrees(lean))), 1.0, -1)
    dark = rng.uniform(5, 90) if rng.random() < 0.75 else rng.uniform(90, 230)
    head = texture(size, rng, np.full(3, dark) + rng.normal(0, 8, 3)) * 0.5 + np.float32(dark * 0.5)
    y, x = np.mgrid[:size, :size]
    mesh = ((x + y) % 3 == 0) | ((x - y) % 3 == 0)
    head = head * np.where(mesh, np.float32(rng.uniform(0.6, 1)), np.float32(1))[..., None]
    head *= (0.4 + 0.6 * _round(cover, radius))[..., None]
    light = at + rng.normal(0, 0.35, 2) * radius
    spot = np.exp(-((x - light[0]) ** 2 + (y - light[1]) ** 2) / (0.3 * radius) ** 2)
    head += (spot * rng.uniform(0, 140))[..., None]
    rod = (
        np.full((size, size, 3), rng.uniform(10, 90), np.float32) * (0.5 + 0.9 * _round(stick, radius * 0.4))[..., None]
    )
    colour = np.where((cover > 0)[..., None], head, rod)
    return Layer(np.clip(colour, 0, 255).astype(np.float32), np.maximum(cover, stick))


def thing(size: int, unit: float, at: npt.NDArray[np.floating], rng: Rng, kind: str = "") -> Layer:
    """A flat or rounded object: card, phone, cup, pole, blob; "star" and "leaf" are reserved for tests."""
    cover = np.zeros((size, size), np.float32)
    kind = kind or str(rng.choice(["card", "cup", "pole", "blob", "blob", "phone"]))
    angle = rng.uniform(0, 2 * np.pi)
    wide, high = unit * rng.uniform(0.2, 0.9), unit * rng.uniform(0.2, 0.9)
    colour = texture(size, rng)
    if kind in ("card", "phone", "cup"):
        box = cv2.boxPoints(
            (at.tolist(), (wide, high), float(np.degrees(angle if kind == "card" else rng.normal(0, 0.2))))
        )
        cv2.fillPoly(cover, [np.round(box).astype(np.int32)], 1.0)
        if kind == "phone":
            colour = colour * 0.1 + np.float32(rng.uniform(5, 60))
        if kind == "cup":
            cv2.ellipse(cover, ((float(at[0]), float(at[1] + high / 2)), (wide, wide * 0.3), 0.0), 1.0, -1)
            middle = np.abs(np.arange(size) - at[0] + rng.normal(0, 0.1) * wide) / (wide / 2 + 1)
            colour = colour * np.clip(1.1 - 0.6 * middle**2, 0.3, 1.1)[None, :, None].astype(np.float32)
    elif kind == "pole":
        way = np.array([np.cos(angle), np.sin(angle)])
        ends = rng.choice([0.3, 3.0], 2) * unit
        radius = unit * rng.uniform(0.02, 0.12)
        _capsule(cover, at - way * ends[0], at + way * ends[1], radius, radius * rng.uniform(0.5, 1))
        colour = colour * (0.5 + 0.5 * _round(cover, radius))[..., None]
    else:
        count = {"blob": int(rng.integers(5, 12)), "star": 10, "leaf": 24}[kind]
        turns = np.linspace(0, 2 * np.pi, count, endpoint=False) + angle
        radii = unit * rng.uniform(0.12, 0.45) * rng.uniform(0.6, 1.3, count)
        if kind == "star":
            radii = unit * rng.uniform(0.25, 0.45) * np.where(np.arange(count) % 2, 0.45, 1.0)
        if kind == "leaf":
            radii = (
                unit
                * rng.uniform(0.25, 0.5)
                * (0.35 + 0.65 * np.abs(np.cos(turns - angle)))
                * np.where(np.arange(count) % 2, 0.85, 1.0)
            )
        outline = at + np.stack([np.cos(turns), np.sin(turns)], 1) * radii[:, None]
        cv2.fillPoly(cover, [np.round(outline * 16).astype(np.int32)], 1.0, cv2.LINE_8, 4)
        if kind == "blob" and rng.random() < 0.6:
            cover = (cv2.GaussianBlur(cover, (0, 0), unit * 0.05) > 0.5).astype(np.float32)
        if rng.random() < 0.5:
            colour = colour * (0.5 + 0.5 * _round(cover, unit * 0.15))[..., None]
    return Layer(np.clip(colour, 0, 255).astype(np.float32), cover)


def strands(size: int, unit: float, at: npt.NDArray[np.floating], hair: npt.NDArray[np.floating], rng: Rng) -> Layer:
    """Hair that falls over a point from above or the side; ``hair`` is its colour (3,)."""
    lines = np.zeros((size, size), np.float32)
    tone = np.ones((size, size), np.float32)
    top = at + unit * np.array([rng.normal(0, 0.45), -rng.uniform(0.5, 1.0)])
    end = at + unit * np.array([rng.normal(0, 0.3), rng.uniform(0.1, 0.6)])
    bow = (top + end) / 2 + unit * rng.normal(0, 0.25, 2)
    t = np.linspace(0, 1, 14)[:, None]
    width = unit * rng.uniform(0.015, 0.10)
    for _ in range(int(rng.integers(4, 40))):
        jitter = rng.normal(0, 1, (3, 2)) * np.array([[width], [width], [width * 1.6]])
        a, b, d = top + jitter[0], bow + jitter[1], end + jitter[2]
        curve = (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * d
        points = [np.round(curve * 16).astype(np.int32)]
        thick = int(rng.integers(1, max(int(unit * 0.03), 2) + 1))
        cv2.polylines(lines, points, False, 1.0, thick, cv2.LINE_AA, 4)
        cv2.polylines(tone, points, False, float(rng.uniform(0.6, 1.4)), thick, cv2.LINE_8, 4)
    colour = np.asarray(hair, np.float32) * tone[..., None]
    return Layer(np.clip(colour, 0, 255).astype(np.float32), np.clip(lines, 0, 1), True)


TRAINED: Final = ("hand", "hand", "hand", "microphone", "thing", "thing", "strands")
UNSEEN: Final = ("star", "leaf")


def occluder(
    kind: str, size: int, unit: float, at: npt.NDArray[np.floating], skin: Map, hair: npt.NDArray[np.floating], rng: Rng
) -> Layer:
    """An occluder of a kind (TRAINED or UNSEEN) over a point; see the functions above."""
    if kind == "hand":
        return hand(size, unit, at, skin, rng)
    if kind == "microphone":
        return microphone(size, unit, at, rng)
    if kind == "strands":
        return strands(size, unit, at, hair, rng)
    return thing(size, unit, at, rng, "" if kind == "thing" else kind)


def lay_over(picture: Map, layer: Layer, rng: Rng) -> tuple[Map, Map]:
    """Composite a layer over an image, with a soft edge and a shadow under it.

    Returns:
        The image (S, S, 3) and the layer's coverage (S, S).
    """
    if rng.random() < 0.5 and not layer.hair:
        size = picture.shape[0]
        shift = rng.normal(0, 0.03, 2) * size
        matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float64)
        shadow = cv2.warpAffine(layer.cover, matrix, (size, size), borderMode=cv2.BORDER_REPLICATE)
        shadow = cv2.GaussianBlur(shadow, (0, 0), float(rng.uniform(0.01, 0.05)) * size)
        picture = picture * (1 - np.float32(rng.uniform(0.1, 0.6)) * shadow)[..., None]
    edge = cv2.GaussianBlur(layer.cover, (0, 0), float(rng.uniform(0.4, 1.0)))
    return np.asarray(picture + (layer.colour - picture) * edge[..., None], np.float32), edge
