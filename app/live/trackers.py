"""Face trackers of a live session, with the detector that its options ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from app.errors import AppError
from app.frames.resources import open_tracker
from models.choices import EMBEDDED, DetectorChoice

if TYPE_CHECKING:
    from models.tracker import FaceTracker


class Trackers:
    """Makes trackers.

    Args:
        wanted: The detector of the moment.
        complain: Told when it can't be had and another one stands in.
        make: Makes a tracker of any kind instead.
    """

    def __init__(
        self,
        wanted: Callable[[], DetectorChoice],
        complain: Callable[[str], None],
        make: Callable[[], FaceTracker] | None = None,
    ) -> None:
        self.wanted = wanted
        self._complain = complain
        self._open = open_tracker if make is None else lambda _: make()

    def exact(self) -> FaceTracker:
        """A tracker with the detector that is asked for.

        Raises:
            AppError: It can't be had.
        """
        return self._open(self.wanted())

    def spare(self) -> FaceTracker:
        """For portraits and clips: with the embedded detector where the one that is asked for isn't here."""
        try:
            return self.exact()
        except AppError as error:
            self._complain(str(error))
            return self._open(EMBEDDED)


class KeptTracker:
    """One tracker that is kept until another detector is asked for.

    Args:
        trackers: Makes it.
        exact: Whether only the detector that is asked for will do.
    """

    def __init__(self, trackers: Trackers, *, exact: bool = False) -> None:
        self._trackers = trackers
        self._make = trackers.exact if exact else trackers.spare
        self._tracker: FaceTracker | None = None
        self._detector = EMBEDDED

    @property
    def outdated(self) -> bool:
        """Whether another detector is asked for now than when it was made."""
        return self._tracker is None or self._detector != self._trackers.wanted()

    def get(self) -> FaceTracker:
        """The tracker."""
        if self._tracker is None or self.outdated:
            detector = self._trackers.wanted()
            self._tracker, self._detector = self._make(), detector
        return self._tracker
