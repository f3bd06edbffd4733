"""One finished frame: a portrait, the motion to show, options and sliders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from liveportrait.expression import express
from liveportrait.transfer import transfer

if TYPE_CHECKING:
    from app.live.frames import Pixels, Tracked
    from app.live.portraits import PreparedPortrait
    from liveportrait.engines.base import Engine
    from liveportrait.expression import Expression
    from liveportrait.motion import Array
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
    return transfer(engine, portrait, motion, reference, options, expression=expression)


def compose(prepared: PreparedPortrait, square: Pixels, options: AnimationOptions) -> Pixels:
    """The full picture with the rendered square, or the bare square without paste-back."""
    return prepared.face.compositor.paste(square) if options.paste_back else square


def at_rest(prepared: PreparedPortrait, options: AnimationOptions) -> Pixels:
    """The portrait as it is, framed like the result."""
    return prepared.picture if options.paste_back else prepared.face.portrait.crop
