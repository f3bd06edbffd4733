"""Run a live session with all kinds of sinks for some minutes, and report lag and memory.

    python tools/soak_live.py 2 [--photo PHOTO] [--clip CLIP] [--size 512] [--background transparent] [--osc]

A clip plays as the camera at 30 frames/s, or with --osc a face tracker sends 60 packets a second. The result goes to a
recording, to MJPEG read by PyAV in another process, to H.264 over UDP read by this one, and to a stand-in of a virtual
camera, all on 127.0.0.1. In the middle, the process that encodes for UDP is killed; it must recover while the others
continue. The last line is a JSON object; exit status 1 if a sink was more than 3 frames behind, memory grew by more
than a tenth in the second half, or the killed sink did not recover.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from fractions import Fraction
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from app.events import EventStream  # noqa: E402
from app.frames.resources import Resources  # noqa: E402
from app.live import LiveSession, NullSink, source_from_text  # noqa: E402
from app.live.frames import LiveFrame  # noqa: E402
from app.live.recorder import RecorderSink  # noqa: E402
from app.live.sinks import Sink  # noqa: E402
from app.live.streams import MjpegSink, TransmissionSink  # noqa: E402
from app.live.vcam import VirtualCameraSettings, VirtualCameraSink  # noqa: E402
from app.live_options import LiveOptions  # noqa: E402
from app.media.camera import Mode  # noqa: E402
from app.options import RenderOptions  # noqa: E402
from app.stream_targets import StreamTarget  # noqa: E402

RATE = 30.0
BEHIND = 3  # frames
GROWTH = 1.1  # of memory from the middle to the end
READER = """
import sys, time, av
count, begun = 0, time.time()
with av.open(sys.argv[1], format="mpjpeg", timeout=20) as stream:
    try:
        for frame in stream.decode(video=0):
            count += 1
    except av.FFmpegError:
        pass
print(count)
"""


class Watched(LiveSession):
    """A session that knows its newest frame, and how far behind it each sink is."""

    newest = 0

    def _publish(self, frame: LiveFrame, busy: float) -> None:
        self.newest = frame.index
        super()._publish(frame, busy)

    def watch(self, sink: Sink, behind: dict[str, list[int]]) -> Sink:
        """Record after each frame how many newer ones already exist."""
        write = sink.write

        def watched(frame: LiveFrame) -> None:
            opens = isinstance(sink, TransmissionSink) and not sink.pid
            write(frame)
            if not opens:  # frames waiting for the receiver are not sent
                behind[sink.name].append(self.newest - frame.index)

        sink.write = watched  # type: ignore[method-assign]
        return sink


class Camera:
    """Stands in for pyvirtualcam.Camera."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.device = "stand-in"

    def send(self, _: Any) -> None:
        """Accept a frame."""

    def close(self) -> None:
        """Do nothing."""


