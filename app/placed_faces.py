"""Faces placed by hand: their files are read and written here, and a first guess is made where there is none yet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from app.errors import UsageError
from app.media.files import check_input, read_error

if TYPE_CHECKING:
    from liveportrait.placed_file import PlacedFile
    from models.face import Face, FaceTracker

HINT = "`animate landmarks PHOTO` writes such a file."


def read_placed_face(path: Path) -> PlacedFile:
    """Read the file of a placed face.

    Raises:
        MediaError: It can't be read.
        UsageError: It holds something else.
    """
    from liveportrait.placed_file import read_placed

    check_input(path)
    try:
        return read_placed(path)
    except OSError as error:
        raise read_error(path, error) from error
    except ValueError as error:
        raise UsageError(f"--landmarks: {path} can't be used: {error}.", HINT) from None


def face_on(placed: PlacedFile, path: Path, width: int, height: int) -> Face:
    """The placed face on a picture of this size.

    Raises:
        UsageError: It was made for a picture of another shape, or its handles make no face.
    """
    try:
        return placed.face_on(width, height)
    except ValueError as error:
        raise UsageError(f"--landmarks: {path} can't be used: {error}.", HINT) from None


def first_guess(
    rgb: npt.NDArray[np.uint8], tracker: FaceTracker, choice: str, crop: Any | None
) -> tuple[dict[str, tuple[float, float]], bool]:
    """Handles to begin with, and whether a face was found for them.

    Args:
        rgb: (H, W, 3) picture.
        tracker: Looks for a face.
        choice: Which face, as the option "face" takes it for one.
        crop: Square (liveportrait.crop.Crop) to look in, or None for the whole picture.

    Raises:
        ValueError: There are faces, but not the one that is asked for.
    """
    from liveportrait.placed import centred_handles, handles_of
    from models.face import select_face

    height, width = rgb.shape[:2]
    faces = tracker.detect(rgb if crop is None else crop.apply(rgb))
    if faces:
        face = faces[0] if crop is not None else select_face(faces, choice, (width, height))
        return handles_of(face.points if crop is None else crop.to_source(face.points)), True
    if crop is None:
        return centred_handles((width - 1) / 2, (height - 1) / 2, min(width, height)), False
    box = crop.box
    return centred_handles(box.x, box.y, box.size, box.angle), False
