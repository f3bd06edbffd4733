"""Parts for live tests without hardware: clock, engine, tracker, captures, drivers."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from app.errors import AppError
from app.events import Event, EventStream
from app.frames.resources import Resources
from app.live import LiveSession
from app.live.context import SessionContext
from app.live.frames import LiveFrame
from app.live.mailbox import live_clock
from app.live.pipeline import Pipeline
from app.live.settings import Settings
from app.live.sinks import PreviewSink
from app.live.tracking import Tracking
from app.options import RenderOptions
from app.sources.sample import DriverSource, Sample, Source
from liveportrait.engines.base import Engine, Portrait
from liveportrait.engines.mesh.data import face_model
from liveportrait.motion import Motion, keypoints
from models.face import Face

K = 4
ALL = np.ones((K, 3), bool)
NONE = np.zeros((K, 3), bool)
WAIT = 60.0  # seconds after which a test gives up; never reached when things work


class Clock:
    """Time that only the test moves."""

    def __init__(self, now: float = 100.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def face_at(x: float, y: float, size: float = 80.0) -> Face:
    """A frontal face of so many pixels around a point."""
    mean = face_model().mean.astype(np.float64)
    mean = (mean - mean[:468].mean(axis=0)) / np.ptp(mean[:468, 1])
    if mean[10, 1] > mean[152, 1]:
        mean[:, 1] *= -1
    return Face((mean * size + (x, y, 0)).astype(np.float32))


def picture(value: int, size: int = 200) -> np.ndarray:
    """A grey square that carries a number."""
    return np.full((size, size, 3), value % 256, np.uint8)


class StubTracker:
    """Sees a face in every picture that is not black; its place tells the picture's grey."""

    def __init__(self) -> None:
        self.seen: Callable[[np.ndarray], None] = lambda _: None

    def reset(self) -> None:
        pass

    def start(self, face: Face, rgb: np.ndarray | None = None) -> Face:
        return face

    def detections(self, rgb: np.ndarray) -> list[Any]:
        return []

    def detect(self, rgb: np.ndarray, limit: int | None = None, *, covered: bool = False) -> list[Face]:
        return [face_at(rgb.shape[1] / 2, rgb.shape[0] / 2)] if rgb.max() > 0 else []

    def track(self, rgb: np.ndarray) -> Face | None:
        self.seen(rgb)
        return face_at(60 + int(rgb[0, 0, 0]) / 4, 100) if rgb.max() > 0 else None


class StubEngine(Engine):
    """Moves with the place of the face; its picture is as bright as the first keypoint is far to the right."""

    name = "stub"
    family = "stub"
    keypoints = K
    crop_size = 64
    regions: ClassVar = {"all": ALL, "exp": ALL, "lip": NONE, "eyes": NONE, "official": ALL}
    reads_pixels = False
    exact_at_rest = True

    def __init__(self) -> None:
        self.encoded = 0
        self.before: Callable[[], None] = lambda: None
        self.fault: Exception | None = None

    def _motion(self, x: float) -> Motion:
        one = np.ones((1, 1), np.float32)
        return Motion(
            np.eye(3, dtype=np.float32)[None], np.array([[x, 0, 0]], np.float32), one, np.zeros((1, K, 3), np.float32),
            np.full((1, 2), 0.3, np.float32), 0 * one, self.family,
        )  # fmt: skip

    def encode(self, crop: Any, face: Face) -> Portrait:
        self.encoded += 1
        motion = self._motion(0.0)
        canonical = np.zeros((K, 3), np.float32)
        return Portrait(motion, canonical, keypoints(canonical, motion), crop)

    def read_motion(self, crop: Any, face: Face) -> Motion:
        return self._motion(2 * (float(face.centre[0]) + 0.5) / crop.shape[1] - 1)

    def render(self, portrait: Portrait, x_d: Any) -> Any:
        self.before()
        if self.fault is not None:
            raise self.fault
        level = np.clip(128 + 100 * x_d[:, 0, 0], 0, 255).astype(np.uint8)
        return np.broadcast_to(level[:, None, None, None], (len(x_d), *portrait.crop.shape)).copy()

    def stitch(self, portrait: Portrait, x_d: Any) -> Any:
        return x_d

    def retarget_eyes(self, portrait: Portrait, ratios: Any) -> Any:
        return np.zeros((len(ratios), K, 3), np.float32)

    def retarget_lips(self, portrait: Portrait, ratios: Any) -> Any:
        return np.zeros((len(ratios), K, 3), np.float32)

    def slider_delta(self, portrait: Portrait, sliders: Any) -> Any:
        return np.full((1, K, 3), sum(sliders.values()), np.float32)


