"""The embedded engine: 478 explicit keypoints, no learned weights beyond the face models, real time on one core.

The source crop is covered by a mesh (face, hair, neck, background) that follows the keypoints; layers draw what a warp
cannot show: eyeballs under moving lids, the inside of the mouth, the background behind the head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from liveportrait.crop import Box, Crop
from liveportrait.engines.base import Engine, Image, Portrait, Surroundings
from liveportrait.engines.mesh import (
    background,
    eyes,
    far_side,
    fit,
    glasses,
    mouth,
    moved,
    outlines,
    placed,
    sliders,
    smile,
    turns,
)
from liveportrait.engines.mesh.data import face_model
from liveportrait.engines.mesh.field import Field, find_field, index_of
from liveportrait.engines.mesh.geometry import eye_opening, lip_gap
from liveportrait.engines.mesh.layout import Layout, Pose, build_layout, compress_depth
from liveportrait.engines.mesh.regions import region_weights
from liveportrait.motion import Array, DeltaSpace, Motion, angle_between, keypoints
from liveportrait.options import MouthMotion
from models.face import Face
from models.matte import PersonMatte
from models.topology import EYE_LEFT, EYE_RIGHT, POINTS

Float = npt.NDArray[np.float64]
Map = npt.NDArray[np.float32]

MIN_CROP = 320  # pixels
ROOM_ABOVE = 0.04  # share of the crop's side that is kept free above the head
_LOOK = 192  # side in pixels of the reduced crop in which the top of the head is located
MAX_TILT = np.radians(20)  # heads tilted further are levelled by the crop
SMOOTH_TURN = 3.0  # outlines are smoothed from this head turn on, degrees
SMOOTH_GAP = 0.12  # or if the mouth opens this much further, face widths: the lower lip then overlaps the chin
FULL_SMILE = 0.03  # raise of the upper lip that a whole smile has, face widths
LIP_AT_REST = 0.35  # share of a smile that can be taken off while the upper lip is not raised at all
MAX_SHIFT = 0.42  # head translation that fits into the crop, in face widths


@dataclass(frozen=True)
class MeshFeatures:
    """Everything that is precomputed for a source (see the classes of its parts)."""

    layout: Layout
    eyes: tuple[eyes.EyeLayer, eyes.EyeLayer]
    mouth: mouth.MouthLayer
    far: far_side.FarSide | None
    ground: moved.Ground | None
    gaze: tuple[Float, Float]
    openings: tuple[float, float]
    stiff: Float | None = None
    cover: Map | None = None
    smile: smile.SmileShading | None = None


class MeshEngine(Engine):
    """Engine of explicit keypoints.

    Args:
        crop_size: Default side of a crop in pixels.
        max_crop: Largest side in pixels; sources up to this size are animated without resampling.
        matte: False disables the person matte: the background near the head then bends with it.
    """

    name = "mesh"
    family = "mesh478"
    keypoints = POINTS
    delta_space: DeltaSpace = "head"
    scaled_translation = True
    camera_turns = True
    alpha = True
    reads_pixels = False
    exact_at_rest = True
    keeps_others = True
    side_view = turns.SIDE_VIEW
    keeps_worn = True
    shows_behind = True

    def __init__(self, crop_size: int = 512, max_crop: int = 1024, matte: bool = True) -> None:
        self.crop_size = crop_size
        self.max_crop = max_crop
        self.regions = region_weights()
        self._matte = PersonMatte() if matte else None

    def fit_crop(self, crop: Crop, image: Image | None = None) -> Crop:
        """See Engine.fit_crop: no resampling where the size allows it, upright unless the head is tilted.

        High hair and hats get room above, so that they turn with the head instead of sticking to the edge.
        """
        box = crop.box
        if abs(box.angle) > MAX_TILT:
            return crop.resized(int(np.clip(round(box.size), MIN_CROP, self.max_crop)))
        if image is not None and self._matte is not None:
            box = _with_room_above(box, image, self._matte)
        size = int(np.clip(round(box.size), MIN_CROP, self.max_crop))
        if size != round(box.size):
            return Crop.of_box(Box(box.x, box.y, box.size), size)
        half = size / 2
        return Crop.of_box(Box(round(box.x - half) + half, round(box.y - half) + half, size), size)

    # ---- source and driver -----------------------------------------------------------------------------------------
    def encode(self, crop: Image, face: Face) -> Portrait:
        """See Engine.encode."""
        return self.encode_in(crop, face, Surroundings())

    def encode_in(self, crop: Image, face: Face, around: Surroundings) -> Portrait:
        """See Engine.encode_in: what is drawn stays behind a cover; other people belong to the background."""
        image = np.ascontiguousarray(crop[..., :3])
        points = face.points.astype(np.float64)
        size = image.shape[0]
        others = around.others
        person = ground = None
        matte = None if face.placed else self._matte  # trained on people only
        seen = None if matte is None else background.find_person(image, points, matte)
        if seen is not None:
            person = background.person_mask(seen, points)
            if others is not None:
                person = person * (1 - others)
            if crop.shape[2] == 3:  # a cut-out has no background of its own
                plate, doubt = background.background_plate(image, person, points, others, around.behind)
                ground = moved.Ground.of(person, plate, doubt, others)
        layout = build_layout(points, size, person)
        both = eyes.prepare_eyes(image, points)
        white = eyes.white_of(both)
        inside = mouth.prepare_mouth(image, points, layout, white)
        if face.placed:
            left, right = (placed.own_eye(layer, image, points) for layer in both)
            both, inside = (left, right), placed.own_mouth(inside, image)
        features = MeshFeatures(
            layout=layout,
            eyes=both,
            mouth=inside,
            far=far_side.build_far_side(image, points, layout, seen),
            ground=ground,
            gaze=(eyes.gaze_offset(layout.canonical, EYE_LEFT), eyes.gaze_offset(layout.canonical, EYE_RIGHT)),
            openings=(eye_opening(layout.canonical, EYE_LEFT), eye_opening(layout.canonical, EYE_RIGHT)),
            stiff=None if face.placed else glasses.stiff_points(image, layout.pose, points, around.worn),
            cover=_either(around.cover, around.worn),
            smile=None if face.placed else smile.build_shading(image, layout),
        )
        motion = self._motion(face, size)
        canonical = face_model().mean
        return Portrait(motion, canonical, keypoints(canonical, motion, self.delta_space), crop, features)

    def read_motion(self, crop: Image, face: Face) -> Motion:
        """See Engine.read_motion. Only the landmarks and the size of the crop are used."""
        return self._motion(face, max(crop.shape[:2]))

    def _motion(self, face: Face, size: int) -> Motion:
        mean = face_model().mean.astype(np.float64)
        pose = Pose.fit(mean, face.points.astype(np.float64))
        shift = np.append(2 * (pose.shift[:2] + 0.5) / size - 1, 2 * pose.shift[2] / size)
        delta = pose.invert(face.points.astype(np.float64)) - mean
        as_array = lambda value: np.asarray(value, np.float32)[None]  # noqa: E731
        return Motion(
            rotation=as_array(pose.rotation.T),
            translation=as_array(shift),
            scale=as_array([2 * pose.scale / size]),
            delta=as_array(delta),
            eye_ratio=as_array(face.eye_ratios),
            lip_ratio=as_array([face.lip_ratio]),
            engine=self.family,
        )

    # ---- expression ------------------------------------------------------------------------------------------------
    def own_smile(self, portrait: Portrait) -> float:
        """See Engine.own_smile: of smiles that hardly raise the upper lip, less can be taken off before it sags."""
        smile = float(np.clip(fit.smile_amount(portrait.features.layout.canonical), 0, 1))
        raised = mouth.upper_lip_raised(portrait.features.mouth, portrait.features.layout)
        return smile * float(np.interp(raised, (0, FULL_SMILE), (LIP_AT_REST, 1)))

    def mouth_share(self, portrait: Portrait, mouth: MouthMotion) -> float:
        """See Engine.mouth_share: by default replaced where a person's mouth is open."""
        if mouth == "auto" and portrait.features.mouth.inside == "photo":
            return 0.0
        if mouth == "auto":
            return fit.mouth_openness(face_model().mean.astype(np.float64) + portrait.motion.delta[0])
        return super().mouth_share(portrait, mouth)

    def fit_delta(
        self, portrait: Portrait, change: Array, driving: Motion, reference: Motion, replaced: float = 0.0
    ) -> Array:
        """See Engine.fit_delta: matches the lids' opening, the gap of the lips and the width of the mouth."""
        mean = face_model().mean.astype(np.float64)
        source = mean + portrait.motion.delta[0]
        neutral = mean + reference.delta[0]
        own_eyes = portrait.features.eyes[0].flat
        sides = [fit.side_shown(rotation) for rotation in driving.rotation]
        frames = [
            fit.fit_expression(source, neutral + change[i], neutral, replaced, side=sides[i], placed=own_eyes) - source
            for i in range(len(change))
        ]
        return np.asarray(frames, np.float32)

    def fit_absolute(self, portrait: Portrait, driving: Motion) -> Array:
        """See Engine.fit_absolute: the driver's expression without their facial features, on the source's features."""
        mean = face_model().mean.astype(np.float64)
        own = portrait.motion.delta[0] - fit.expression_only(mean + portrait.motion.delta[0])
        return np.asarray([own + fit.expression_only(mean + d) for d in driving.delta], np.float32)

    def limit_delta(self, portrait: Portrait, delta: Array) -> Array:
        """See Engine.limit_delta."""
        mean = face_model().mean.astype(np.float64)
        source = mean + portrait.motion.delta[0]
        return np.asarray([fit.within_limits(mean + one, source) - mean for one in delta], np.float32)

    def limit_turn(self, portrait: Portrait, rotation: Array) -> Array:
        """See Engine.limit_turn: the hidden half of a face seen from the side is not in the photo."""
        return turns.limit_turn(rotation, portrait.motion.rotation)

    def neutral_of(self, driving: Motion) -> Motion | None:
        """See Engine.neutral_of."""
        mean = face_model().mean.astype(np.float64)
        own = driving.delta[0] - fit.expression_only(mean + driving.delta[0])
        return Motion(
            driving.rotation, driving.translation, driving.scale, np.asarray(own[None], np.float32),
            driving.eye_ratio, driving.lip_ratio, driving.engine,
        )  # fmt: skip

    def stitch(self, portrait: Portrait, x_d: Array) -> Array:
        """See Engine.stitch: the mesh itself keeps shoulders and border in place; large moves are softened."""
        room = MAX_SHIFT * portrait.motion.scale[0, 0]
        move = np.einsum("bkc,k->bc", (x_d - portrait.keypoints)[..., :2], _stability())[:, None]
        length = np.linalg.norm(move, axis=-1, keepdims=True)
        out = x_d.copy()
        out[..., :2] += move * (room * np.tanh(length / room) / np.maximum(length, 1e-6) - 1)
        return out

    def retarget_eyes(self, portrait: Portrait, ratios: Array) -> Array:
        """See Engine.retarget_eyes."""
        return sliders.lid_offsets(portrait, ratios)

    def retarget_lips(self, portrait: Portrait, ratios: Array) -> Array:
        """See Engine.retarget_lips."""
        return sliders.lip_offsets(portrait, ratios)

    def slider_delta(self, portrait: Portrait, sliders_: Mapping[str, float]) -> Array:
        """See Engine.slider_delta."""
        return sliders.slider_delta(portrait, sliders_)

    # ---- rendering -----------------------------------------------------------------------------------------------
    def render(self, portrait: Portrait, x_d: Array) -> Image:
        """See Engine.render."""
        return np.stack([self._render(portrait, x.astype(np.float64)) for x in x_d])

    def _render(self, portrait: Portrait, x: Float) -> Image:
        f: MeshFeatures = portrait.features
        crop = portrait.crop
        half = crop.shape[0] / 2
        points = np.empty_like(x)
        points[:, :2] = (x[:, :2] + 1) * half - 0.5
        points[:, 2] = x[:, 2] * half + f.layout.pose.shift[2]
        pose = Pose.fit_rigid(f.layout.canonical, points)
        shape = pose.invert(points)
        if f.stiff is not None:
            shape += f.stiff * (f.layout.canonical - shape)
        vertices = f.layout.place(shape, pose)
        for layer in f.eyes:
            if layer.flat:  # a lowered lid covers the eye
                vertices[layer.eye.iris : layer.eye.iris + 5, 2] += placed.EYE_BEHIND * pose.scale
        turn = angle_between(pose.rotation, f.layout.pose.rotation)
        folds = turn > SMOOTH_TURN or lip_gap(shape) - f.mouth.gap > SMOOTH_GAP
        crop = crop if f.smile is None else f.smile.shaded(crop, shape, f.layout.canonical)
        image, alpha, field = self._moved(crop, f, vertices, pose, folds)
        covered = None if f.cover is None else moved.Covered.of(f.cover, field, image, vertices[:POINTS, :2])
        for index, layer in enumerate(f.eyes):
            opening = eye_opening(shape, layer.eye) / max(f.openings[index], 1e-3)
            gaze = eyes.gaze_offset(shape, layer.eye) - f.gaze[index]
            line = _open_line(f.layout, shape, pose, layer)
            eyes.draw_eye(layer, image, vertices, line, opening, gaze, f.layout.pose.scale / pose.scale)
        mouth.draw_mouth(f.mouth, image, vertices, f.layout, pose)
        if covered is not None:
            covered.draw(image)
        return image if alpha is None else np.dstack([image, alpha])

    def _moved(
        self, crop: Image, f: MeshFeatures, vertices: Float, pose: Pose, folds: bool
    ) -> tuple[Image, Image | None, Field]:
        """Source pixels moved by the mesh over the ground; alpha, if any; and where they came from."""
        layout, size = f.layout, len(crop)
        shown = 0.0 if f.far is None else f.far.share(pose)
        texture = layout.rest[:, :2] if f.far is None else layout.rest[:, :2] + shown * f.far.push
        drawn = vertices.astype(np.float32)
        field = find_field(layout.triangles, drawn, texture.astype(np.float32), size, layout.pose.scale)
        hidden = f.far.seen(drawn, shown, size) if f.far is not None and shown > 0 and len(f.far.used) else None
        out = moved.move(np.ascontiguousarray(crop[..., :3]), field, f.ground, hidden)
        alpha = None if crop.shape[2] == 3 else moved.move_map(np.ascontiguousarray(crop[..., 3]), field)
        if alpha is not None and hidden is not None:
            part = alpha[index_of(hidden.window)]
            part[:] = cv2.max(part, np.rint(255 * hidden.share).astype(np.uint8))
        if folds:
            for piece in map(field.at, field.jumps):
                outlines.smooth_outlines(out[piece.part], piece.x, piece.y, size)
        return out, alpha, field


