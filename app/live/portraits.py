"""The portraits of a session: each is prepared once in the background; switching between ready ones is immediate."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from app.clip_options import WHOLE, Part
from app.errors import AppError
from app.frames.scene import SceneMaker, pixels_of
from app.live.frames import Pixels
from app.media.sizing import scale_to
from app.sources.playback import Playback
from models.messages import msg

if TYPE_CHECKING:
    from app.choices import FaceDriver, Subject
    from app.live.context import SessionContext
    from app.media.clip import ClipReader
    from app.options import RenderOptions
    from liveportrait.animator import Scene, SourceFace
    from liveportrait.engines.base import Engine
    from liveportrait.options import AnimationOptions
    from models.tracker import FaceTracker

Status = Literal["waiting", "ready", "failed"]
READY: Final = 12  # number of portraits kept prepared; others are prepared again when selected


@dataclass(frozen=True)
class PreparedPortrait:
    """A portrait ready to be animated.

    Attributes:
        key: Its key in the session.
        scene: The image and its animated faces.
        recipe: Settings that it was made with; compared to decide whether it must be made again.
        drivers: File that drives each face, None for the main driver.
        hidden: The image currently shows no face; it is shown unchanged and keeps its previous faces.
    """

    key: str
    scene: Scene
    recipe: tuple[object, ...]
    drivers: tuple[Path | None, ...]
    hidden: bool = False

    @property
    def face(self) -> SourceFace:
        """The first animated face."""
        return self.scene.faces[0]

    def at_rest(self, options: AnimationOptions) -> Pixels:
        """The neutral portrait, framed like the result."""
        return self.scene.picture if options.paste_back else self.face.portrait.crop


@dataclass(frozen=True)
class Moving:
    """A portrait that is a clip.

    Attributes:
        key: Its key in the session.
        title: Display name.
        path: The clip.
        playback: Its controls.
        recipe: See PreparedPortrait.
        subject: The animated part, in pixels of the shown image.
        part: Start and end of the part to play.
    """

    key: str
    title: str
    path: Path
    playback: Playback
    recipe: tuple[object, ...]
    subject: Subject
    part: Part = WHOLE

    @property
    def name(self) -> str:
        """Unique name, which depends on the recipe."""
        return f"{id(self.playback)} {self.recipe}"


@dataclass(frozen=True)
class PortraitInfo:
    """A portrait of the session, for display.

    Attributes:
        key: Its key.
        title: Display name.
        status: waiting (in preparation), ready or failed.
        error: Why it failed, or None.
        notes: Sentences about it, such as that it shows several faces.
    """

    key: str
    title: str
    status: Status
    error: AppError | None = None
    notes: tuple[str, ...] = ()


@dataclass
class _Entry:
    info: PortraitInfo
    picture: Path | Pixels
    subject: Subject | None  # None takes it from the options
    prepared: PreparedPortrait | None = None
    failed: tuple[object, ...] | None = None  # recipe that failed
    used: int = 0
    playback: Playback | None = None  # of a clip
    shrink: float = 1.0
    part: Part = WHOLE  # of a clip


def shrunk(picture: Pixels, longest: int) -> Pixels:
    """Scale an image down to a longer side of at most ``longest`` pixels; 0 leaves it unchanged."""
    side = max(picture.shape[:2])
    if longest <= 0 or side <= longest:
        return picture
    return scale_to(
        picture, (max(1, round(picture.shape[1] * longest / side)), max(1, round(picture.shape[0] * longest / side)))
    )


class PortraitStore:
    """Portraits by key, one of them selected; a thread prepares them.

    Args:
        context: Provides engine and options; notified when a portrait's status or the selection changes.
    """

    def __init__(self, context: SessionContext) -> None:
        self._context = context
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.RLock()
        self._selected = ""
        self._shown: PreparedPortrait | None = None
        self._uses = 0
        self._changed = threading.Event()
        self._thread = threading.Thread(target=self._work, name="live-portraits", daemon=True)
        self._thread.start()

    # ---- for everybody --------------------------------------------------------------------------------------------
    def add(self, key: str, picture: Path | Pixels, *, title: str = "", subject: Subject | None = None) -> None:
        """Add a portrait, or replace the one with this key; the first one is selected."""
        name = title or (picture.name if isinstance(picture, Path) else key)
        with self._lock:
            self._entries[key] = _Entry(PortraitInfo(key, name, "waiting"), picture, subject)
            self._selected = self._selected or key
        self._notify()

    def remove(self, key: str) -> None:
        """Remove a portrait; the selected one stays on screen until another is selected."""
        with self._lock:
            self._entries.pop(key, None)
            if self._selected == key:
                self._selected = next(iter(self._entries), "")
        self._notify()

    def select(self, key: str) -> None:
        """Select a portrait. A ready one is shown with the next frame.

        Raises:
            KeyError: There is none with this key.
        """
        with self._lock:
            entry = self._entries[key]
            self._selected = key
            self._uses += 1
            entry.used = self._uses
            if entry.prepared is not None:
                self._shown = entry.prepared
        self._notify()

    @property
    def selected(self) -> str:
        """Key of the selected portrait, or empty."""
        return self._selected

    def update(self) -> None:
        """Prepare portraits again that were made with other options or another engine."""
        self._changed.set()

    def close(self, timeout: float | None) -> None:
        """Wait for the thread, which ends with ``context.closing``."""
        self._changed.set()
        self._thread.join(timeout)

    def _notify(self) -> None:
        self._changed.set()
        self._context.notify("portraits")

    def own_drivers(self, options: RenderOptions) -> tuple[Path, ...]:
        """Files that drive single faces of the selected portrait."""
        with self._lock:
            entry = self._entries.get(self._selected)
            subject = (None if entry is None else entry.subject) or options.input.subject
        return tuple(dict.fromkeys(driver.path for driver in subject.drivers))

    @property
    def shown(self) -> PreparedPortrait | None:
        """The portrait on screen: the selected one, or the previous one while it is being prepared."""
        return self._shown

    def infos(self) -> list[PortraitInfo]:
        """All portraits in the order in which they were added."""
        with self._lock:
            return [entry.info for entry in self._entries.values()]

    def info(self, key: str) -> PortraitInfo:
        """One portrait. Raises KeyError."""
        with self._lock:
            return self._entries[key].info

    # ---- for the thread that plays clips ---------------------------------------------------------------------------
    def moving(self) -> Moving | None:
        """The selected portrait if it is a clip whose first frame is ready."""
        settings = self._context.settings
        with self._lock:
            entry = self._entries.get(self._selected)
            if entry is None or entry.playback is None or entry.prepared is None or not isinstance(entry.picture, Path):
                return None
            recipe = entry.prepared.recipe  # with another recipe the preparing thread makes a new first frame
            subject = (entry.subject or settings.options.input.subject).scaled(entry.shrink)
            return Moving(
                entry.info.key, entry.info.title, entry.picture, entry.playback, recipe, subject, entry.part
            )  # fmt: skip

    def show(self, prepared: PreparedPortrait) -> None:
        """Show a frame of the selected portrait; ignored if it is not selected or is being prepared again."""
        with self._lock:
            entry = self._entries.get(prepared.key)
            if self._selected != prepared.key or entry is None or entry.prepared is None:
                return
            if entry.prepared.recipe == prepared.recipe:
                self._shown = prepared

    # ---- the preparing thread --------------------------------------------------------------------------------------
    def _work(self) -> None:
        closing = self._context.closing
        while not closing.is_set():
            self._changed.wait()
            self._changed.clear()
            while (engine := self._context.engine) is not None and not closing.is_set():
                settings = self._context.settings
                if not self._prepare_next(engine, settings.options, settings.live.picture_size):
                    break

    def _prepare_next(self, engine: Engine, options: RenderOptions, longest: int) -> bool:
        """Prepare the most urgent portrait, if any; returns whether there was one."""
        with self._lock:
            entry = self._next(engine, options, longest)
            if entry is None:
                return False
            recipe = self._recipe(entry, engine, options, longest)
            picture = entry.picture
        notes: list[str] = []
        prepared: PreparedPortrait | None = None
        error: AppError | None = None
        try:
            prepared = self._prepare(entry, picture, recipe, engine, options, longest, notes)
        except AppError as problem:
            error = problem
        except Exception as problem:  # noqa: BLE001 - one failing portrait must not stop the others
            said = f"{problem}".rstrip(".") or type(problem).__name__
            error = AppError(msg("{title} can't be animated: {said}.", entry.info.title, said))
        with self._lock:
            entry.prepared, entry.failed = prepared, recipe if error else None
            status: Status = "failed" if error else "ready"
            entry.info = replace(entry.info, status=status, error=error, notes=tuple(notes))
            key = entry.info.key
            if prepared is not None and self._selected == key and self._entries.get(key) is entry:
                self._shown = prepared
            self._forget()
        self._notify()
        return True

    def _recipe(self, entry: _Entry, engine: Engine, options: RenderOptions, longest: int) -> tuple[object, ...]:
        motion = options.animation
        return (
            weakref.ref(engine), engine.max_crop, longest, motion.paste_back, motion.mask,
            motion.crop_scale, motion.crop_x, motion.crop_y, motion.crop_rotate,
            entry.subject or options.input.subject, options.input.source_start, options.input.source_end,
            options.input.source_duration, options.output.behind,
        )  # fmt: skip

    def _next(self, engine: Engine, options: RenderOptions, longest: int) -> _Entry | None:
        """The portrait to prepare next: the selected one first, then those never prepared."""
        chosen = self._entries.get(self._selected)
        if chosen is not None:
            recipe = self._recipe(chosen, engine, options, longest)
            if chosen.failed != recipe and (chosen.prepared is None or chosen.prepared.recipe != recipe):
                return chosen
        room = READY - sum(e.prepared is not None for e in self._entries.values())
        for entry in self._entries.values():
            recipe = self._recipe(entry, engine, options, longest)
            if entry.failed == recipe:
                continue
            if entry.prepared is None and (room > 0 or entry.info.status == "waiting"):
                return entry
            if entry.prepared is not None and entry.prepared.recipe != recipe:
                return entry
        return None

    def _forget(self) -> None:
        """Free the least recently used portraits."""
        ready = sorted((e for e in self._entries.values() if e.prepared is not None), key=lambda e: e.used)
        for entry in ready[: max(0, len(ready) - READY)]:
            if entry.info.key != self._selected:
                entry.prepared = None

    def _prepare(
        self,
        entry: _Entry,
        picture: Path | Pixels,
        recipe: tuple[object, ...],
        engine: Engine,
        options: RenderOptions,
        longest: int,
        notes: list[str],
    ) -> PreparedPortrait:
        from app.media.clip import Frame
        from app.media.reader import open_clip

        tracker = self._context.tracker()
        if isinstance(picture, Path):
            with open_clip(picture, longest=longest) as reader:
                width = reader.info.width
                moves = reader.info.kind != "image"
                entry.part = options.input.source_part if moves else WHOLE
                reader.start, reader.end = entry.part[0] or Fraction(0), entry.part[1]
                pixels = first_seen(reader, tracker) if moves else pixels_of(next(iter(reader)))
            entry.playback = (entry.playback or Playback()) if moves else None
        else:
            pixels, width = picture, picture.shape[1]
        small = shrunk(pixels, longest)
        entry.shrink = small.shape[1] / width
        subject = (entry.subject or options.input.subject).scaled(entry.shrink)
        maker = SceneMaker(engine, tracker, options, entry.info.title, subject)
        if entry.playback is not None:
            maker.check_photo()
        alpha = small[..., 3] if small.shape[2] == 4 else None
        scene = maker.still(Frame(0, Fraction(0), np.ascontiguousarray(small[..., :3]), alpha))
        notes += maker.notes
        return prepared_scene(entry.info.key, scene, recipe, subject.drivers)


def first_seen(reader: ClipReader, tracker: FaceTracker) -> Pixels:
    """The first frame within the first second of a clip that shows a face; the first frame if there is none."""
    first: Pixels | None = None
    for frame in reader:
        first = pixels_of(frame) if first is None else first
        if frame.time > 1 or tracker.detect(frame.rgb):
            return first if frame.time > 1 else pixels_of(frame)
    assert first is not None
    return first


def prepared_scene(key: str, scene: Scene, recipe: tuple[object, ...], own: Sequence[FaceDriver]) -> PreparedPortrait:
    """A scene with faces as a portrait of the session.

    Args:
        key: Its key.
        scene: The scene.
        recipe: Settings that it was made with.
        own: Faces with their own drivers that the scene was made with.
    """
    assert scene.face is not None
    drivers = tuple(own[number - 1].path if number else None for number in scene.drivers)
    return PreparedPortrait(key, scene, recipe, drivers)
