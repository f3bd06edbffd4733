"""Transfer: driving motion to motion of the source (spec motion.md section 3; differences: docs/differences.md).

Engines plug in through ``fit_delta``, ``fit_absolute``, ``retarget_eyes``, ``retarget_lips`` and ``stitch``; everything
else is independent of the number of keypoints and of frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from liveportrait.engines.base import Engine, Portrait
from liveportrait.expression import Expression, posed
from liveportrait.motion import Array, Motion, blend, keypoints
from liveportrait.official import hull_multiplier, official_transfer, official_values
from liveportrait.options import AnimationOptions
from liveportrait.rules import (
    LIP_OPEN,
    TransferRules,
    check_family,
    moves,
    region_mask,
    rests_at_reference,
    seen_mask,
    steady_eye_target,
)

__all__ = [
    "TransferRules",
    "check_family",
    "combine",
    "new_motion",
    "official_goal",
    "region_mask",
    "rests_at_reference",
    "steady_eye_target",
    "transfer",
]


def _gains(engine: Engine, options: AnimationOptions) -> Array | np.float32:
    """(K, 3) factor of every expression value, or 1."""
    if options.eye_gain == options.lip_gain == 1:
        return np.float32(1)
    gain = np.ones((engine.keypoints, 3), np.float32)
    gain += engine.regions["eyes"] * np.float32(options.eye_gain - 1)
    gain += engine.regions["lip"] * np.float32(options.lip_gain - 1)
    return gain


def _relative_change(
    engine: Engine, portrait: Portrait, driving: Motion, reference: Motion, options: AnimationOptions
) -> tuple[Array, Array | None]:
    """Change of the source's expression by the driver (N, K, 3), and what the source's mouth loses for it (1, K, 3).

    The second is separate from the first only if a gain or the multiplier treats them differently.
    """
    share = engine.mouth_share(portrait, options.mouth)
    change = engine.fit_delta(portrait, driving.delta - reference.delta, driving, reference, share)
    if share <= 0 or options.multiplier == options.eye_gain == options.lip_gain == 1:
        return change, None
    taken_off = engine.fit_delta(portrait, np.zeros_like(reference.delta), reference, reference, share)
    return change - taken_off, taken_off


def _repeat(array: Array, count: int) -> Array:
    return np.broadcast_to(array, (count, *array.shape[1:]))


def new_motion(
    engine: Engine,
    portrait: Portrait,
    driving: Motion,
    reference: Motion,
    options: AnimationOptions,
    *,
    source_video: bool = False,
) -> Motion:
    """Motion of the source under a driver, before stitching and retargeting.

    Args:
        engine: Engine of both.
        portrait: The source.
        driving: N driving frames.
        reference: The neutral driving frame (N = 1); relative motion is measured from it.
        options: What is transferred, and how strongly.
        source_video: The source is a frame of a clip.

    Returns:
        N frames; the ratios are the driver's.
    """
    source, n = portrait.motion, len(driving)
    restricted = (source_video or not options.relative) and not engine.animals
    mask = region_mask(engine, options.region, restricted=restricted)
    if portrait.covered:
        mask = mask * seen_mask(engine, portrait.covered)
    posed = moves(options.region, "pose")
    stretch = driving.scale / (reference.scale if options.relative else source.scale)
    if options.relative:
        change, taken_off = _relative_change(engine, portrait, driving, reference, options)
        back = reference.rotation.transpose(0, 2, 1)
        if engine.camera_turns:
            rotation = source.rotation @ back @ driving.rotation
        else:
            rotation = driving.rotation @ back @ source.rotation
        shift = driving.translation - reference.translation
        if engine.scaled_translation:
            shift = shift * (source.scale / reference.scale)
        translation = source.translation + shift
    else:
        change, taken_off = engine.fit_absolute(portrait, driving) - source.delta, None
        rotation, translation = driving.rotation, driving.translation
    gain = _gains(engine, options)
    still = source if len(source) == n else source[np.zeros(n, np.int64)]
    moved = replace(
        still,
        rotation=np.asarray(rotation if posed else still.rotation, np.float32),
        translation=np.asarray(translation if posed else still.translation, np.float32),
        scale=np.asarray(still.scale * stretch**options.scale_motion if posed else still.scale, np.float32),
    )
    if options.multiplier != 1:
        moved = blend(still, moved, options.multiplier)
    change = np.float32(options.multiplier) * gain * change
    if taken_off is not None:  # never remove more than there is
        change = change + np.minimum(np.float32(options.multiplier) * gain, 1) * taken_off
    delta = np.asarray(source.delta + mask * change, np.float32)
    if options.multiplier > 1 or np.max(gain) > 1:
        delta = engine.limit_delta(portrait, delta)
    moved = replace(moved, delta=delta)
    return replace(moved, eye_ratio=driving.eye_ratio, lip_ratio=driving.lip_ratio, extra=driving.extra)


def _target(driving: Array, reference: Array, source: Array, gain: float, options: AnimationOptions) -> Array:
    """Target ratio of retargeting: the driver's, with gain around its reference, multiplier around the source."""
    base = np.where(np.isnan(reference), driving, reference) if options.relative else source
    wanted = base + gain * (driving - base)
    return np.maximum(source + options.multiplier * (wanted - source), 0).astype(np.float32)


