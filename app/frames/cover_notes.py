"""Notes about objects that cover the faces of a photo, and how they are handled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.expressions import expression_from
from liveportrait.animator import SourceFace
from liveportrait.covers import AUTO, EYES
from liveportrait.expression import SLIDERS
from models.messages import msg

if TYPE_CHECKING:
    from app.options import RenderOptions
    from liveportrait.engines.base import Engine


def cover_notes(name: str, faces: Sequence[SourceFace], options: RenderOptions, engine: Engine) -> list[str]:
    """Sentences about the covered parts of some faces.

    Args:
        name: The photo.
        faces: All animated faces.
        options: The options.
        engine: The engine.
    """
    notes: list[str] = []
    halves = {one.portrait.covered for one in faces}
    if "lower" in halves:
        notes.append(
            msg(
                "The lower half of the face in {name} seems to be covered; only head, brows and eyes are animated.",
                name,
            )
        )
    if "upper" in halves:
        notes.append(
            msg("The upper half of the face in {name} seems to be covered; only head and mouth are animated.", name)
        )
    hidden = [len(one.hidden & EYES) for one in faces if one.portrait.covered != "upper"]
    if 2 in hidden:
        notes.append(
            msg("The eyes in {name} seem to be hidden, as by sunglasses; neither lids nor gaze are animated.", name)
        )
    elif 1 in hidden:
        notes.append(msg("One eye in {name} seems to be hidden; the other one is animated.", name))
    if options.animation.mask == AUTO and any(one.before for one in faces):
        notes.append(
            msg(
                "Something in front of the face in {name} stays in place; {option:mask} template moves it along.",
                name,
            )
        )
    if engine.keeps_worn and (idle := _idle_sliders(faces, options)):
        names = ", ".join(idle)
        notes.append(msg("What covers the face in {name} keeps its shape; without effect: {names}.", name, names))
    return notes


def _idle_sliders(faces: Sequence[SourceFace], options: RenderOptions) -> list[str]:
    """Sliders without effect because all faces are covered there."""
    wanted = expression_from(options.input.expression, options.input.sliders)
    if wanted is None or not faces:
        return []
    hidden = frozenset.intersection(*(one.hidden for one in faces))
    covered = {group for group, part in (("Mouth", {"mouth"}), ("Eyes", EYES)) if part <= hidden}
    idle = [name for name in wanted.values if SLIDERS[name].group in covered]
    idle += ["lip_ratio"] * (wanted.lip_ratio is not None and "Mouth" in covered)
    return idle + ["eye_ratio"] * (wanted.eye_ratio is not None and "Eyes" in covered)
