"""Options of live sessions, declared like all others (``app.options``); only `animate live` and the window use them.

This module deliberately imports nothing heavy: the command line needs it for ``--help``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from app.errors import UsageError
from app.option_parsers import parse_size
from app.options import OptionInfo, declared
from liveportrait.options import option
from models.messages import msg

Fit = Literal["contain", "cover", "stretch"]
Turn = Literal["0", "90", "180", "270"]
CAMERA, LIVE, VIRTUAL, STREAM, RECORD = "Camera", "Live", "Virtual camera", "Streams", "Recording"
MIDI = "MIDI"


@dataclass(frozen=True)
class LiveOptions:
    """Options for capture, performance and output of a live session."""

    camera: str = option(
        "",
        title="Camera",
        group=CAMERA,
        flag="--driver --camera",
        help="What drives the portrait: a camera, by number, name or part of its name; a network camera such as "
        "rtsp://192.168.1.20/live; a video file, played like a camera; a photo; a motion template; or a face "
        "tracker that sends to osc://, livelink:// or ifacialmocap://. By default the first ordinary camera; "
        "infrared and virtual ones only if there is no other.",
    )
    voice_driver: bool = option(
        False,
        title="Drive by voice",
        group=CAMERA,
        flag="--voice",
        help="The microphone drives instead of a camera: what you say moves the lips, a fifth of a second later.",
    )
    camera_size: str = option(
        "640x480",
        title="Camera size",
        group=CAMERA,
        unit="px",
        help="Size to request from the camera, such as 640x480; empty uses the camera's default. A larger one is "
        "slower and seldom looks better.",
    )
    camera_rate: float = option(
        0.0,
        title="Camera rate",
        group=CAMERA,
        unit="1/s",
        minimum=0.0,
        maximum=240.0,
        step=1.0,
        help="Frame rate to request from the camera, or to play a file at; 0 uses the camera's default, or the file's "
        "own time stamps.",
    )
    camera_mjpg: bool = option(
        True,
        title="Compressed images",
        group=CAMERA,
        advanced=True,
        help="Ask the camera for MJPG; most cameras reach 30 frames/s only with it.",
    )
    mirror: bool = option(True, title="Mirror the camera", group=CAMERA, help="Swap left and right of a camera.")
    camera_turn: Turn = option(
        "0",
        title="Rotate the camera",
        group=CAMERA,
        unit="deg",
        help="Rotate the frames of a camera that is mounted sideways or upside down, clockwise.",
    )
    hold_rate: float = option(
        30.0,
        title="Target frame rate",
        group=LIVE,
        unit="1/s",
        minimum=1.0,
        maximum=120.0,
        step=1.0,
        help="The animated crop gets smaller if this rate, or the camera's own if that is lower, can't be reached.",
    )
    adapt: bool = option(
        True,
        title="Adapt the quality",
        group=LIVE,
        help="Adapt the size of the animated crop to hold the frame rate; otherwise frames are dropped instead.",
    )
    picture_size: int = option(
        1280,
        title="Largest image",
        group=LIVE,
        unit="px",
        minimum=0,
        maximum=8192,
        step=16,
        help="Longer side of the live image; larger portraits are scaled down. 0 keeps their size.",
    )
    vcam: bool = option(
        False, title="Virtual camera", group=VIRTUAL, help="Show the result as a camera to other programs."
    )
    vcam_size: str = option(
        "1280x720",
        title="Size",
        group=VIRTUAL,
        unit="px",
        help="Size of the virtual camera, such as 1280x720; empty uses the size of the image.",
    )
    vcam_rate: float = option(
        30.0, title="Rate", group=VIRTUAL, unit="1/s", minimum=1.0, maximum=120.0, step=1.0,
        help="Frame rate of the virtual camera.",
    )  # fmt: skip
    vcam_fit: Fit = option(
        "contain",
        title="Fit",
        group=VIRTUAL,
        help=msg(
            "How the image fits into the virtual camera: {setting:contain} adds bars, {setting:cover} crops the edges, "
            "{setting:stretch} distorts."
        ),
    )
    stream: str = option(
        "",
        title="Stream to",
        group=STREAM,
        repeat=True,
        help="Address that the result is sent to: mjpeg://127.0.0.1:8090 (a page on this computer), srt://HOST:PORT, "
        "rtmp://HOST/APP/KEY, udp://HOST:PORT, rtp://HOST:PORT, ndi://NAME, spout://NAME or syphon://NAME. May "
        "be given several times; docs/streaming.md shows how to receive each of them.",
    )
    stream_rate: float = option(
        30.0, title="Rate", group=STREAM, unit="1/s", minimum=1.0, maximum=120.0, step=1.0,
        help="Frame rate of streams; mjpeg sends frames as they arrive.",
    )  # fmt: skip
    stream_bitrate: int = option(
        4000,
        title="Bit rate",
        group=STREAM,
        unit="kbit/s",
        minimum=100,
        maximum=100_000,
        step=100,
        help="Video bit rate of SRT, RTMP, UDP and RTP streams.",
    )
    record: str = option(
        "",
        title="Record to",
        group=RECORD,
        help="Video file to record the session to; every frame keeps its exact time stamp. A name that ends in "
        ".speech records what a face tracker sends instead, so that it can animate other portraits later.",
    )
    microphone: bool = option(
        False,
        title="Record the microphone",
        group=RECORD,
        help="Add the microphone's sound to the recording, and to SRT, RTMP, UDP and RTP streams.",
    )
    midi: str = option(
        "",
        title="MIDI input",
        group=MIDI,
        help=msg(
            "MIDI input whose controllers move the sliders: its name or a part of it, or {setting:first}; empty opens "
            "none."
        ),
    )
    midi_map: str = option(
        "",
        title="Controllers",
        group=MIDI,
        help="Which controller moves which slider, such as 1=smile,2/7=brow (controller, or channel/controller); "
        "empty uses the faders and knobs listed in docs/live.md.",
    )

    @property
    def size(self) -> tuple[int, int]:
        """Width and height to request from the camera, (0, 0) for its own choice."""
        return parse_size(self.camera_size) or (0, 0)


@lru_cache(maxsize=1)
def live_options() -> tuple[OptionInfo, ...]:
    """Every live option, grouped, in the order of help and documentation."""
    return declared("live", LiveOptions)


def check_live(values: Mapping[str, Any], flags: bool = False) -> LiveOptions:
    """Build live options from values by name; the others keep their default.

    Args:
        values: Name -> value, as text or in the option's own type.
        flags: Name options by their flags in errors.

    Raises:
        UsageError: An unknown name or a value out of bounds.
    """
    known = {info.name: info for info in live_options()}
    checked: dict[str, Any] = {}
    for name, value in values.items():
        info = known.get(name)
        if info is None:
            raise UsageError(msg("There is no live option named {name!r}; known are {names}.", name, ", ".join(known)))
        checked[name] = info.check(value, info.label if flags else name)
    return LiveOptions(**checked)
