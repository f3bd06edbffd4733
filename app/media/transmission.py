"""Send video to a receiver (SRT, RTMP, UDP, RTP) with a process that is killed if it hangs."""

from __future__ import annotations

import queue
import subprocess
import threading
from contextlib import suppress
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from app.errors import AppError, MissingError
from app.media.transmitter import FAILED, FORMS, OPENED, PICTURE, SENT, Program
from app.stream_targets import StreamTarget
from liveportrait.packages import python_command, python_environment
from models.messages import msg

Pixels = npt.NDArray[np.uint8]

OPENING: Final = 12.0
"""Seconds within which a receiver must respond, including the start of the process."""
STALL: Final = 8.0
"""Seconds within which it must accept a frame."""
ENDING: Final = 2.0
"""Seconds within which the stream must end."""


NO_PROTOCOL: Final = b"Protocol not found"


class TransmissionError(AppError):
    """A receiver can't be reached, or accepts no more frames."""


class Transmission:
    """One stream to one receiver.

    Args:
        target: The receiver.
        size: (width, height) of the frames, even.
        rate: Frames per second.
        kilobits: Video bit rate in kilobits per second.
        microphone: Whether the microphone's sound is sent too.
        zero: Time of the first frame on the clock of ``time.perf_counter``.

    Raises:
        MissingError: FFmpeg was built without the protocol.
        TransmissionError: The receiver does not respond.
    """

    def __init__(
        self,
        target: StreamTarget,
        size: tuple[int, int],
        rate: float,
        kilobits: int,
        *,
        microphone: bool = False,
        zero: float = 0.0,
    ) -> None:
        self._place = target.shown
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        program = Program(target.url, FORMS[target.protocol], *size, rate, kilobits, microphone, zero)
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            python_command("app.media.transmitter"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, env=python_environment(),
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )  # fmt: skip
        self._thread = threading.Thread(target=self._hear, name="transmission", daemon=True)
        self._thread.start()
        self._give(program.packed())
        self._expect(OPENED, OPENING)

    @property
    def pid(self) -> int:
        """Id of the sending process."""
        return self._process.pid

    def send(self, rgb: Pixels, time: float) -> None:
        """Send a frame, and wait until it has been sent.

        Args:
            rgb: (height, width, 3) uint8, contiguous.
            time: Seconds since the first one; must increase.

        Raises:
            TransmissionError: The receiver accepts no more frames.
        """
        self._give(PICTURE.pack(time, rgb.nbytes), rgb.data.cast("B"))
        self._expect(SENT, STALL)

    def close(self) -> None:
        """End the stream."""
        with suppress(OSError, ValueError):
            self._write(PICTURE.pack(0.0, 0))
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(ENDING)
        self._end()

    # ---- the process ------------------------------------------------------------------------------------------------
    def _write(self, *parts: Any) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        for part in parts:
            pipe.write(part)
        pipe.flush()

    def _give(self, *parts: Any) -> None:
        try:
            self._write(*parts)
        except (OSError, ValueError):
            self._expect(b"", ENDING)  # it has reported the reason

    def _hear(self) -> None:
        """Thread body: read the process's answers byte by byte; its end is an empty answer."""
        pipe = self._process.stdout
        assert pipe is not None
        with suppress(OSError, ValueError):
            while one := pipe.read(1):
                self._answers.put(one + pipe.readline() if one == FAILED else one)
        self._answers.put(b"")

    def _expect(self, wanted: bytes, seconds: float) -> None:
        try:
            answer = self._answers.get(timeout=seconds)
            while answer and answer[:1] != FAILED and not wanted:
                answer = self._answers.get(timeout=seconds)
        except queue.Empty:
            self._end()
            raise TransmissionError(
                msg("{place} does not accept frames: no response for {seconds:g} s.", self._place, seconds),
                "Start the receiver.",
            ) from None
        if answer and answer == wanted:
            return
        self._end()
        if answer[1:].strip() == NO_PROTOCOL:
            raise MissingError(
                msg("{place} can't be reached: the FFmpeg in this PyAV was built without its protocol.", self._place),
                "Use an address with udp:// or rtmp:// instead.",
            )
        reason = answer[1:].decode(errors="replace").strip() or "the process that sends has ended"
        raise TransmissionError(
            msg("{place} does not accept frames: {reason}.", self._place, reason),
            "Start the receiver, and check the address.",
        )

    def _end(self) -> None:
        """Kill the process."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._thread.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
