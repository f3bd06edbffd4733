"""Play sound in step with images on screen, through the package sounddevice; without it, or a device, it is silent."""

from __future__ import annotations

import contextlib
import importlib.util
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from statistics import median
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from app.errors import AppError
from app.media.audio import AudioSource
from app.media.sound import SoundReader
from models.installation import install_hint
from models.messages import joined, msg

RATE: Final = 48000
AHEAD: Final = RATE
"""Samples that are decoded ahead."""
STEP: Final = 0.06
"""Seconds by which sound and images may differ before the sound is moved."""
JUMP: Final = 0.25
"""Seconds by which an image must differ from its expected time to count as sought for."""
SETTLE: Final = 0.2
"""Seconds of images in order after which sound starts again: it is silent while the user drags the play head."""
STALL: Final = 0.5
"""Seconds without a new image after which the sound pauses."""
RECENT: Final = 9
"""Images whose times are averaged: single ones come early or late."""
FADE: Final = RATE // 200
Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Played:
    """What is played.

    Attributes:
        sound: The sound.
        length: Seconds after which it starts over, or ends.
        loop: Whether it starts over.
    """

    sound: AudioSource
    length: Fraction
    loop: bool = True

    @property
    def samples(self) -> int:
        """Length in samples, at least 1."""
        return max(1, round(self.length * RATE))


class Decoding:
    """Decodes a sound in a thread, a little ahead of what is taken; silence where the sound is shorter.

    Args:
        played: The sound.
        begin: Number of the first sample, counted through all rounds of a loop.
        prepare: Called first, in the thread; nothing is decoded if it returns False.

    Attributes:
        position: Number of the sample that is taken next.
    """

    def __init__(self, played: Played, begin: int, prepare: Callable[[], bool]) -> None:
        self.position = begin
        self._played = played
        self._blocks: deque[Samples] = deque()
        self._ready = 0
        self._changed = threading.Condition()
        self._stopped = self._ended = False
        self._thread = threading.Thread(target=self._work, args=(begin, prepare), name="preview-sound", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether its thread has not ended."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Ask the thread to end; returns at once."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def join(self) -> None:
        """Wait for the thread."""
        self._thread.join()

    def wait(self, count: int, timeout: float) -> bool:
        """Wait until so many samples are ready, or no more come."""
        with self._changed:
            return self._changed.wait_for(lambda: self._ready >= count or self._ended, timeout)

    def take(self, count: int) -> Samples:
        """(2, n) of the next samples, at most ``count``, as far as they are ready; never waits."""
        taken, left = [], count
        with self._changed:
            while left and self._blocks:
                block = self._blocks.popleft()
                if block.shape[1] > left:
                    self._blocks.appendleft(block[:, left:])
                    block = block[:, :left]
                taken.append(block)
                left -= block.shape[1]
            self._ready -= count - left
            self.position += count - left
            self._changed.notify_all()
        return np.concatenate(taken, axis=1) if taken else np.zeros((2, 0), np.float32)

    def _work(self, begin: int, prepare: Callable[[], bool]) -> None:
        try:
            if prepare():
                self._decode(begin)
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _decode(self, begin: int) -> None:
        whole, loop = self._played.samples, self._played.loop
        start = begin % whole if loop else begin
        with contextlib.suppress(AppError):  # what can't be read is silent here; the driver's side tells it
            while not self._stopped and start < whole:
                written = self._pass(start, whole - start)
                self._put(np.zeros((2, whole - start - written), np.float32))
                if not loop:
                    return
                start = 0

    def _pass(self, start: int, longest: int) -> int:
        """Decode from a sample on; returns how many samples were passed on."""
        sound, offset = self._played.sound, Fraction(start, RATE)
        left = Fraction(longest, RATE)
        if sound.duration is not None:
            left = min(left, sound.duration - offset)
        if left <= 0:
            return 0
        reader, written = SoundReader(AudioSource(sound.path, sound.start + offset, left), RATE), 0
        try:
            for block in reader:
                fitting = block[:, : longest - written]
                self._put(np.broadcast_to(fitting, (2, fitting.shape[1])))
                written += fitting.shape[1]
                if self._stopped or written >= longest:
                    break
        finally:
            reader.close()
        return written

    def _put(self, block: Samples) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._ready < AHEAD)
            if block.shape[1] and not self._stopped:
                self._blocks.append(block)
                self._ready += block.shape[1]
                self._changed.notify_all()


