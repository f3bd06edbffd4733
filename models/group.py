"""Follows several faces of one clip, each under a constant number.

Each face has a tracker; decisions that a single tracker can't make are made here: that two trackers are on the same
face, who a face that reappears after a loss or a cut belongs to, and that a new person has appeared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from models.detectors import Image
from models.face import Face, checked, overlap
from models.hidden import hidden_heads
from models.identity import SAME, Identity
from models.tracker import FaceTracker, look_of

GLANCE: Final = 10
"""Frames between searches of the whole image for new people; every frame while somebody is missing."""
PATIENCE: Final = 25
"""Number of frames after a loss with a search in each; later, searches are as rare as without a loss."""
MEMORY: Final = 600
"""Frames without a face after which its number is not reused for it."""
DOUBT: Final = 5
"""Consecutive frames in which an unknown face must be seen while somebody is missing: a face that reappears from behind
another resembles nobody at first."""
TOGETHER: Final = 0.4
"""Overlap of two faces' boxes above which they are the same face."""

Choose = Callable[[list[Face], tuple[int, int]], list[Face]]


@dataclass
class _Member:
    """One person: number, tracker, look, and state of the last frame."""

    number: int
    tracker: FaceTracker
    identity: Identity = field(default_factory=Identity)
    face: Face | None = None
    missing: int = 0


class FaceGroup:
    """Finds the chosen faces of a clip and follows them.

    Args:
        tracker: Its networks are used; it is reset.
        choose: Selects faces from all those of the first image that has any (and its width and height); None selects
            all of them.
        newcomers: Whether people who appear later are followed too.
    """

    def __init__(self, tracker: FaceTracker, choose: Choose | None = None, *, newcomers: bool = False) -> None:
        tracker.reset()
        self._tracker = tracker
        self._choose = choose
        self._open = newcomers
        self._members: list[_Member] = []
        self._count = 0
        self._age = 0
        self._unknown_frames = 0  # consecutive frames with an unknown face
        self._cut = Identity()

    def __call__(self, rgb: Image) -> list[tuple[int, Face]]:
        """Faces of the next frame (H, W, 3) uint8 with their numbers, from 0 in order of appearance.

        Raises:
            ValueError: The choice does not match the faces of the first image that has any.
        """
        rgb = checked(rgb)
        cut = self._cut.saw_cut(rgb)
        if not self._count:
            self._begin(rgb)
        elif cut:
            self._after_cut(rgb)
        else:
            self._follow(rgb)
        self._forget()
        for member in self._members:
            if member.face is not None:
                member.identity.learn(look_of(rgb, member.face))
        return [(member.number, member.face) for member in self._members if member.face is not None]

    def _begin(self, rgb: Image) -> None:
        faces = self._tracker.detect(rgb)
        if faces and self._choose is not None:
            faces = self._choose(faces, (rgb.shape[1], rgb.shape[0]))
        for face in faces:
            self._add_member(rgb, face)

    def _add_member(self, rgb: Image, face: Face) -> None:
        self._members.append(_Member(self._count, self._tracker.twin()))
        self._count += 1
        self._take(rgb, self._members[-1], face)

    @staticmethod
    def _take(rgb: Image, member: _Member, face: Face) -> None:
        """Mark the member as present, with the face read as if it were followed alone."""
        member.face, member.missing = member.tracker.start(face, rgb), 0

    def _follow(self, rgb: Image) -> None:
        for member in self._members:
            if member.face is not None:
                member.face = self._tracked(rgb, member)
        self._separate(rgb)
        missing = [member for member in self._members if member.face is None]
        for member in missing:
            member.missing += 1
        self._age += 1
        eager = self._unknown_frames > 0 or any(member.missing <= PATIENCE for member in missing)
        if not (eager or (self._age >= GLANCE and (missing or self._open))):
            return
        self._age = 0
        here = [member.face for member in self._members if member.face is not None]
        self._recognise(rgb, self._tracker.glance(rgb, here), missing)

    @staticmethod
    def _tracked(rgb: Image, member: _Member) -> Face | None:
        """Face to which the tracker of a present member has moved; None if that can't be this person."""
        before = member.face
        face = member.tracker.track(rgb)
        if face is None or before is None or overlap(before, face.box) > TOGETHER:
            return face
        return face if member.identity.is_like(look_of(rgb, face)) else None

    def _separate(self, rgb: Image) -> None:
        """If two members are on one face, the one who resembles it less has lost its own."""
        here = [member for member in self._members if member.face is not None]
        for index, one in enumerate(here):
            for other in here[index + 1 :]:
                if one.face is None or other.face is None or overlap(one.face, other.face.box) <= TOGETHER:
                    continue
                look = look_of(rgb, one.face)
                loser = other if one.identity.likeness(look) >= other.identity.likeness(look) else one
                loser.face = None

    def _recognise(self, rgb: Image, faces: Sequence[Face], missing: Sequence[_Member]) -> None:
        """Assign unassigned faces to the most similar missing members; the others are new."""
        looks = [look_of(rgb, face) for face in faces]
        pairs = [
            (member.identity.likeness(look), a, b) for a, member in enumerate(missing) for b, look in enumerate(looks)
        ]
        found: dict[int, int] = {}  # index of the face -> index of the missing member
        for likeness, a, b in sorted(pairs, reverse=True):
            if likeness >= SAME and a not in found.values() and b not in found:
                self._take(rgb, missing[a], faces[b])
                found[b] = a
        rest = [face for b, face in enumerate(faces) if b not in found]
        left = len(missing) - len(found)
        self._unknown_frames = self._unknown_frames + 1 if rest and self._open else 0
        if self._unknown_frames and (not left or self._unknown_frames >= DOUBT):
            self._unknown_frames = 0
            for face in rest:
                self._add_member(rgb, face)

    def _after_cut(self, rgb: Image) -> None:
        """Reassign faces after a cut by looks only, as positions are meaningless."""
        for member in self._members:
            member.face = None
        faces = self._tracker.detect(rgb)
        self._recognise(rgb, faces, list(self._members))
        here = [member.face for member in self._members if member.face is not None]
        absent = [member for member in self._members if member.face is None]
        strangers = [face for face in faces if not any(overlap(face, other.box) > TOGETHER for other in here)]
        for member, face in zip(absent, strangers, strict=False):
            member.identity = Identity()
            self._take(rgb, member, face)

    def _forget(self) -> None:
        """Drop people who have been away for long, so that memory does not grow with the clip."""
        if self._open:
            self._members = [member for member in self._members if member.missing <= MEMORY]