def _turned(engine: Engine, source: Motion, moved: Motion, offsets: Array) -> Array:
    """Offsets in the source's own pose, turned with the head where the expression is fixed to the head."""
    if engine.delta_space == "camera":
        return offsets
    turn = source.rotation.transpose(0, 2, 1) @ moved.rotation
    return np.asarray(offsets @ turn * (moved.scale / source.scale)[:, :, None], np.float32)


def _fixed(expression: Expression | None) -> tuple[Array | None, Array | None]:
    """Ratios that an expression fixes: eyes (1, 2), NaN for a free one, and lips (1, 1); None: all are free."""
    if expression is None:
        return None, None
    eyes, lips = expression.eye_ratio, expression.lip_ratio
    return (
        None if eyes is None else np.array([eyes], np.float32),
        None if lips is None else np.array([[lips]], np.float32),
    )


def _retarget(
    engine: Engine,
    portrait: Portrait,
    moved: Motion,
    reference: Motion,
    options: AnimationOptions,
    expression: Expression | None,
) -> tuple[Motion, Array]:
    """Retarget eyes and lips on top of the other motion; ratios that the expression fixes take precedence.

    The values that open lids or lips are reset to the source's (regions "lids" and "lip_opening" if the engine has
    them, else "eyes" and "lip"), and the engine's offsets for the driver's ratios are added instead.
    """
    source = portrait.motion
    offsets = np.zeros((len(moved), engine.keypoints, 3), np.float32)
    delta = moved.delta.copy()
    eyes, lips = _fixed(expression)
    for wanted, fixed, ratio, own, region, gain, function in (
        (
            options.eye_retargeting and portrait.covered != "upper",
            eyes,
            "eye_ratio",
            "lids",
            "eyes",
            options.eye_gain,
            engine.retarget_eyes,
        ),
        (
            options.lip_retargeting and portrait.covered != "lower",
            lips,
            "lip_ratio",
            "lip_opening",
            "lip",
            options.lip_gain,
            engine.retarget_lips,
        ),
    ):
        if (fixed is None and not wanted) or np.isnan(getattr(source, ratio)).any():
            continue
        target = _target(getattr(moved, ratio), getattr(reference, ratio), getattr(source, ratio), gain, options)
        if fixed is not None:
            target = np.where(np.isnan(target), getattr(source, ratio), target)
            target = np.where(np.isnan(fixed), target, fixed).astype(np.float32)
        known = np.asarray(~np.isnan(target).any(axis=1))
        if not known.any():
            continue
        mask = known[:, None, None] * np.asarray(engine.regions.get(own, engine.regions[region]), np.float32)
        delta = (1 - mask) * delta + mask * source.delta
        change = _turned(engine, source, moved[known.nonzero()[0]], function(portrait, target[known]))
        offsets[known] += change
    return replace(moved, delta=delta.astype(np.float32)), offsets


