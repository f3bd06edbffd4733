"""One finished frame: a portrait, the motion to show, options and sliders."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from liveportrait.expression import express
from liveportrait.transfer import transfer

if TYPE_CHECKING:
    from app.live.frames import Pixels, Tracked
    from app.live.portraits import PreparedPortrait
    from liveportrait.engines.base import Engine
    from liveportrait.expression import Expression
    from liveportrait.motion import Array, Motion
    from liveportrait.options import AnimationOptions


def driving_keypoints(
    engine: Engine,
    prepared: PreparedPortrait,
    tracked: Tracked,
    options: AnimationOptions,
    expression: Expression | None,
) -> Array:
    """Keypoints of the frame (1, K, 3), in crop units."""
    portrait = prepared.face.portrait
    if tracked.motion is None:
        if expression is None:
            return portrait.keypoints
        return express(engine, portrait, expression, options.stitching)
    motion, reference = tracked.motion, tracked.reference or portrait.motion
    if expression is not None:
        motion, reference, options = with_openings(motion, reference, options, expression, portrait.motion)
    return transfer(engine, portrait, motion, reference, options, expression=expression)


def with_openings(
    motion: Motion, reference: Motion, options: AnimationOptions, expression: Expression, source: Motion
) -> tuple[Motion, Motion, AnimationOptions]:
    """Motion, reference and options under which eyes and lips have the openings of the expression, if it sets any."""
    strength = options.multiplier if options.multiplier > 0 else 1.0

    def fixed(wanted: object, own: Array) -> Array:
        return np.asarray(own + (np.asarray(wanted, np.float32) - own) / strength, np.float32)

    if expression.eye_ratio is not None:
        motion = replace(motion, eye_ratio=fixed([expression.eye_ratio], source.eye_ratio))
        reference = replace(reference, eye_ratio=np.full_like(reference.eye_ratio, np.nan))
        options = replace(options, eye_retargeting=True)
    if expression.lip_ratio is not None:
        motion = replace(motion, lip_ratio=fixed([[expression.lip_ratio]], source.lip_ratio))
        reference = replace(reference, lip_ratio=np.full_like(reference.lip_ratio, np.nan))
        options = replace(options, lip_retargeting=True)
    return motion, reference, options


def compose(prepared: PreparedPortrait, square: Pixels, options: AnimationOptions) -> Pixels:
    """The full picture with the rendered square, or the bare square without paste-back."""
    return prepared.face.compositor.paste(square) if options.paste_back else square


def at_rest(prepared: PreparedPortrait, options: AnimationOptions) -> Pixels:
    """The portrait as it is, framed like the result."""
    return prepared.picture if options.paste_back else prepared.face.portrait.crop