class Bystanders:
    """Finds the faces of a clip that were not chosen, so that they can be left unchanged.

    Args:
        tracker: Its networks are used.
    """

    def __init__(self, tracker: FaceTracker) -> None:
        self._tracker = tracker
        self._trackers: list[FaceTracker] = []
        self._age = GLANCE
        self._hidden = False

    def __call__(self, rgb: Image, chosen: Sequence[Face]) -> list[Face]:
        """Faces of the next frame (H, W, 3) uint8 besides the chosen ones.

        Each is followed from the frame in which it was first seen; every GLANCE frames a search looks for more. Heads
        that can't be read, half behind another, are searched for again in each frame while there are any.
        """
        rgb = checked(rgb)
        kept: list[FaceTracker] = []
        faces: list[Face] = []
        for tracker in self._trackers:
            face = tracker.track(rgb)
            if face is not None and all(overlap(face, other.box) <= TOGETHER for other in (*chosen, *faces)):
                kept.append(tracker)
                faces.append(face)
        self._trackers = kept
        self._age += 1
        if self._age >= GLANCE:
            self._age = 0
            for face in self._tracker.glance(rgb, (*chosen, *faces)):
                self._trackers.append(self._tracker.twin())
                self._trackers[-1].start(face)
                faces.append(face)
        elif not self._hidden:
            return faces
        heads = hidden_heads(self._tracker.detections(rgb), [*chosen, *faces])
        self._hidden = bool(heads)
        return [*faces, *heads]