def _normalised(
    engine: Engine, portrait: Portrait, moved: Motion, options: AnimationOptions, eye_target: float | None
) -> Array | None:
    """Offsets that close the source's lips and steady its eyes, (N, K, 3), or None."""
    source = portrait.motion
    parts = []
    lips = moves(options.region, "lip") and options.relative and not options.lip_retargeting
    lips = lips and portrait.covered != "lower"
    if options.normalize_lip and lips and float(source.lip_ratio[0, 0]) >= LIP_OPEN:
        own = np.float32(1 - engine.mouth_share(portrait, options.mouth))  # the rest was replaced by the driver's
        parts.append(own * engine.retarget_lips(portrait, np.zeros((1, 1), np.float32)))
    if options.source_eye_normalize and eye_target is not None and not options.eye_retargeting:
        parts.append(engine.retarget_eyes(portrait, np.full((1, 2), eye_target, np.float32)))
    if not parts:
        return None
    total = np.asarray(np.sum(parts, axis=0), np.float32)
    return _turned(engine, source, moved, _repeat(total, len(moved)))


def transfer(
    engine: Engine,
    portrait: Portrait | Sequence[Portrait],
    driving: Motion,
    reference: Motion,
    options: AnimationOptions,
    *,
    offsets: Array | None = None,
    expression: Expression | None = None,
    eye_target: float | None = None,
    rules: TransferRules | None = None,
    smoothed: tuple[Array, Array] | None = None,
) -> Array:
    """Driving keypoints of every frame.

    Args:
        engine: Engine of source and driver.
        portrait: The source image, or N portraits of the frames of a source clip.
        driving: N driving frames.
        reference: The neutral driving frame (N = 1), see ``liveportrait.reference``. For a single driving image use
            ``lone_reference``.
        options: What is transferred, and how strongly.
        offsets: (1 or N, K, 3) expression offsets to add.
        expression: Sliders on top of the driving motion; ratios that it fixes take precedence over the driver's.
        eye_target: Eye ratio that ``source_eye_normalize`` applies to the eyes of a source clip
            (``steady_eye_target`` of its first frame).
        rules: Official behaviour instead of ours. It needs the whole clip at once.
        smoothed: With the option "official" and a source clip: expression and rotation (``official_goal``) smoothed
            along the clip; None takes them as they are.

    Returns:
        (N, K, 3) float32, crop units.

    Raises:
        ValueError: If driver and engine have different keypoints, or the numbers of frames differ.
    """
    check_family(engine, driving)
    if rules is not None and rules.official:
        return official_transfer(engine, portrait, driving, options, rules)
    if options.official:
        return _by_official_rules(
            engine, portrait, driving, reference, options,
            offsets=offsets, expression=expression, eye_target=eye_target, smoothed=smoothed,
        )  # fmt: skip
    if engine.animals:
        options = replace(options, relative=False, driving_option="expression-friendly")
    if isinstance(portrait, Portrait):
        return _transfer_one(
            engine,
            portrait,
            driving,
            reference,
            options,
            offsets=offsets,
            expression=expression,
            eye_target=None,
            source_video=False,
        )
    if len(portrait) != len(driving):
        raise ValueError(f"the source clip has {len(portrait)} frames here, the driving motion {len(driving)}.")
    parts = []
    for i, one in enumerate(portrait):
        own = offsets if offsets is None or len(offsets) == 1 else offsets[i : i + 1]
        parts.append(
            _transfer_one(
                engine,
                one,
                driving[i],
                reference,
                options,
                offsets=own,
                expression=expression,
                eye_target=eye_target,
                source_video=True,
            )
        )
    return np.concatenate(parts)


