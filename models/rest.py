"""Region in which a followed face is read: it stands still while the face does.

A region that is taken from every reading passes the noise of one frame on to the next, since the network reads a
shifted region slightly differently.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from models.mesh import Roi

if TYPE_CHECKING:
    from models.face import Face

FRAMES: Final = 10
"""Frames at rest after which the region stands still."""
LOOKS: Final = 4
"""Limit of readings until the region of a newly found face settles."""


class RestingRegion:
    """Computes the region to read next."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the face."""
        self._anchor: Roi | None = None  # region in which the face came to rest
        self._frames = 0  # frames since then

    def settle(self, look: Callable[[Roi], Face | None], face: Face) -> Face:
        """Read a newly found face from a settled region, as later frames will read it.

        It counts as at rest until it moves.

        Args:
            look: Reads a region of the image.
            face: The face as found.
        """
        region = Roi.of_points(face.points)
        for _ in range(LOOKS):
            again = look(region)
            if again is None:
                break
            face, self._anchor, self._frames = again, region, FRAMES
            wanted = Roi.of_points(face.points)
            if region.near(wanted, 0.25):
                break
            region = region.halfway(wanted)  # a full step may oscillate
        return face

    def next(self, face: Face, *, steady: bool) -> Roi:
        """Region of the next frame.

        Args:
            face: The face in this one.
            steady: Whether the region may stand still.
        """
        wanted = Roi.of_points(face.points)
        if self._anchor is not None and self._anchor.near(wanted):
            self._frames += 1
        else:
            self._anchor, self._frames = wanted, 0
        return self._anchor if steady and self._frames > FRAMES else wanted
