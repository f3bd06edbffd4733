"""The official release's main loop, reproduced exactly with all its quirks (spec motion.md sections 3 and 9).

Used for parity tests and for users who want its exact results; ``liveportrait.transfer`` contains our own rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from liveportrait.engines.base import Engine, Portrait
from liveportrait.expression import OFFICIAL_UNITS, SLIDERS, Expression, express, official_delta
from liveportrait.hull import convex_hull_volume
from liveportrait.motion import Array, Motion, euler_from_rotation, keypoints, rotation_from_euler
from liveportrait.options import AnimationOptions
from liveportrait.rules import LIP_OPEN, TransferRules, moves, region_mask, steady_eye_target
from liveportrait.smoothing import SMOOTHING_UNIT, smooth

OFFICIAL_KEYPOINTS: Final = 21
HEAD_SLIDERS: Final[tuple[str, ...]] = ("pitch", "yaw", "roll", "zoom")
OFFICIAL_SLIDERS: Final[Mapping[str, str]] = {
    "gaze_x": "gaze_x", "gaze_y": "gaze_y", "smile": "smile", "wink_left": "wink", "brow": "brow", "pout": "pout",
    "purse": "purse", "wide": "wide", "lip_open": "lip_open",
}  # fmt: skip
"""Our slider -> the official editor's slider."""


def hull_multiplier(source: Array, driving: Array) -> float:
    """Square root of the ratio of hull volumes of (1, K, 3) source keypoints and those of the first driving frame."""
    volume = convex_hull_volume(driving)
    return float(np.sqrt(convex_hull_volume(source)) / np.sqrt(volume)) if volume > 0 else 1.0


def official_values(
    engine: Engine, source: Motion, driving: Motion, first: Motion, options: AnimationOptions, rules: TransferRules,
    *, clip: bool,
) -> tuple[Array, Array]:  # fmt: skip
    """Expression and rotation that the release computes before it smooths them.

    Args:
        engine: Engine of both.
        source: N source frames, or 1.
        driving: N driving frames, or 1.
        first: First driving frame (N = 1).
        options: relative and region are used.
        rules: Which variant.
        clip: The source is a video.

    Returns:
        (N, K, 3) expression and (N, 3, 3) rotation.
    """
    if not options.relative:
        return driving.delta, driving.rotation
    lips = rules.neutral_lips if rules.neutral_lips is not None else np.zeros_like(first.delta)
    lone = rules.driving_image
    base = (lips if clip or options.region != "eyes" else 0.0) if lone else first.delta
    delta = np.asarray(source.delta + (driving.delta - base), np.float32)
    turned = driving.rotation @ first.rotation.transpose(0, 2, 1) @ source.rotation
    return delta, source.rotation if lone else turned


def _motion(
    engine: Engine, source: Motion, driving: Motion, options: AnimationOptions, *, rules: TransferRules, clip: bool,
    smoothed: tuple[Array, Array] | None,
) -> Motion:  # fmt: skip
    """Sections 3.2 and 3.3. source has N frames; clip means that it comes from a video."""
    first = driving[0]
    posed = moves(options.region, "pose")
    mask = region_mask(engine, options.region, restricted=clip or not options.relative)
    translation, scale = source.translation, source.scale
    if options.relative:
        if posed and not clip:
            translation = source.translation + (driving.translation - first.translation)
        if options.region == "all" and not clip:
            scale = source.scale * (driving.scale / first.scale)
    elif posed:
        translation = driving.translation
    if smoothed is not None:
        delta, rotation = smoothed
    else:
        delta, rotation = official_values(engine, source, driving, first, options, rules, clip=clip)
        if clip and not rules.driving_image:
            variance = options.smooth * SMOOTHING_UNIT
            delta, rotation = smooth(delta, variance), smooth(rotation, variance)
    return replace(
        source,
        rotation=rotation if posed else source.rotation,
        translation=translation,
        scale=scale,
        delta=np.asarray(np.where(mask, delta, source.delta), np.float32),
    )