class Receiver:
    """Counts packets of MPEG-TS at a port of this computer."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = int(self.socket.getsockname()[1])
        self.packets = 0
        threading.Thread(target=self._hear, daemon=True).start()

    def _hear(self) -> None:
        while self.socket.recv(2048):
            self.packets += 1


class Tracker:
    """Sends a talking, turning face to a port of this computer, as a VMC sender does."""

    RATE = 60.0

    def __init__(self, port: int) -> None:
        self.sent = 0
        self._to = ("127.0.0.1", port)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        threading.Thread(target=self._send, daemon=True).start()

    def _send(self) -> None:
        begun = time.monotonic()
        while True:
            now = self.sent / self.RATE
            shapes = {"A": 0.5 - 0.5 * math.cos(9 * now), "Blink": float(now % 4 < 0.15), "Joy": 0.3}
            half = 0.1 * math.sin(now)
            turn = ("Head", 0.0, 0.0, 0.0, 0.0, math.sin(half), 0.0, math.cos(half))
            parts = [
                self._message("/VMC/Ext/Bone/Pos", *turn),
                *(self._message("/VMC/Ext/Blend/Val", name, value) for name, value in shapes.items()),
                self._message("/VMC/Ext/Blend/Apply"),
            ]
            body = b"".join(struct.pack(">i", len(part)) + part for part in parts)
            self._socket.sendto(b"#bundle\0" + struct.pack(">Q", 1) + body, self._to)
            self.sent += 1
            time.sleep(max(0.0, begun + self.sent / self.RATE - time.monotonic()))

    @staticmethod
    def _message(address: str, *values: str | float) -> bytes:
        def text(value: str) -> bytes:
            return value.encode() + bytes(4 - len(value) % 4)

        types = "," + "".join("s" if isinstance(value, str) else "f" for value in values)
        data = b"".join(text(value) if isinstance(value, str) else struct.pack(">f", value) for value in values)
        return text(address) + text(types) + data


def memory_mb() -> float:
    """Resident memory of this process in MB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def free_port() -> int:
    """A currently unused port."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def main() -> int:
    """Run the session and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("minutes", type=float)
    parser.add_argument("--photo", type=Path, default=ROOT / "assets/sample/portrait.jpg")
    parser.add_argument("--clip", default=str(ROOT / "assets/sample/driving.mp4"))
    parser.add_argument("--size", type=int, default=512, help="longer side of the image")
    parser.add_argument("--background", default="#00ff00")
    parser.add_argument("--osc", action="store_true", help="a face tracker drives in place of the clip")
    asked = parser.parse_args()
    seconds = 60 * asked.minutes
    options = RenderOptions.from_values({"engine": "mesh", "background": asked.background})
    live = LiveOptions(picture_size=asked.size, stream_rate=RATE)
    receiver, port = Receiver(), free_port()
    behind: dict[str, list[int]] = defaultdict(list)
    memory: list[float] = []
    events = EventStream(lambda event: print(event.message, file=sys.stderr) if event.message else None)
    with tempfile.TemporaryDirectory() as folder:
        engine = Resources().engine(options, events.info, events.warn)
        with Watched(options, live, engine=engine, events=events) as session:
            sender = TransmissionSink(StreamTarget.parse(f"udp://127.0.0.1:{receiver.port}"), live)
            sinks: list[Sink] = [
                NullSink(), RecorderSink(Path(folder) / "out.mp4", rate=Fraction(30)),
                MjpegSink(StreamTarget.parse(f"mjpeg://127.0.0.1:{port}")), sender,
                VirtualCameraSink(VirtualCameraSettings((asked.size, asked.size), RATE), Camera),
            ]  # fmt: skip
            for sink in sinks:
                session.add_sink(session.watch(sink, behind))
            session.add_portrait("photo", asked.photo)
            if asked.osc:
                tracker = free_port()
                Tracker(tracker)
                session.set_driver(source_from_text(f"osc://127.0.0.1:{tracker}"))
            else:
                session.set_driver(source_from_text(asked.clip, Mode(0, 0, RATE, True)))
            session.start()
            if not session.wait_for(lambda: session.stats().shown > 30, 120):
                sys.exit("soak_live.py: no image came.")
            reader = subprocess.Popen(
                [sys.executable, "-c", READER, f"http://127.0.0.1:{port}/"], stdout=subprocess.PIPE, text=True
            )
            behind.clear()
            start, killed, back = time.monotonic(), 0.0, 0.0
            while (now := time.monotonic() - start) < seconds:
                time.sleep(1.0)
                memory.append(memory_mb())
                state = next(one.status for one in session.sinks if one.name == sender.name)
                if not killed and now > seconds / 2 and sender.pid:
                    os.kill(sender.pid, signal.SIGKILL)
                    killed, packets = now, receiver.packets
                elif killed and not back and state == "running" and receiver.packets > packets + 50:
                    back = now - killed
            lines = "" if reader.stdout is None else reader
            session.stop()
            session.settle(None)
            read = lines.communicate()[0].split("\n") if lines else []
            stats = session.stats()
    half, end = memory[len(memory) // 2], memory[-1]
    figures = {
        "minutes": asked.minutes, "frames_per_second": round(stats.mean_fps, 1),
        "latency_ms_median": round(stats.latency_ms_median, 1), "latency_ms_p95": round(stats.latency_ms_p95, 1),
        "most_behind": {name: max(found) for name, found in behind.items()},
        "sinks": {one.name: [one.shown, one.dropped] for one in stats.sinks},
        "read_by_pyav": int(read[0] or 0) if read else 0, "udp_packets": receiver.packets,
        "memory_mb": [round(memory[0]), round(half), round(end)], "back_after_s": round(back, 1),
    }  # fmt: skip
    print(json.dumps(figures))
    return int(max(figures["most_behind"].values()) > BEHIND or end > GROWTH * half or not back)


if __name__ == "__main__":
    sys.exit(main())