class StubResources(Resources):
    """Stub engine and tracker, or others.

    Args:
        tracker: Makes a tracker.
        load: Gives the engine that options name.
    """

    def __init__(
        self, tracker: Callable[[], Any] = StubTracker, load: Callable[[RenderOptions], Engine] | None = None
    ) -> None:
        super().__init__()
        self._make_tracker, self._load = tracker, load

    def engine(self, options: RenderOptions, say: Any, warn: Any, step: Any = None) -> Engine:
        return StubEngine() if self._load is None else self._load(options)

    def tracker(self, detector: Any) -> Any:
        return self._make_tracker()


class Context(SessionContext):
    """What the parts of a session share, without the session.

    Attributes:
        said: Messages.
        renewed: Set when a neutral frame or drivers of parts have come.
    """

    def __init__(
        self, clock: Callable[[], float] = live_clock, on_change: Callable[[str], object] = lambda _: None,
        resources: Resources | None = None,
    ):  # fmt: skip
        self.said: list[str] = []
        self.renewed = threading.Event()
        self.complained = threading.Event()
        super().__init__(Settings(), clock, EventStream(self._say), on_change, resources or StubResources())

    def _say(self, event: Event) -> None:
        self.said.append(event.message)
        self.complained.set()

    def renew(self) -> None:
        self.renewed.set()


def pipeline_of(session: LiveSession, engine: Engine, publish: Callable[[LiveFrame, float], object]) -> Pipeline:
    """A pipeline for the test alone, which draws the portraits of a session that does not run."""
    context, store = session.context, session._store
    tracking = Tracking(context, engine, context.tracker(), store, session.parts, session.channel)
    return Pipeline(context, engine, tracking, store, publish)  # type: ignore[arg-type]


class HandDriver(Source):
    """Gives what the test puts in: pictures, or errors to raise."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self.lasting = box.lasting
        self._index = -1
        self._stopped = False

    def open(self) -> None:
        self._box.opened += 1
        if self._box.refusal is not None:
            raise self._box.refusal

    def read(self) -> Sample | None:
        while not self._stopped:
            try:
                item = self._box.items.get(timeout=0.05)
            except queue.Empty:
                continue
            if isinstance(item, AppError):
                raise item
            self._index += 1
            return Sample(self._index, self._box.clock(), item, jump=self._index == 0)
        return None

    def close(self) -> None:
        self._box.closed += 1

    def cancel(self) -> None:
        self._stopped = True


class Box:
    """What a HandDriver gives, and what was done to it."""

    def __init__(self, lasting: bool = True) -> None:
        self.items: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.lasting = lasting
        self.refusal: AppError | None = None
        self.opened = self.closed = 0
        self.clock: Callable[[], float] = lambda: 0.0

    def source(self, kind: Any = "camera") -> DriverSource:
        def make(clock: Any, _engine: Engine) -> Source:
            self.clock = clock
            return HandDriver(self)

        return DriverSource(kind, "hand", make)


class Shown(PreviewSink):
    """A preview that the test can wait at."""

    def __init__(self) -> None:
        super().__init__(self._came)
        self.frames: list[LiveFrame] = []
        self._changed = threading.Condition()

    def _came(self, frame: LiveFrame) -> None:
        with self._changed:
            self.frames.append(frame)
            self._changed.notify_all()

    def wait(self, good: Callable[[LiveFrame], bool]) -> LiveFrame:
        """The newest frame, once it is good."""
        with self._changed:
            assert self._changed.wait_for(lambda: bool(self.frames) and good(self.frames[-1]), WAIT)
            return self.frames[-1]


def drives(frame: LiveFrame, value: int) -> bool:
    """Whether a frame shows the driver's picture of this number."""
    return frame.driver is not None and int(frame.driver[0, 0, 0]) == value
