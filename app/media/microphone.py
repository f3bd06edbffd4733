"""Microphone input through the package sounddevice if it is installed, and its sound as a clip's audio track."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from app.errors import MediaError, MissingError
from app.media.audio import BITS_PER_CHANNEL, ENCODER, SampleEncoder
from models.installation import install_hint
from models.messages import msg

RATE: Final = 48000
STEP: Final = 0.06  # seconds that sound may drift before it is corrected
KEPT: Final = 180 * RATE  # queue limit in samples; encoders delay dozens of frames, which may come at one per second
Samples = npt.NDArray[np.float32]


class Microphone:
    """Mono sound with time stamps.

    Args:
        device: Name or index as sounddevice accepts it; empty for the system's default.
        clock: Source of seconds.
        stream: Makes the input stream; sounddevice.InputStream by default.

    Raises:
        MissingError: sounddevice is not installed.
        MediaError: There is no microphone, or access is denied.
    """

    def __init__(
        self, device: str = "", clock: Callable[[], float] = time.perf_counter, stream: Callable[..., Any] | None = None
    ) -> None:
        self._clock = clock
        self._chunks: deque[tuple[float, Samples]] = deque()
        self._waiting = 0
        self._lock = threading.Lock()
        self.heard = clock()
        self.level = 0.0  # loudest sample of the last block, 0 to 1
        """Time up to which sound has arrived; the time of opening before any has."""
        make = stream or _sounddevice()
        self._stream: Any = None
        try:
            self._stream = make(
                samplerate=RATE, channels=1, dtype="float32", device=device or None, callback=self._arrived
            )
            self._stream.start()
        except Exception as error:  # sounddevice's own error class can't be named without importing it
            self.close()
            raise MediaError(
                msg("The microphone can't be opened: {error}.", error),
                "Connect one, allow its use, or record without it.",
            ) from error

    def _arrived(self, data: Any, frames: int, _when: Any, _status: Any) -> None:
        """Called from the sound system's thread."""
        delay = float(getattr(self._stream, "latency", 0.0) or 0.0)
        begun = self._clock() - frames / RATE - delay
        samples = np.array(data, np.float32).reshape(frames, -1)[:, 0]
        self.level = float(np.abs(samples).max(initial=0.0))
        with self._lock:
            self._chunks.append((begun, samples))
            self._waiting += frames
            self.heard = begun + frames / RATE
            while self._waiting > KEPT:
                self._waiting -= len(self._chunks.popleft()[1])

    def take(self) -> list[tuple[float, Samples]]:
        """Sound since the last call: (time of the first sample, (N,) samples)."""
        with self._lock:
            chunks, self._waiting = list(self._chunks), 0
            self._chunks.clear()
        return chunks

    def close(self) -> None:
        """Release the device; it may have been unplugged."""
        if self._stream is not None:
            with contextlib.suppress(Exception):
                self._stream.close()


def _sounddevice() -> Callable[..., Any]:
    try:
        import sounddevice
    except ImportError as error:
        raise MissingError("Recording the microphone needs the package sounddevice.", install_hint("mic")) from error
    except OSError as error:  # the package is installed, its library is not
        raise MissingError(
            msg("sounddevice finds no sound library ({error}).", error), "On Linux install the package libportaudio2."
        ) from error
    make: Callable[..., Any] = sounddevice.InputStream
    return make


class MicrophoneSound:
    """The microphone in place of an ``app.media.audio.AudioSource``: sound that is still being recorded.

    Args:
        microphone: An open microphone.
        zero: Time of the clip's first frame, in seconds on the microphone's clock.
    """

    path = Path()
    present = True
    lead = Fraction(0)

    def __init__(self, microphone: Microphone, zero: float) -> None:
        self.microphone = microphone
        self.zero = zero

    def attach(self, output: Any, format: str) -> MicrophoneTrack:
        """See AudioSource.attach."""
        return MicrophoneTrack(self, output, ENCODER[format])


class MicrophoneTrack:
    """Writes the microphone's sound into a clip, in sync with the clock: gaps become silence."""

    def __init__(self, sound: MicrophoneSound, output: Any, encoder: str) -> None:
        self.note = ""
        self._sound = sound
        out = output.add_stream(encoder, rate=RATE, layout="mono")
        out.bit_rate = BITS_PER_CHANNEL
        self._encoder = SampleEncoder(out, "mono", RATE)
        self._ahead: deque[tuple[int, Samples]] = deque()  # number of the first sample, samples

    def pull(self, until: Fraction, mux: Callable[[Any], None]) -> None:
        """Write the sound before ``until`` seconds as far as it has arrived."""
        self._collect(round(until * RATE))
        self._encoder.drain(mux)

    def finish(self, end: Fraction, mux: Callable[[Any], None]) -> None:
        """Write the rest up to ``end`` seconds."""
        self.pull(end, mux)
        self._encoder.finish(mux)

    def close(self) -> None:
        """Do nothing; the recorder owns the microphone."""

    def _collect(self, limit: int) -> None:
        """Queue the sound before a sample number; keep the rest."""
        for begun, samples in self._sound.microphone.take():
            self._ahead.append((round((begun - self._sound.zero) * RATE), samples))
        while self._ahead and self._encoder.written < limit:
            first, samples = self._ahead.popleft()
            if first - self._encoder.written > STEP * RATE:
                if first >= limit:
                    self._ahead.appendleft((first, samples))
                    return
                self._encoder.feed(np.zeros((1, first - self._encoder.written), np.float32))
            elif (self._encoder.written == 0 and first < 0) or self._encoder.written - first > STEP * RATE:
                samples = samples[self._encoder.written - first :]
            room = limit - self._encoder.written
            if len(samples) > room:
                self._ahead.appendleft((limit, samples[room:]))
            self._encoder.feed(samples[None, :room])
