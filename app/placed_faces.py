"""Faces placed by hand: reading their files, and making a first guess if there is none yet."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from app.errors import UsageError
from app.media.files import check_input, read_error
from models.messages import msg

if TYPE_CHECKING:
    from liveportrait.crop import Crop
    from liveportrait.placed import Handles, Point
    from liveportrait.placed_file import PlacedFile
    from models.choices import FaceChoice
    from models.face import Face
    from models.tracker import FaceTracker

Guess = Literal["face", "likeness", "middle", "file"]
"""Origin of the handles: a face that was found, something that looks like one, neither, or a file."""
HINT = "`animate landmarks PHOTO` writes such a file."


def read_placed_face(path: Path) -> PlacedFile:
    """Read the file of a placed face.

    Raises:
        MediaError: It can't be read.
        UsageError: It is not the file of a placed face.
    """
    from liveportrait.placed_file import read_placed

    check_input(path)
    try:
        return read_placed(path)
    except OSError as error:
        raise read_error(path, error) from error
    except ValueError as error:
        raise UsageError(msg("{option:landmarks}: {path} can't be used: {error}.", path, error), HINT) from None


def face_on(placed: PlacedFile, path: Path, width: int, height: int) -> Face:
    """The placed face on an image of this size.

    Raises:
        UsageError: It was made for an image with another aspect ratio, or its handles form no face.
    """
    from liveportrait.placed import placed_face

    handles = handles_on(placed, path, width, height)
    try:
        return placed_face(handles)
    except ValueError as error:
        raise UsageError(msg("{option:landmarks}: {path} can't be used: {error}.", path, error), HINT) from None


def handles_on(placed: PlacedFile, path: Path, width: int, height: int) -> dict[str, Point]:
    """Handles of a placed face on an image of this size.

    Raises:
        UsageError: It was made for an image with another aspect ratio.
    """
    try:
        return placed.handles_on(width, height)
    except ValueError as error:
        raise UsageError(msg("{option:landmarks}: {path} can't be used: {error}.", path, error), HINT) from None


def first_guess(
    rgb: npt.NDArray[np.uint8], tracker: FaceTracker, choice: FaceChoice, crop: Crop | None
) -> tuple[dict[str, Point], Guess]:
    """Initial handles, and their origin.

    Args:
        rgb: (H, W, 3) image.
        tracker: Face tracker.
        choice: Which face.
        crop: Crop to search, or None for the whole image.

    Raises:
        ValueError: There are faces, but not the requested one.
    """
    from liveportrait.placed import handles_of_face
    from models.face import select_face

    height, width = rgb.shape[:2]
    faces = tracker.detect(rgb if crop is None else crop.apply(rgb))
    if faces:
        face = faces[0] if crop is not None else select_face(faces, choice, (width, height))
        face = face if crop is None else replace(face, points=crop.to_source(face.points))
        return handles_of_face(face), "face"
    return guess_without_face(rgb, crop)


def guess_without_face(rgb: npt.NDArray[np.uint8], crop: Crop | None) -> tuple[dict[str, Point], Guess]:
    """The same if no face is found: on something that looks like one, else in the middle."""
    from liveportrait.placed import PlacedError, centred_handles, likely_handles
    from models.likeness import find_likeness

    likeness = find_likeness(rgb if crop is None else crop.apply(rgb))
    if likeness is not None:
        points = likeness.points if crop is None else crop.to_source(likeness.points)
        with suppress(PlacedError):
            return likely_handles(points), "likeness"
    if crop is None:
        height, width = rgb.shape[:2]
        return centred_handles((width - 1) / 2, (height - 1) / 2, min(width, height)), "middle"
    box = crop.box
    return centred_handles(box.x, box.y, box.size, box.angle), "middle"


def drawn(rgb: npt.NDArray[np.uint8], handles: Handles) -> npt.NDArray[np.uint8]:
    """Draw the handles of a face on an image, numbered in the order of the file, and the lines of its mesh.

    Args:
        rgb: (H, W, 3) image.
        handles: If they form no face, no lines are drawn.
    """
    import cv2

    from liveportrait.placed import HANDLES, PlacedError, placed_points
    from models.topology import EYES, LIPS_INNER, LIPS_OUTER, OVAL

    out = rgb.copy()
    unit = max(1, round(min(rgb.shape[:2]) / 500))  # line width in pixels
    with suppress(PlacedError):
        points = placed_points(handles)[:, :2]
        for ring in (OVAL, LIPS_OUTER, LIPS_INNER, *(eye.ring for eye in EYES)):
            line = np.round(points[list(ring)] * 8).astype(np.int32)
            cv2.polylines(out, [line], True, (60, 200, 120), unit, cv2.LINE_AA, 3)
    for number, name in enumerate(HANDLES, 1):
        x, y = (round(value) for value in handles[name])
        cv2.circle(out, (x, y), 3 * unit, (255, 255, 255), -1, cv2.LINE_AA)
        for colour, width in (((0, 0, 0), 3 * unit), ((255, 255, 255), unit)):
            place = x + 4 * unit, y - 2 * unit
            cv2.putText(out, str(number), place, cv2.FONT_HERSHEY_SIMPLEX, 0.4 * unit, colour, width, cv2.LINE_AA)
    return np.asarray(out, np.uint8)