def official_transfer(
    engine: Engine,
    portrait: Portrait | Sequence[Portrait],
    driving: Motion,
    options: AnimationOptions,
    rules: TransferRules,
    eye_target: float | None = None,
    smoothed: tuple[Array, Array] | None = None,
) -> Array:
    """Driving keypoints of a whole clip as the official release computes them.

    Args:
        engine: Engine with the official networks.
        portrait: The source image, or the portraits of all N source frames.
        driving: N driving frames, or 1 for a driving image (repeated for a source clip).
        options: scale_motion, gains and reference are ignored, as the release has none: it uses the first frame.
        rules: Which variant.
        eye_target: Fixed eye ratio for a source clip; None takes it from its first frame.
        smoothed: Result of ``official_values`` for these frames, already smoothed along the clip; None smooths here.

    Returns:
        (N, K, 3) float32.
    """
    clip = not isinstance(portrait, Portrait)
    portraits: list[Portrait] = list(portrait) if not isinstance(portrait, Portrait) else [portrait]
    n = len(portraits) if clip else len(driving)
    if clip:
        n = n if rules.driving_image else min(n, len(driving))
        portraits = portraits[:n]
    else:
        portraits *= n
    driving = driving[np.zeros(n, np.int64)] if len(driving) == 1 else driving[:n]
    source = Motion.concatenate([p.motion for p in portraits])
    canonical = np.stack([p.canonical for p in portraits])
    x_s = np.concatenate([p.keypoints for p in portraits])
    if rules.animal:
        moved = replace(source, rotation=driving.rotation, delta=driving.delta, translation=driving.translation)
    else:
        moved = _motion(engine, source, driving, options, rules=rules, clip=clip, smoothed=smoothed)
    x_d = keypoints(canonical, moved, engine.delta_space)
    friendly = rules.expression_friendly and options.relative and not clip and not rules.driving_image
    if rules.animal or friendly:
        x_d = x_s + np.float32(hull_multiplier(x_s[:1], x_d[:1])) * (x_d - x_d[:1])
    if rules.animal:
        x_d = np.concatenate([_stitch(engine, p, x_d[i : i + 1], options) for i, p in enumerate(portraits)])
    else:
        target = steady_eye_target(source[0]) if eye_target is None else eye_target
        target = target if clip and options.source_eye_normalize else None
        x_d = np.concatenate(
            [
                _finish(engine, p, x_d[i : i + 1], driving[i], options, eye_target=target)
                for i, p in enumerate(portraits)
            ]
        )
    return np.asarray(x_s + (x_d - x_s) * np.float32(options.multiplier), np.float32)


def _stitch(engine: Engine, portrait: Portrait, x_d: Array, options: AnimationOptions) -> Array:
    return engine.stitch(portrait, x_d) if options.stitching else x_d


def _finish(
    engine: Engine,
    portrait: Portrait,
    x_d: Array,
    driving: Motion,
    options: AnimationOptions,
    *,
    eye_target: float | None,
) -> Array:
    """Sections 3.6 and 3.7 for one frame."""
    if options.eye_retargeting or options.lip_retargeting:
        x = portrait.keypoints if options.relative else x_d  # relative: the driving motion is lost, as in the release
        if options.eye_retargeting:
            x = x + engine.retarget_eyes(portrait, np.repeat(driving.eye_ratio[:, :1], 2, axis=1))
        if options.lip_retargeting:
            x = x + engine.retarget_lips(portrait, driving.lip_ratio)
        return _stitch(engine, portrait, x, options)
    x = _stitch(engine, portrait, x_d, options)
    if options.normalize_lip and options.relative and float(portrait.motion.lip_ratio[0, 0]) >= LIP_OPEN:
        x = x + engine.retarget_lips(portrait, np.zeros((1, 1), np.float32))
    if eye_target is not None:
        x = x + engine.retarget_eyes(portrait, np.full((1, 2), eye_target, np.float32))
    return x