def _transfer_one(
    engine: Engine, portrait: Portrait, driving: Motion, reference: Motion, options: AnimationOptions, *,
    offsets: Array | None, expression: Expression | None, eye_target: float | None, source_video: bool,
) -> Array:  # fmt: skip
    moved = new_motion(engine, portrait, driving, reference, options, source_video=source_video)
    if offsets is not None:
        moved = replace(moved, delta=moved.delta + offsets)
    if expression is not None:
        moved = posed(moved, expression)
        if expression.face:
            moved = replace(moved, delta=moved.delta + engine.slider_delta(portrait, expression.face))
    if options.turn_limit:
        moved = replace(moved, rotation=engine.limit_turn(portrait, moved.rotation))
    moved, retargeting = _retarget(engine, portrait, moved, reference, options, expression)
    x_d = keypoints(portrait.canonical, moved, engine.delta_space)
    if not options.relative and options.driving_option == "expression-friendly":
        at_rest = new_motion(engine, portrait, reference, reference, options, source_video=source_video)
        base = keypoints(portrait.canonical, at_rest, engine.delta_space)
        x_d = portrait.keypoints + np.float32(hull_multiplier(portrait.keypoints, base)) * (x_d - base)
    x_d = x_d + retargeting
    if options.stitching:
        x_d = engine.stitch(portrait, x_d)
    if expression is not None and expression.lip_ratio is not None:
        options = replace(options, normalize_lip=False)
    normalised = _normalised(engine, portrait, moved, options, eye_target)
    return np.asarray(x_d if normalised is None else x_d + normalised, np.float32)


def official_rules(engine: Engine, options: AnimationOptions) -> TransferRules:
    """The official rules for any piece of a clip."""
    friendly = options.driving_option == "expression-friendly"
    return TransferRules(official=True, expression_friendly=friendly, animal=engine.animals)


def official_goal(
    engine: Engine, portrait: Portrait, driving: Motion, reference: Motion, options: AnimationOptions, *,
    offsets: Array | None = None, expression: Expression | None = None,
) -> tuple[Array, Array]:  # fmt: skip
    """The values that the release smooths under a source clip: expression (1, K, 3), rotation (1, 3, 3) of one frame.

    Args:
        engine: Engine of source and driver.
        portrait: Frame of the source clip.
        driving: Driving frame (N = 1).
        reference: The frame that stands for the driving clip's first.
        options: relative and region are used.
        offsets: (1, K, 3) expression offsets.
        expression: Sliders on top.
    """
    source, shown = _with_sliders(engine, portrait, driving, options, offsets, expression)
    return official_values(engine, source.motion, shown, reference, options, official_rules(engine, options), clip=True)


def _with_sliders(
    engine: Engine, portrait: Portrait, driving: Motion, options: AnimationOptions, offsets: Array | None,
    expression: Expression | None,
) -> tuple[Portrait, Motion]:  # fmt: skip
    """Apply sliders to the source in relative motion, to the driver in absolute motion; the release has no such mix."""
    delta = np.zeros((1, engine.keypoints, 3), np.float32) if offsets is None else offsets
    if expression is not None and expression.face:
        delta = delta + engine.slider_delta(portrait, expression.face)

    def under(motion: Motion) -> Motion:
        shown = motion if expression is None else posed(motion, expression)
        return replace(shown, delta=np.asarray(shown.delta + delta, np.float32))

    if options.relative and not engine.animals:
        return replace(portrait, motion=under(portrait.motion)), driving
    return portrait, under(driving)


