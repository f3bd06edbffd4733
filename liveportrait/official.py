"""The official release's main loop, number for number and quirk for quirk (spec motion.md sections 3 and 9).

Used for parity and for people who want its exact results; ``liveportrait.transfer`` holds our own rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from liveportrait.engines.base import Engine, Portrait
from liveportrait.expression import official_delta
from liveportrait.hull import convex_hull_volume
from liveportrait.motion import Array, Motion, euler_from_rotation, keypoints, rotation_from_euler
from liveportrait.options import AnimationOptions
from liveportrait.rules import LIP_OPEN, TransferRules, region_mask, steady_eye_target
from liveportrait.smoothing import SMOOTHING_UNIT, smooth


def hull_multiplier(source: Array, driving: Array) -> float:
    """Square root of the ratio of hull volumes of (1, K, 3) source keypoints and those of the first driving frame."""
    volume = convex_hull_volume(driving)
    return float(np.sqrt(convex_hull_volume(source)) / np.sqrt(volume)) if volume > 0 else 1.0


def _motion(
    engine: Engine, source: Motion, driving: Motion, options: AnimationOptions, *, rules: TransferRules, clip: bool
) -> Motion:
    """Sections 3.2 and 3.3. source has N frames; clip says that it comes from a video."""
    first = driving[0]
    lone = rules.driving_image
    lips = rules.neutral_lips if rules.neutral_lips is not None else np.zeros_like(first.delta)
    posed = options.region in ("all", "pose")
    mask = region_mask(engine, options.region, restricted=clip or not options.relative)
    rotation, delta = driving.rotation, driving.delta
    translation, scale = source.translation, source.scale
    if options.relative:
        rotation = driving.rotation @ first.rotation.transpose(0, 2, 1) @ source.rotation
        base = (lips if clip or options.region != "eyes" else 0.0) if lone else first.delta
        delta = np.asarray(source.delta + (driving.delta - base), np.float32)
        if lone:
            rotation = source.rotation
        if posed and not clip:
            translation = source.translation + (driving.translation - first.translation)
        if options.region == "all" and not clip:
            scale = source.scale * (driving.scale / first.scale)
    elif posed:
        translation = driving.translation
    if clip and not lone:
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
) -> Array:
    """Driving keypoints of a whole clip as the official release computes them.

    Args:
        engine: Engine with the official networks.
        portrait: The source picture, or the portraits of all N source frames.
        driving: N driving frames, or 1 for a driving picture (repeated for a source clip).
        options: scale_motion, gains and reference are ignored, as the release has none: the first frame counts.
        rules: Which variant.
        eye_target: Opening at which the eyes of a source clip are held; None takes it from its first frame.

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
        moved = _motion(engine, source, driving, options, rules=rules, clip=clip)
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
    eye_ratio: float | None = None, lip_ratio: float | None = None, stitching: bool = True,
) -> Array:  # fmt: skip
    """Keypoints of the official picture editor (spec motion.md section 10.1).

    Args:
        engine: Engine with the official networks.
        portrait: The source.
        sliders: pitch, yaw, roll (degrees), zoom (1), and those of ``expression.official_delta``, official units.
        eye_ratio: Target opening if it differs from the source's.
        lip_ratio: Target opening if it differs from the source's.
        stitching: Stitch at the end.

    Returns:
        (1, K, 3). The z of the translation is added, unlike in the main loop.
    """
    source = portrait.motion
    head = {name: sliders.get(name, 0.0) for name in ("pitch", "yaw", "roll")}
    turn = np.array([[head["pitch"], head["yaw"], head["roll"]]], np.float32)
    angles = euler_from_rotation(source.rotation) + turn
    rotation = rotation_from_euler(angles[:, 0], angles[:, 1], angles[:, 2])
    face = {name: value for name, value in sliders.items() if name not in head and name != "zoom"}
    shape = portrait.canonical @ rotation + source.delta + official_delta(face)
    x_d = np.float32(sliders.get("zoom", 1.0)) * source.scale[:, :, None] * shape + source.translation[:, None]
    if eye_ratio is not None:
        x_d = x_d + engine.retarget_eyes(portrait, np.full((1, 2), eye_ratio, np.float32))
    if lip_ratio is not None:
        x_d = x_d + engine.retarget_lips(portrait, np.full((1, 1), lip_ratio, np.float32))
    return np.asarray(engine.stitch(portrait, x_d) if stitching else x_d, np.float32)
