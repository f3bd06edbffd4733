"""A process that encodes frames as H.264 and sends them to a receiver: ``python -m app.media.transmitter``.

FFmpeg holds the GIL while it connects, and some receivers never respond; a separate process blocks nothing and can be
killed after a timeout. ``app.media.transmission`` starts it and communicates with it:

    standard input:  length of a JSON object (4 bytes), the object, then for each picture its time (double, seconds),
                     its length in bytes (unsigned, 0 ends the stream) and its RGB pixels
    standard output: "+" once the receiver is there, "." for each picture that was sent, "!" and a reason at a failure
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, BinaryIO, Final

HEAD: Final = struct.Struct("<I")
PICTURE: Final = struct.Struct("<dI")
OPENED, SENT, FAILED = b"+", b".", b"!"
FORMS: Final = {"srt": "mpegts", "udp": "mpegts", "rtp": "rtp_mpegts", "rtmp": "flv", "rtmps": "flv"}
TICKS: Final = 90_000  # time stamps are multiples of 1/90000 s
BT709: Final = 1
LIMITED: Final = 1
PACKET: Final = 1316  # bytes; seven MPEG-TS packets, which fit into one Ethernet frame


@dataclass(frozen=True)
class Program:
    """The parameters of a stream.

    Attributes:
        url: URL of the receiver, with its secrets.
        form: FFmpeg's name of the format.
        width: Width of the frames, even.
        height: Height of the frames, even.
        rate: Frames per second.
        kilobits: Video bit rate in kilobits per second.
        microphone: Whether sound is sent too.
        zero: Time of the first frame on this computer's clock.
    """

    url: str
    form: str
    width: int
    height: int
    rate: float
    kilobits: int
    microphone: bool = False
    zero: float = 0.0

    def packed(self) -> bytes:
        """The parameters in the transmitter's format."""
        data = json.dumps(asdict(self)).encode()
        return HEAD.pack(len(data)) + data


class Transmitter:
    """Encodes frames and sends them.

    Args:
        program: The parameters.
    """

    def __init__(self, program: Program) -> None:
        import av
        from av.video.reformatter import VideoReformatter

        av.logging.set_level(None)  # its messages contain the URL
        self._program = program
        self._reformatter = VideoReformatter()
        self._last = -1
        options = {"flush_packets": "1", "max_interleave_delta": "0"}
        url = _with_packet_size(program.url) if program.form == "mpegts" else program.url
        self._container: Any = av.open(url, "w", format=program.form, container_options=options)
        self._stream = self._video()
        self._microphone: Any = None
        self._sound: Any = None
        if program.microphone:
            self._sound = self._listen()
        self._container.start_encoding()

    def _video(self) -> Any:
        program = self._program
        rate = Fraction(program.rate).limit_denominator(1001)
        bits, distance = 1000 * program.kilobits, max(1, round(2 * program.rate))
        options = {
            "preset": "veryfast", "tune": "zerolatency", "profile": "high", "g": str(distance),
            "maxrate": str(bits), "bufsize": str(bits),
        }  # fmt: skip
        stream: Any = self._container.add_stream("libx264", rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = program.width, program.height, "yuv420p"
        stream.bit_rate = bits
        stream.time_base = Fraction(1, TICKS)
        context = stream.codec_context
        context.time_base, context.framerate = Fraction(1, TICKS), rate
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED
        return stream

    def _listen(self) -> Any:
        from app.media.microphone import Microphone, MicrophoneSound

        self._microphone = Microphone()
        return MicrophoneSound(self._microphone, self._program.zero).attach(self._container, self._program.form)

    def send(self, rgb: Any, time: float) -> None:
        """Send a frame.

        Args:
            rgb: (height, width, 3) uint8.
            time: Seconds since the first one; must increase.
        """
        import av
        from av.video.reformatter import ColorRange, Colorspace

        frame = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(rgb, format="rgb24"), format="yuv420p", dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG, dst_color_range=ColorRange.MPEG, threads=1,
        )  # fmt: skip
        frame.color_primaries = frame.color_trc = BT709
        self._last = max(round(time * TICKS), self._last + 1)
        frame.pts, frame.time_base = self._last, Fraction(1, TICKS)
        for packet in self._stream.encode(frame):
            self._container.mux(packet)
        if self._sound is not None:
            self._sound.pull(Fraction(self._last, TICKS), self._container.mux)

    def close(self) -> None:
        """End the stream."""
        if self._microphone is not None:
            self._microphone.close()
        with suppress(Exception):
            for packet in self._stream.encode(None):
                self._container.mux(packet)
        self._container.close()


def _with_packet_size(url: str) -> str:
    """Limit the packet size in a udp URL so that packets are not fragmented; leave other URLs unchanged."""
    if not url.startswith("udp:") or "pkt_size" in url:
        return url
    return f"{url}{'&' if '?' in url else '?'}pkt_size={PACKET}"


def reason_of(error: BaseException) -> str:
    """Describe an error without the URL, with which FFmpeg's own text ends."""
    said = getattr(error, "strerror", None) or getattr(error, "message", None)
    return str(said or type(error).__name__).strip().rstrip(".")


def serve(source: BinaryIO, answers: BinaryIO) -> None:
    """Send incoming frames until the input ends."""
    import numpy as np

    def answer(data: bytes) -> None:
        answers.write(data)
        answers.flush()

    try:
        (length,) = HEAD.unpack(_exactly(source, HEAD.size))
        program = Program(**json.loads(_exactly(source, length)))
        transmitter = Transmitter(program)
        answer(OPENED)
        while True:
            time, size = PICTURE.unpack(_exactly(source, PICTURE.size))
            if not size:
                break
            rgb = np.frombuffer(_exactly(source, size), np.uint8).reshape(program.height, program.width, 3)
            transmitter.send(rgb, time)
            answer(SENT)
        transmitter.close()
    except EOFError:  # the parent process has ended
        return
    except Exception as error:  # noqa: BLE001 - all errors are reported to the parent process
        answer(FAILED + reason_of(error).encode() + b"\n")


def _exactly(source: BinaryIO, size: int) -> bytes:
    """Read exactly ``size`` bytes. Raises EOFError at the end."""
    data = source.read(size)
    if len(data) < size:
        raise EOFError
    return data


def main() -> None:
    """Serve standard input; Ctrl-C in a terminal is for the process that started this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # keep other output out of the protocol
    serve(sys.stdin.buffer, answers)
    answers.flush()
    os._exit(0)  # a hanging connection must not delay the exit


if __name__ == "__main__":
    main()
