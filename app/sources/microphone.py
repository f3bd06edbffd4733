"""The microphone as a driver: what is said moves the lips, a moment later."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import av
import numpy as np

from app.frames.voices import Heard
from app.media.microphone import RATE as RECORDED
from app.media.microphone import Microphone, Samples
from app.sources.sample import Clock, DriverSource, Sample, Source
from liveportrait.speech import LATER, REMEMBERED
from models.messages import msg
from models.speech import FRAME, RATE, SpeechReader, Visemes

if TYPE_CHECKING:
    from app.sources.playback import Playback
    from liveportrait.engines.base import Engine

WAIT: Final = 0.01  # seconds between two looks for new sound
STEP: Final = 1 / 30  # shortest time between two samples
SILENT: Final = 2.0  # seconds without any sound data after which the microphone counts as broken


class MicrophoneSource(Source):
    """Expressions of what is said into the microphone.

    The time of a sample is that of its sound, so that the session's latency includes the look-ahead.

    Args:
        clock: Source of seconds.
        playback: Tells whether a pause is on; the face then keeps its pose.
        microphone: Opens the microphone.
    """

    def __init__(
        self,
        clock: Clock,
        playback: Playback | None = None,
        microphone: Callable[[Clock], Microphone] | None = None,
    ) -> None:
        self._clock = clock
        self._playback = playback
        self._make = microphone or (lambda clock: Microphone("", clock))
        self._stop = threading.Event()
        self._microphone: Microphone | None = None
        self._count = 0
        self._last = 0.0

    def open(self) -> None:
        """See Source.open."""
        self.close()
        self._microphone = self._make(self._clock)
        self._reader, self._recent, self._frames = SpeechReader(), Visemes.joined([]), 0
        self._resampler: Any = av.AudioResampler("fltp", "mono", RATE)
        self._heard = 0  # samples at RATE so far

    def read(self) -> Sample | None:
        """See Source.read."""
        microphone = self._microphone
        assert microphone is not None
        while not self._stop.is_set():
            found = self._newest(microphone)
            now = self._clock()
            if found is None or now - self._last < STEP or (self._playback is not None and self._playback.paused):
                self._stop.wait(WAIT)
                continue
            time, play = found
            self._last = now
            self._count += 1
            return Sample(self._count - 1, time, play=play)
        return None

    def close(self) -> None:
        """See Source.close."""
        microphone, self._microphone = self._microphone, None
        if microphone is not None:
            microphone.close()

    def cancel(self) -> None:
        """See Source.cancel."""
        self._stop.set()

    def waits_for(self) -> str | None:
        """See Source.waits_for."""
        microphone = self._microphone
        if microphone is None or self._clock() - microphone.heard < SILENT:
            return ""
        return msg("Waiting for the microphone.")

    def _newest(self, microphone: Microphone) -> tuple[float, Heard] | None:
        """Time and mouth of the newest sound that can be told, or None without new sound."""
        new = [self._reader.feed(block) for _, samples in microphone.take() for block in self._resampled(samples)]
        if not any(map(len, new)):
            return None
        known = Visemes.joined([self._recent, *new])
        self._frames += len(known) - len(self._recent)
        self._recent = known.last(REMEMBERED)
        frame = max(0, self._frames - 1 - LATER)
        behind = (self._heard - (frame + 0.5) * FRAME) / RATE
        return microphone.heard - behind, Heard(self._recent, Fraction(frame * FRAME, RATE))

    def _resampled(self, samples: Samples) -> Iterator[Samples]:
        """Blocks (N,) of samples at RATE."""
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), format="fltp", layout="mono")
        frame.sample_rate = RECORDED
        for block in self._resampler.resample(frame):
            plain = block.to_ndarray()[0]
            self._heard += len(plain)
            yield plain


def microphone_source(
    playback: Playback | None = None,
    microphone: Callable[[Clock], Microphone] | None = None,
) -> DriverSource:
    """The microphone as a driver; nothing is opened before it drives.

    Args:
        playback: Tells whether a pause is on; None never pauses.
        microphone: Opens the microphone; the system's default by default.
    """

    def make(clock: Clock, _: Engine) -> Source:
        return MicrophoneSource(clock, playback, microphone)

    return DriverSource("track", msg("Microphone"), make)
