"""One finished frame: a portrait, the motion to show, options and sliders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from liveportrait.expression import express
from liveportrait.transfer import transfer

if TYPE_CHECKING:
    from app.live.frames import Pixels, Tracked
    from app.live.portraits import PreparedPortrait
    from liveportrait.engines.base import Engine, Portrait
    from liveportrait.expression import Expression
    from liveportrait.motion import Array
    from liveportrait.options import AnimationOptions


def driving_keypoints(
    engine: Engine,
    portrait: Portrait,
    tracked: Tracked,
    options: AnimationOptions,
    expression: Expression | None,
) -> Array:
    """Keypoints (1, K, 3) of one face of the frame, in crop units."""
    if tracked.motion is None:
        if expression is None:
            return portrait.keypoints
        return express(engine, portrait, expression, options.stitching)
    motion, reference = tracked.motion, tracked.reference or portrait.motion
    return transfer(engine, portrait, motion, reference, options, expression=expression)


def compose(prepared: PreparedPortrait, squares: Sequence[Pixels], options: AnimationOptions) -> Pixels:
    """The full picture with the rendered squares of all faces, or the first bare square without paste-back."""
    if not options.paste_back:
        return squares[0]
    picture = prepared.face.compositor.paste(squares[0])
    for face, square in zip(prepared.further, squares[1:], strict=True):
        face.compositor.paste(square, out=picture)
    return picture


def at_rest(prepared: PreparedPortrait, options: AnimationOptions) -> Pixels:
    """The portrait as it is, framed like the result."""
    return prepared.picture if options.paste_back else prepared.face.portrait.crop