def _by_official_rules(
    engine: Engine, portrait: Portrait | Sequence[Portrait], driving: Motion, reference: Motion,
    options: AnimationOptions, *, offsets: Array | None, expression: Expression | None, eye_target: float | None,
    smoothed: tuple[Array, Array] | None,
) -> Array:  # fmt: skip
    """The official rules for any piece of a clip: the reference stands for the clip's first frame."""
    rules = official_rules(engine, options)
    options = replace(options, smooth=0.0)  # frames of a clip are already smoothed, or must not be
    single = isinstance(portrait, Portrait)
    portraits = [portrait] if isinstance(portrait, Portrait) else list(portrait)
    if not single and len(portraits) != len(driving):
        raise ValueError(f"the source clip has {len(portraits)} frames here, the driving motion {len(driving)}.")
    parts = []
    for i, one in enumerate(portraits):
        rows = slice(None) if single else slice(i, i + 1)
        own = offsets if offsets is None or len(offsets) == 1 or single else offsets[rows]
        source, shown = _with_sliders(engine, one, driving if single else driving[i], options, own, expression)
        whole = Motion.concatenate([reference, shown])
        values = None
        if smoothed is not None and not single:  # drop the reference's own row
            values = tuple(np.concatenate([part[rows], part[rows]]) for part in smoothed)
        given = source if single else [source] * len(whole)
        parts.append(official_transfer(engine, given, whole, options, rules, eye_target, values)[1:])  # type: ignore[arg-type]
    x_d = np.concatenate(parts)
    eyes, lips = _fixed(expression)
    for i, one in enumerate(portraits):
        ratio, rows = one.motion.eye_ratio, slice(None) if single else slice(i, i + 1)
        if eyes is not None and not np.isnan(ratio).any():
            target = np.where(np.isnan(eyes), ratio, eyes).astype(np.float32)
            x_d[rows] += engine.retarget_eyes(one, target)
        if lips is not None and not np.isnan(one.motion.lip_ratio).any():
            x_d[rows] += engine.retarget_lips(one, lips)
    return np.asarray(x_d, np.float32)


def combine(
    motions: Mapping[str, Motion],
    regions: Mapping[str, npt.NDArray[Any]],
    rest: Motion | None = None,
    extra_regions: Mapping[str, str] | None = None,
) -> Motion:
    """One motion out of several drivers: pose from one, lips from another, and so on.

    Each part of the face has exactly one owner, so the order doesn't matter. Combine the references of the drivers in
    the same way for relative motion.

    Args:
        motions: Owner of "pose", "lip", "eyes" and "exp" (expression but lips and eyes); "all" owns what has no other
            owner. N frames each, or 1 frame that is held.
        regions: The engine's regions.
        rest: Owner of parts without another owner (N or 1 frames), usually the reference; needed if "all" is absent and
            a part is.
        extra_regions: Name of an extra array -> region; the others belong to "exp".

    Returns:
        N frames.

    Raises:
        ValueError: If a part has no owner, or the numbers of frames don't fit.
    """
    unknown = set(motions) - {"pose", "lip", "eyes", "exp", "all"}
    if unknown:
        raise ValueError(f"unknown regions {', '.join(sorted(unknown))}; use pose, lip, eyes, exp or all.")
    owners: dict[str, Motion] = {}
    for part in ("pose", "exp", "lip", "eyes"):
        owner = motions.get(part, motions.get("exp") if part in ("lip", "eyes") else None)
        owner = owner or motions.get("all", rest)
        if owner is None:
            raise ValueError(f"no driver is given for the region {part}.")
        owners[part] = owner
    lengths = {len(m) for m in owners.values()} - {1}
    if len(lengths) > 1:
        raise ValueError(f"the drivers have different numbers of frames: {', '.join(map(str, sorted(lengths)))}.")
    n = lengths.pop() if lengths else 1
    parts = {k: m if len(m) == n else m[np.zeros(n, np.int64)] for k, m in owners.items()}
    delta = parts["exp"].delta.copy()
    for part in ("lip", "eyes"):
        mask = np.asarray(regions[part], np.float32)
        delta = (1 - mask) * delta + mask * parts[part].delta
    where = extra_regions or {}
    names = {name for m in parts.values() for name in m.extra}
    extra = {name: parts[where.get(name, "exp")].extra.get(name) for name in names}
    return replace(
        parts["pose"],
        delta=np.asarray(delta, np.float32),
        eye_ratio=parts["eyes"].eye_ratio,
        lip_ratio=parts["lip"].lip_ratio,
        extra={k: v for k, v in extra.items() if v is not None},
    )