class Speaker:
    """Plays a sound in step with images: each image says when it is on screen, the device when a sample is heard.

    Neither clock is trusted for long: where they differ by more than STEP, samples are left out or silence is put in.

    Args:
        clock: Source of seconds.
        stream: Makes the output stream; sounddevice.OutputStream by default.

    Attributes:
        volume: 0..1.
        problem: Why nothing can be heard, or an empty text.
    """

    def __init__(
        self, clock: Callable[[], float] = time.perf_counter, stream: Callable[..., Any] | None = None
    ) -> None:
        self.volume = 1.0
        self.problem = ""
        self._clock = clock
        self._make = stream
        if stream is None and importlib.util.find_spec("sounddevice") is None:
            self.problem = joined([msg("Sound in the preview needs the package sounddevice."), install_hint("mic")])
        self._stream: Any = None
        self._lock = threading.Lock()
        self._device = threading.Lock()  # held while it is opened
        self._played: Played | None = None
        self._decoding: Decoding | None = None
        self._ended: list[Decoding] = []
        self._fresh = False  # nothing of this decoding has been heard yet
        self._offsets: deque[float] = deque(maxlen=RECENT)  # time in the sound minus clock, of the last images
        self._since = 0.0  # clock time of the first image in order
        self._shown = 0.0  # clock time of the last one
        self._last = np.zeros((2, 1), np.float32)  # last sample that was heard

    # ---- the window's thread --------------------------------------------------------------------------------------
    def play(self, played: Played | None) -> None:
        """Choose what is heard with the next images; None for nothing."""
        if played != self._played:
            self.hush()
            self._played = played

    def show(self, place: Fraction) -> None:
        """An image is on screen now.

        Args:
            place: Its time in the sound in seconds.
        """
        played, now = self._played, self._clock()
        if played is None or self.problem:
            return
        length, found = float(played.length), float(place) - now
        with self._lock:
            known = median(self._offsets) if self._offsets else None
            if known is not None and played.loop:
                found += length * round((known - found) / length)
            if known is None or abs(found - known) > JUMP:
                first, self._since = known is None, now
                self._silence()
                self._since -= SETTLE if first else 0
            self._offsets.append(found)
            self._shown = now
            begin = len(self._offsets) > 1 and self._decoding is None and now - self._since >= SETTLE
            if begin:
                begun = max(0, round((median(self._offsets) + now) * RATE))
                self._decoding, self._fresh = Decoding(played, begun, self._open), True

    def hush(self) -> None:
        """Be silent until images come again: a pause."""
        with self._lock:
            self._silence()

    def close(self) -> None:
        """Release the device."""
        self.play(None)
        for one in self._ended:
            one.join()
        stream, self._stream = self._stream, None
        if stream is not None:
            with contextlib.suppress(Exception):  # it may have been unplugged
                stream.close()

    @property
    def sounding(self) -> bool:
        """Whether a sound is being played."""
        return self._decoding is not None

    def wait(self, seconds: float, timeout: float) -> bool:
        """Wait until so many seconds are decoded; for tests."""
        decoding = self._decoding
        return decoding is not None and decoding.wait(round(seconds * RATE), timeout)

    def _silence(self) -> None:
        self._offsets.clear()
        if self._decoding is not None:
            self._decoding.stop()
            self._ended = [one for one in self._ended if one.running] + [self._decoding]
            self._decoding = None

    def _open(self) -> bool:
        """Open the device, or find it open; returns whether it is. Called in the thread of a decoding."""
        with self._device:
            if self._stream is not None and getattr(self._stream, "active", True):
                return True
            try:
                make = self._make or _output_stream()
                self._stream = make(samplerate=RATE, channels=2, dtype="float32", latency="low", callback=self._fill)
                self._stream.start()
            except Exception as error:  # noqa: BLE001 - sounddevice's error class can't be named without importing it
                self._stream = None
                self.problem = msg("The preview is silent: {error}.", str(error).rstrip("."))
                return False
            return True

    # ---- the sound system's thread --------------------------------------------------------------------------------
    def _fill(self, out: Any, frames: int, when: Any, _status: Any) -> None:
        """Called for each block (frames, 2) that will be heard."""
        delay = float(when.outputBufferDacTime - when.currentTime)
        if delay <= 0:  # not every sound system tells
            delay = float(getattr(self._stream, "latency", 0.0) or 0.0)
        with self._lock:
            block = self._block(frames, self._clock() + delay)
        if block.shape[1] < frames:  # from what was heard last to silence
            fading = self._last * np.linspace(1, 0, FADE, dtype=np.float32)
            rest = np.zeros((2, frames - block.shape[1]), np.float32)
            count = min(FADE, rest.shape[1]) if not block.shape[1] else 0
            rest[:, :count] = fading[:, :count]
            block = np.concatenate([block, rest], axis=1)
        self._last = block[:, -1:].copy()
        out[:] = self.volume * np.clip(block.T, -1, 1)

    def _block(self, frames: int, heard: float) -> Samples:
        """(2, n) samples for a block whose first sample is heard at a clock time."""
        none = np.zeros((2, 0), np.float32)
        decoding = self._decoding
        if decoding is None or not self._offsets or heard - self._shown > STALL:
            return none
        wanted = round((median(self._offsets) + heard) * RATE)
        if not self._fresh and abs(wanted - decoding.position) <= STEP * RATE:
            return decoding.take(frames)
        self._fresh = True  # to the sample, once that is decoded
        if wanted > decoding.position:
            decoding.take(wanted - decoding.position)
        early = decoding.position - wanted
        if early < 0 or early >= frames:
            return none
        self._fresh = False
        return np.concatenate([np.zeros((2, early), np.float32), decoding.take(frames - early)], axis=1)


def _output_stream() -> Callable[..., Any]:
    import sounddevice

    make: Callable[..., Any] = sounddevice.OutputStream
    return make
