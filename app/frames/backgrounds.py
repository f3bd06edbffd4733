"""Backgrounds behind the people of a source: a colour, an image, their own background blurred, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from app.choices import Background
from app.errors import UsageError
from app.media.images import flatten, is_image, read_image
from app.media.virtual_camera import fit_picture
from liveportrait.cutout import Cut, NobodyError, cutter
from liveportrait.engines.mesh.background import push_pull
from models.face import Face
from models.messages import msg

Pixels = npt.NDArray[np.uint8]

BLURRED: Final = 256
"""Longer side in pixels at which the background is blurred."""
BLUR: Final = 0.02
"""Blur radius, as a fraction of the longer side."""
CLEAR: Final = 8
"""Alpha up to which a pixel shows only the background."""


class Ground:
    """Cuts people out and places them on a background.

    Args:
        background: The background.

    Raises:
        AppError: The background image can't be read.
    """

    def __init__(self, background: Background) -> None:
        self.background = background
        self._picture = None if background.path is None else _read(background)
        self._fitted: Pixels | None = None  # in the size of the last source

    @property
    def keeps(self) -> bool:
        """Whether images stay unchanged."""
        return self.background.kind == "keep"

    def cut(self, picture: Pixels, faces: Sequence[Face], *, clip: bool = False) -> Cut | None:
        """Cut the people out of a source; None leaves it unchanged.

        Args:
            picture: (H, W, 3 or 4); one with transparent parts is already cut out.
            faces: Its faces, in its pixels.
            clip: Whether it is a frame of a clip, which may show no person.

        Raises:
            NobodyError: A photo shows no person.
        """
        if self.keeps:
            return None
        if picture.shape[2] == 4 and picture[..., 3].min() < 255:
            people = picture
        else:
            try:
                people = cutter()(np.ascontiguousarray(picture[..., :3]), faces)
            except NobodyError:
                if not clip:
                    raise
                people = np.dstack([picture[..., :3], np.zeros(picture.shape[:2], np.uint8)])
        return Cut(picture, people, self._behind(people))

    def unchanged(self, picture: Pixels) -> Pixels:
        """Convert an image without people (H, W, 3 or 4) to the format of cut-out ones."""
        if self.background.kind != "transparent":
            return np.ascontiguousarray(picture[..., :3])
        return picture if picture.shape[2] == 4 else np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])

    def _behind(self, people: Pixels) -> Pixels | None:
        """The background (H, W, 3), or None."""
        height, width = people.shape[:2]
        if self.background.kind == "transparent":
            return None
        if self.background.kind == "blur":
            return out_of_focus(people)
        if self._fitted is None or self._fitted.shape[:2] != (height, width):
            if self._picture is None:
                self._fitted = np.full((height, width, 3), self.background.colour, np.uint8)
            else:
                self._fitted = fit_picture(self._picture, (width, height), "cover")
        return self._fitted


def out_of_focus(people: Pixels) -> Pixels:
    """The blurred background (H, W, 3) of an image (H, W, 4), without the people in front."""
    height, width = people.shape[:2]
    scale = min(1.0, BLURRED / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(people[..., :3], size, interpolation=cv2.INTER_AREA).astype(np.float32)
    alpha = cv2.resize(people[..., 3], size, interpolation=cv2.INTER_AREA)
    free = (cv2.dilate(alpha, np.ones((5, 5), np.uint8)) <= CLEAR).astype(np.float32)
    radius = BLUR * max(size)
    soft = cv2.GaussianBlur(push_pull(small, free), (0, 0), radius, borderType=cv2.BORDER_REPLICATE)
    large = cv2.resize(soft, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(np.rint(large), 0, 255).astype(np.uint8)


def _read(background: Background) -> Pixels:
    path = background.path
    assert path is not None
    if path.is_file() and not is_image(path):
        raise UsageError(
            msg("{option:background}: {path} is not an image.", path), "Choose a photo, such as a PNG or JPEG file."
        )
    picture = read_image(path)
    return flatten(picture.rgb, picture.alpha)