def _either(first: Map | None, second: Map | None) -> Map | None:
    """The larger of two shares, either of which may be missing."""
    if first is None or second is None:
        return first if second is None else second
    return np.maximum(first, second)


def _with_room_above(box: Box, image: Image, matte: PersonMatte) -> Box:
    """The box, grown upwards and sideways until the person no longer reaches its upper edge, within the image."""
    for grow in (1.0, 1.15, 1.3, 1.45):
        size = box.size * grow
        y = box.y - (size - box.size) / 2
        grown = Box(box.x, y, size)
        rows = slice(0, round(ROOM_ABOVE * _LOOK))
        inside = y - size / 2 + ROOM_ABOVE * size > 0  # else the image itself ends here
        if not inside:
            return grown
        seen = matte(Crop.of_box(grown, _LOOK).apply(image[..., :3]))[rows]
        if (seen > 0.5).mean(1).max() < 0.04:
            return grown
    return box


def _stability() -> Float:
    weights = face_model().stability.astype(np.float64)
    return np.asarray(weights / weights.sum())


def _open_line(layout: Layout, shape: Float, pose: Pose, layer: eyes.EyeLayer) -> Float:
    """(9, 2) upper lid line as it would lie if the eye were as open as in the source."""
    upper, lower = list(layer.eye.upper), list(layer.eye.lower)
    line = shape[upper].copy()
    gap = layout.canonical[upper[1:-1]] - layout.canonical[lower[1:-1]]
    line[1:-1] = shape[lower[1:-1]] + gap
    line[1:-1, 2] = layout.canonical[upper[1:-1], 2]
    placed = layout.rest[upper] + pose.apply(compress_depth(line)) - layout.face_base[upper]
    return np.asarray(placed[:, :2])