def official_edit(
    engine: Engine, portrait: Portrait, sliders: Mapping[str, float], *,
    eye_ratio: float | Array | None = None, lip_ratio: float | None = None, stitching: bool = True,
    further: Array | None = None,
) -> Array:  # fmt: skip
    """Keypoints of the official image editor (spec motion.md section 10.1).

    Args:
        engine: Engine with the official networks.
        portrait: The source.
        sliders: pitch, yaw, roll (degrees), zoom (1), and those of ``expression.official_delta``, in official units.
        eye_ratio: Target eye ratio if it differs from the source's; one number, or (1, 2) for left and right.
        lip_ratio: Target lip ratio if it differs from the source's.
        stitching: Stitch at the end.
        further: (1, K, 3) expression offsets of sliders that the official editor does not have.

    Returns:
        (1, K, 3). The z of the translation is added, unlike in the main loop.
    """
    source = portrait.motion
    head = {name: sliders.get(name, 0.0) for name in ("pitch", "yaw", "roll")}
    turn = np.array([[head["pitch"], head["yaw"], head["roll"]]], np.float32)
    angles = euler_from_rotation(source.rotation) + turn
    rotation = rotation_from_euler(angles[:, 0], angles[:, 1], angles[:, 2])
    face = {name: value for name, value in sliders.items() if name not in head and name != "zoom"}
    delta = source.delta + official_delta(face) + (0.0 if further is None else further)
    shape = portrait.canonical @ rotation + delta
    x_d = np.float32(sliders.get("zoom", 1.0)) * source.scale[:, :, None] * shape + source.translation[:, None]
    if eye_ratio is not None:
        x_d = x_d + engine.retarget_eyes(portrait, np.broadcast_to(np.asarray(eye_ratio, np.float32), (1, 2)))
    if lip_ratio is not None:
        x_d = x_d + engine.retarget_lips(portrait, np.full((1, 1), lip_ratio, np.float32))
    return np.asarray(engine.stitch(portrait, x_d) if stitching else x_d, np.float32)


def official_express(engine: Engine, portrait: Portrait, expression: Expression, stitching: bool = True) -> Array:
    """Keypoints of our sliders by the rules of the official image editor; see ``official_edit``.

    Sliders that the editor does not have (the right eye's wink, single eyes, blink, frown) are ours.

    Args:
        engine: Engine of the portrait; one without LivePortrait's keypoints uses our rules.
        portrait: The source.
        expression: Slider values, eye and lip ratios. As in the editor, a ratio counts only if it differs from the
            source's, rounded to hundredths.
        stitching: Stitch at the end.

    Returns:
        (1, K, 3) crop units.
    """
    if engine.keypoints != OFFICIAL_KEYPOINTS:
        return express(engine, portrait, expression, stitching)
    values = {name: value for name, value in expression.values.items() if value != SLIDERS[name].default}
    sliders: dict[str, float] = {name: values[name] for name in HEAD_SLIDERS if name in values}
    sliders |= {"shift_x": -values.get("move_x", 0.0), "shift_y": values.get("move_y", 0.0)}
    own = {name: value for name, value in expression.face.items() if name not in OFFICIAL_SLIDERS}
    for name, official in OFFICIAL_SLIDERS.items():
        if name in values:
            sliders[official] = OFFICIAL_UNITS[official] * values[name]
    eyes: Array | None = None
    source = portrait.motion
    if expression.eye_ratio is not None and not np.isnan(source.eye_ratio).any():
        wanted = np.array([expression.eye_ratio], np.float32)  # None becomes NaN
        at_rest = np.round(source.eye_ratio.mean(), 2)
        if np.isnan(wanted).any() or not np.allclose(wanted, at_rest, atol=1e-6):
            eyes = np.where(np.isnan(wanted), source.eye_ratio, wanted).astype(np.float32)
    lips = expression.lip_ratio
    if lips is not None and (
        np.isnan(source.lip_ratio).any() or abs(lips - round(float(source.lip_ratio[0, 0]), 2)) < 1e-6
    ):
        lips = None
    further = engine.slider_delta(portrait, own) if own else None
    return official_edit(
        engine, portrait, sliders, eye_ratio=eyes, lip_ratio=lips, stitching=stitching, further=further
    )
