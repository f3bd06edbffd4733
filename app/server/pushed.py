"""A live session for one client: it sends camera frames and receives the animated ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np

from app.live import LiveSession, PreviewSink
from app.live.mailbox import Mailbox
from app.live_options import LiveOptions
from app.options import RenderOptions
from app.server.limits import RequestError
from app.sources.sample import Clock, DriverSource, Pixels, Sample, Source
from liveportrait.expression import Expression
from models.messages import msg

if TYPE_CHECKING:
    from app.live.frames import LiveFrame
    from liveportrait.engines.base import Engine

LARGEST_FRAME: Final = 4_000_000  # bytes of a compressed frame
LONGEST_SIDE: Final = 4096  # pixels
JPEG_QUALITY: Final = 85
READY: Final = 60.0  # seconds until the portrait is ready at most


class PushedSource(Source):
    """Frames that a client sends; only the newest one waits.

    Args:
        frames: Where they arrive.
        clock: The session's clock.
    """

    def __init__(self, frames: Mailbox[Pixels], clock: Clock) -> None:
        self._frames, self._clock = frames, clock
        self._index = -1
        self._over = False

    def open(self) -> None:
        """See Source.open."""

    def read(self) -> Sample | None:
        """See Source.read."""
        while not self._over:
            rgb = self._frames.take(timeout=0.5)
            if rgb is not None:
                self._index += 1
                return Sample(self._index, self._clock(), rgb)
        return None

    def close(self) -> None:
        """See Source.close."""

    def cancel(self) -> None:
        """See Source.cancel."""
        self._over = True
        self._frames.wake()

    def waits_for(self) -> str | None:
        """See Source.waits_for."""
        return msg("Waiting for frames of the client.")


def decode(data: bytes) -> Pixels:
    """An RGB image (H, W, 3) from compressed bytes.

    Raises:
        RequestError: They are no image, or one that is too large (status 422).
    """
    if not 0 < len(data) <= LARGEST_FRAME:
        raise RequestError(422, msg("A frame must have 1 to {most} bytes.", LARGEST_FRAME))
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if found is None or max(found.shape[:2]) > LONGEST_SIDE or min(found.shape[:2]) < 16:
        raise RequestError(422, msg("A frame must be a JPEG, PNG or WebP image of 16 to {most} pixels.", LONGEST_SIDE))
    return np.asarray(cv2.cvtColor(found, cv2.COLOR_BGR2RGB), np.uint8)


def encode(frame: LiveFrame) -> bytes:
    """A frame as JPEG."""
    _, data = cv2.imencode(".jpg", frame.opaque[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return data.tobytes()


class PushedSession:
    """One client's session; use it in a ``with`` statement.

    Args:
        source: The portrait.
        options: Options.
        on_frame: Called from a thread of the session with every finished frame as JPEG.

    Raises:
        AppError: The portrait can't be animated.
    """

    def __init__(self, source: Path, options: RenderOptions, on_frame: Callable[[bytes], None]) -> None:
        self._frames: Mailbox[Pixels] = Mailbox()
        self._session = LiveSession(options, LiveOptions())
        try:
            self._session.add_sink(PreviewSink(lambda frame: on_frame(encode(frame))))
            self._session.add_portrait("photo", source)
            self._session.wait_for(self._ready, READY)
            info = self._session.portrait("photo")
            fault = self._session.error or info.error
            if fault is not None or info.status == "waiting":
                raise fault or RequestError(422, "The portrait did not get ready.")
            self._session.set_driver(DriverSource("camera", "client", self._make))
            self._session.start()
        except BaseException:
            self._session.close()
            raise

    def _ready(self) -> bool:
        return self._session.portrait("photo").status != "waiting" or self._session.error is not None

    def _make(self, clock: Clock, _: Engine) -> Source:
        return PushedSource(self._frames, clock)

    def __enter__(self) -> PushedSession:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def push(self, data: bytes) -> None:
        """Take a compressed frame of the driver; an older one that still waits is dropped.

        Raises:
            RequestError: It is no image.
        """
        self._frames.put(decode(data))

    def set_expression(self, values: Mapping[str, Any]) -> None:
        """Set the sliders, see Expression.to_dict.

        Raises:
            RequestError: A name or a value is not accepted.
        """
        try:
            self._session.set_expression(Expression.from_dict(values))
        except ValueError as error:
            raise RequestError(422, msg("expression: {error}", error)) from None
