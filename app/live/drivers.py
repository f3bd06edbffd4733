"""Who drives: a camera, a clip that plays like one, a motion template, or a still."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from app.addresses import local_path
from app.live.frames import Captured, Pixels
from app.media.camera import Camera, CameraFacts, DeviceCamera, Mode
from app.media.cameras import CameraDevice, find_camera, list_cameras
from app.media.filecamera import FileCamera

if TYPE_CHECKING:
    from liveportrait.engines.base import Engine
    from liveportrait.motion import Motion

Kind = Literal["camera", "video", "template", "still"]
Clock = Callable[[], float]


class Driver(ABC):
    """Gives captured frames in real time. Opened, read and closed in one thread, used once; ``cancel`` is for others.

    Attributes:
        lasting: True if the end of its frames is a fault to be waited out.
    """

    lasting: bool = False

    @abstractmethod
    def open(self) -> None:
        """Open it, or open it again after a fault. Raises AppError."""

    @abstractmethod
    def read(self) -> Captured | None:
        """The next frame when it is due; None when there are no more or after ``cancel``. Raises AppError."""

    @abstractmethod
    def close(self) -> None:
        """Give everything back; harmless when called again."""

    @abstractmethod
    def cancel(self) -> None:
        """Let a waiting ``read`` or ``open`` return soon; from any thread, for good."""

    @property
    def facts(self) -> CameraFacts | None:
        """Asked, reported and measured mode of a camera."""
        return None

    def hint(self) -> str:
        """A sentence about something that the user could improve, or an empty one."""
        return ""


@dataclass(frozen=True)
class DriverSource:
    """A driver that can be started any number of times.

    Attributes:
        kind: camera, video, template or still.
        title: For people.
        make: Makes the driver for one run, from the session's clock and engine.
        clip: File whose neutral frame is the one of the option "reference", as when a file is rendered; None where
            it is found on the way, as with a camera.
    """

    kind: Kind
    title: str
    make: Callable[[Clock, Engine], Driver]
    clip: Path | None = None


class CameraDriver(Driver):
    """Pictures of a camera, or of a clip that stands in for one.

    Args:
        camera: Gives the pictures.
        turn: Degrees by which they are turned clockwise: 0, 90, 180 or 270.
        mirror: Swap left and right of the turned pictures.
    """

    def __init__(self, camera: Camera, turn: int = 0, *, mirror: bool = False) -> None:
        self.camera = camera
        self._turn = turn // 90
        self._mirror = mirror
        self.lasting = camera.lasting

    def open(self) -> None:
        """See Driver.open."""
        self.camera.open()

    def read(self) -> Captured | None:
        """See Driver.read."""
        shot = self.camera.read()
        if shot is None:
            return None
        rgb = shot.rgb
        if self._turn or self._mirror:
            rgb = np.rot90(rgb, -self._turn)
            rgb = np.ascontiguousarray(rgb[:, ::-1] if self._mirror else rgb)
        return Captured(shot.index, shot.time, rgb, jump=shot.jump)

    def close(self) -> None:
        """See Driver.close."""
        self.camera.close()

    def cancel(self) -> None:
        """See Driver.cancel."""
        self.camera.cancel()

    @property
    def facts(self) -> CameraFacts | None:
        """See Driver.facts."""
        return self.camera.facts

    def hint(self) -> str:
        """See Driver.hint."""
        return self.camera.hint()


class TemplateDriver(Driver):
    """Plays a motion template in real time, over and over.

    Args:
        path: The template.
        clock: Source of seconds.
        engine: Engine that it must fit.
        reference: "auto" and numbers keep the template's own neutral frame, "first" takes its first one.
    """

    def __init__(self, path: Path, clock: Clock, engine: Engine, reference: str = "auto") -> None:
        self._path = path
        self._clock = clock
        self._engine = engine
        self._choice = reference
        self._stop = threading.Event()

    def open(self) -> None:
        """See Driver.open."""
        from app.render.template import neutral_motion, open_fitting

        self._template = template = open_fitting(self._path, self._engine)
        self._reference: Motion = neutral_motion(template, self._choice, range(len(template)))
        self._at = 0
        self._start = self._clock()
        self._offset = Fraction(0)

    def read(self) -> Captured | None:
        """See Driver.read."""
        template = self._template
        if self._at == len(template):
            self._at = 0
            self._offset += template.duration
        due = self._start + float(self._offset + template.times[self._at] - template.times[0])
        now = self._clock()
        if now - due > 1.0:
            self._start += now - due
        elif due > now:
            self._stop.wait(due - now)
        if self._stop.is_set():
            return None
        index, self._at = self._at, self._at + 1
        motion = template.motion[index] if template.found[index] else None
        return Captured(index, self._clock(), motion=motion, jump=index == 0, reference=self._reference)

    def close(self) -> None:
        """See Driver.close."""

    def cancel(self) -> None:
        """See Driver.cancel."""
        self._stop.set()


class StillDriver(Driver):
    """One picture of a face; its expression is taken over and held.

    Args:
        picture: File, or (H, W, 3) uint8.
        clock: Source of seconds.
    """

    def __init__(self, picture: Path | Pixels, clock: Clock) -> None:
        self._picture = picture
        self._clock = clock
        self._stop = threading.Event()
        self._given = False

    def open(self) -> None:
        """See Driver.open."""
        if isinstance(self._picture, Path):
            from app.media.images import flatten, read_image

            still = read_image(self._picture)
            self._rgb = flatten(still.rgb, still.alpha)
        else:
            self._rgb = self._picture
        self._given = False

    def read(self) -> Captured | None:
        """See Driver.read."""
        if self._given:
            self._stop.wait()
            return None
        self._given = True
        return Captured(0, self._clock(), self._rgb, jump=True, lone=True)

    def close(self) -> None:
        """See Driver.close."""

    def cancel(self) -> None:
        """See Driver.cancel."""
        self._stop.set()


def camera_source(
    device: CameraDevice | str | int = "",
    mode: Mode | None = None,
    *,
    mirror: bool = True,
    turn: int = 0,
    devices: Callable[[], list[CameraDevice]] = list_cameras,
) -> DriverSource:
    """A camera as driver.

    Args:
        device: From ``list_cameras``, or its name, a part of that, or its number; empty is the first one.
        mode: Size, rate and compression to ask for.
        mirror: Swap left and right.
        turn: Degrees by which the pictures are turned clockwise: 0, 90, 180 or 270.
        devices: Lists the cameras.

    Raises:
        MediaError: There is no such camera.
    """
    found = device if isinstance(device, CameraDevice) else find_camera(str(device), devices())

    def make(clock: Clock, _: Engine) -> Driver:
        plain = mirror and not turn  # a turned picture is mirrored after the turn
        return CameraDriver(
            DeviceCamera(found, mode, mirror=plain, devices=devices, clock=clock), turn, mirror=mirror and not plain
        )

    return DriverSource("camera", found.name, make)


def file_source(path: str | Path, *, rate: Fraction | None = None, reference: str = "auto") -> DriverSource:
    """A file as driver: a motion template, a still, or a clip that plays in real time, over and over.

    Args:
        path: The file.
        rate: Pictures a second of a clip; None for its own time stamps.
        reference: Neutral frame of a template, see ``TemplateDriver``.

    Raises:
        MediaError: The file is missing.
    """
    from app.media import files, images, pictures
    from liveportrait.template import is_template

    path = Path(path)
    if is_template(path):
        files.check_input(path)
        return DriverSource("template", path.name, lambda clock, engine: TemplateDriver(path, clock, engine, reference))
    if not pictures.is_sequence(path):
        files.check_input(path)
        if images.is_image(path) and not _moves(path):
            return DriverSource("still", path.name, lambda clock, _: StillDriver(path, clock))
    return DriverSource("video", path.name, lambda clock, _: CameraDriver(FileCamera(path, rate, clock=clock)))


def _moves(path: Path) -> bool:
    from app.media.reader import open_clip

    with open_clip(path, film=True) as reader:
        return reader.info.kind != "image"


def source_from_text(
    text: str, mode: Mode | None = None, *, mirror: bool = True, turn: int = 0, reference: str = "auto"
) -> DriverSource:
    """The driver that a person names: a file, or a camera by number or name.

    Raises:
        MediaError: There is no such file or camera.
        UsageError: It is an address that is not a file of this machine.
    """
    path = local_path(text)
    if text and (path.exists() or path.suffix.lower() in (".mp4", ".mov", ".mkv", ".webm", ".gif", ".jpg", ".png")):
        rate = Fraction(mode.rate).limit_denominator(1001) if mode is not None and mode.rate else None
        return file_source(path, rate=rate, reference=reference)
    return camera_source(text, mode, mirror=mirror, turn=turn)
