"""Small clips made on the spot, with the frame number in the picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

SIZE = (96, 64)
BITS = 8


def picture(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(H, W, 3) uint8 with ``number`` as 8 black or white bars in the upper half, a colour ramp below."""
    width, height = size
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[height // 2 :] = np.linspace(40, 200, width, dtype=np.uint8)[:, None]
    rgb[height // 2 :, :, 0] = 90
    for bit in range(BITS):
        if number >> bit & 1:
            rgb[: height // 2, bit * width // BITS : (bit + 1) * width // BITS] = 255
    return rgb


def number(rgb: np.ndarray) -> int:
    """The number that ``picture`` drew."""
    height, width = rgb.shape[:2]
    row = rgb[: height // 2].mean((0, 2))
    bars = [row[bit * width // BITS : (bit + 1) * width // BITS].mean() for bit in range(BITS)]
    return sum(1 << bit for bit, value in enumerate(bars) if value > 128)


def beeps(rate: int, seconds: float, at: Sequence[float], channels: int = 1) -> np.ndarray:
    """(channels, N) float32 sound with a 60 ms beep of 1 kHz at each of the times."""
    t = np.arange(int(rate * seconds)) / rate
    wave = np.zeros(len(t))
    for begin in at:
        on = (t >= begin) & (t < begin + 0.06)
        wave[on] = 0.5 * np.cos(2 * np.pi * 1000 * (t[on] - begin))
    return np.repeat(wave[None].astype(np.float32), channels, 0)


def make_clip(
    path: Path,
    times: Sequence[Fraction],
    *,
    rate: Fraction = Fraction(25),
    base: Fraction | None = None,
    size: tuple[int, int] = SIZE,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    sound: Sequence[float] | None = None,
    sound_codec: str = "aac",
    sound_seconds: float | None = None,
    rotation: int = 0,
    hflip: bool = False,
    draw: Callable[[int, tuple[int, int]], np.ndarray] = picture,
    format: str | None = None,
    aspect: Fraction | None = None,
    color: tuple[int, int, int, int] | None = None,
    metadata: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Encode a clip whose frames carry their number; ``times`` are seconds, ``sound`` the times of its beeps."""
    base = base or 1 / rate
    fast = {"preset": "ultrafast", "crf": "12"} if codec == "libx264" else {}
    packets: list[Any] = []
    with av.open(str(path), "w", format=format) as container:
        stream: Any = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt, stream.time_base = *size, pix_fmt, base
        stream.options = fast | (options or {})
        stream.codec_context.time_base = base
        stream.metadata.update(metadata or {})
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if color:
            context = stream.codec_context
            context.colorspace, context.color_primaries, context.color_trc, context.color_range = color
        if rotation or hflip:
            stream.set_display_rotation(rotation, hflip=hflip)
        track: Any = container.add_stream(sound_codec, rate=48000, layout="mono") if sound is not None else None
        for k, time in enumerate(times):
            rgb = draw(k, size)
            kind = "rgba" if rgb.shape[2] == 4 else "rgb24"
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format=kind)
            if color:
                frame = frame.reformat(format=pix_fmt, dst_colorspace=color[0], dst_color_range=color[3])
            frame.pts, frame.time_base = round(time / base), base
            packets += stream.encode(frame)
        packets += stream.encode(None)
        if track is not None:
            length = sound_seconds or float(times[-1] + 1 / rate)
            wave = av.AudioFrame.from_ndarray(beeps(48000, length, sound or []), format="fltp", layout="mono")
            wave.sample_rate, wave.pts, wave.time_base = 48000, 0, Fraction(1, 48000)
            kind, block = track.codec_context.format.name, track.codec_context.frame_size or 1024
            for part in av.AudioResampler(kind, "mono", 48000, frame_size=block).resample(wave):
                packets += track.encode(part)
            packets += track.encode(None)
        for packet in sorted(packets, key=lambda p: (p.pts if p.dts is None else p.dts) * p.time_base):
            container.mux(packet)
    return path


def steady(count: int, rate: Fraction | int = 25) -> list[Fraction]:
    """Frame times of a fixed rate."""
    return [Fraction(k) / rate for k in range(count)]


def packet_times(path: Path) -> tuple[list[Fraction], list[Fraction]]:
    """Sorted presentation times and decode times of the video packets, in seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [p for p in container.demux(stream) if p.size]
        base = stream.time_base
        return sorted(p.pts * base for p in packets), [p.dts * base for p in packets if p.dts is not None]


def sound_of(path: Path) -> tuple[np.ndarray, int, float]:
    """(samples (N,), rate, time of sample 0 in s) of the first sound track."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        mono, parts, start = av.AudioResampler("flt", "mono", stream.rate), [], None
        for frame in container.decode(stream):
            start = float(frame.time) if start is None else start
            parts += [f.to_ndarray().ravel() for f in mono.resample(frame)]
        parts += [f.to_ndarray().ravel() for f in mono.resample(None)]
        return np.concatenate(parts), stream.rate, start or 0.0


def beep_onsets(path: Path) -> list[float]:
    """Times in seconds at which beeps begin."""
    wave, rate, start = sound_of(path)
    loud = np.flatnonzero(np.abs(wave) > 0.2)
    if not len(loud):
        return []
    first = np.concatenate([[True], np.diff(loud) > rate // 4])
    return [start + float(k) / rate for k in loud[first]]
