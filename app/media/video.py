"""Decoding of video files with PyAV: upright RGB frames with exact times."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, VideoReformatter

from app.errors import MediaError
from app.media import container as containers
from app.media import files, wide
from app.media.reader import ClipInfo, ClipReader, RawFrame

# Code points of ITU-T H.273
MATRICES = {0: "rgb", 1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
_SWS = {"bt709": 1, "fcc": 4, "bt601": 5, "smpte240m": 7, "bt2020": 9}  # SWS_CS_* of libswscale
_FLAGS = containers.SWS_BICUBIC | containers.SWS_FULL_CHROMA_OUT | containers.SWS_ACCURATE
_FLAG_NAMES = "bicubic+full_chroma_int+accurate_rnd"
HDR = {16: "PQ", 18: "HLG"}  # transfer characteristics
WIDE = (9, 11, 12)  # primaries: BT.2020, DCI-P3, Display P3
SRGB_TRANSFER, BT709_PRIMARIES = 13, 1
HIGHEST_RATE = 500  # more frames a second than this are a time base mistaken for a rate
SEEK_FROM = Fraction(2)  # seconds below which decoding from the beginning is simpler and as fast


@dataclass(frozen=True)
class Orientation:
    """How the stored picture becomes upright: transpose first, then mirror each axis."""

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @classmethod
    def of(cls, frame: Any) -> Orientation:
        """Read the display matrix of a decoded frame: (p, q) -> (a p + c q, b p + d q)."""
        try:
            side = frame.side_data["DISPLAYMATRIX"]
        except (KeyError, ValueError):  # there is none; PyAV before 19 also fails on kinds that it does not know
            return cls()
        a, b, _, c, d, *_ = struct.unpack("=9i", bytes(side)[:36])
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(False, a < 0, d < 0)
        return cls(True, c < 0, b < 0)

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Turn (H, W) or (H, W, C) upright."""
        if self.transpose:
            image = image.swapaxes(0, 1)
        if self.flip_y:
            image = image[::-1]
        if self.flip_x:
            image = image[:, ::-1]
        return np.ascontiguousarray(image)

    @property
    def mirrored(self) -> bool:
        """Whether the turn includes a mirror."""
        return self.transpose ^ self.flip_x ^ self.flip_y

    @property
    def rotation(self) -> int:
        """Degrees counter-clockwise; of the part left after mirroring left and right where it is mirrored."""
        if self.transpose:
            return 270 if self.flip_x else 90
        return 180 if self.flip_y else 0


class ToRGB:
    """Converts decoded frames to upright RGB with square pixels, by the colour tags of each frame."""

    def __init__(self, stored: tuple[int, int], aspect: Fraction) -> None:
        self._reformatter = VideoReformatter()
        self._maps_color = True
        self.width = max(1, round(stored[0] * aspect))
        self.height = stored[1]
        self._wide = wide.WideToRGB((self.width, self.height), _FLAG_NAMES)

    def __call__(self, frame: Any, orientation: Orientation, alpha: bool) -> tuple[np.ndarray, np.ndarray | None]:
        """(H, W, 3) uint8 and, if ``alpha``, (H, W) uint8."""
        options: dict[str, Any] = {
            "width": self.width,
            "height": self.height,
            "format": "rgba" if alpha else "rgb24",
            "src_colorspace": _SWS.get(matrix_of(frame)),
            "interpolation": _FLAGS,
            "dst_color_range": ColorRange.JPEG,
            "threads": 1,
        }
        if self._maps_color and wide_color(frame):
            transfer = int(frame.color_trc)
            mapping: dict[str, Any] = {
                "dst_color_trc": SRGB_TRANSFER if transfer in HDR else transfer,
                "dst_color_primaries": BT709_PRIMARIES,
            }
            try:
                if wide.REFORMATTER_MAPS:
                    converted = self._reformatter.reformat(frame, **options, **mapping)
                else:
                    converted = self._wide(frame, matrix_of(frame), mapping["dst_color_trc"], alpha)
            except (av.FFmpegError, ValueError, NotImplementedError):  # a combination that swscale can't map
                self._maps_color = False
                converted = self._reformatter.reformat(frame, **options)
        else:
            converted = self._reformatter.reformat(frame, **options)
        pixels = converted.to_ndarray()
        if not alpha:
            return orientation.apply(pixels), None
        return orientation.apply(pixels[..., :3]), orientation.apply(pixels[..., 3])


def matrix_of(frame: Any) -> str:
    """Name of the YUV matrix of a frame; untagged large pictures count as BT.709, small ones as BT.601."""
    if frame.format.is_rgb or frame.format.has_palette:
        return "rgb"
    name = MATRICES.get(int(frame.colorspace))
    if name is None or name == "rgb":
        return "bt709" if frame.width >= 1280 or frame.height > 576 else "bt601"
    return name


def wide_color(frame: Any) -> str:
    """Why colours need mapping: "PQ" or "HLG" (high dynamic range), "wide gamut", or empty where they do not."""
    known = HDR.get(int(frame.color_trc), "")
    return known or ("wide gamut" if int(frame.color_primaries) in WIDE else "")


class Clock:
    """Exact rising times from time stamps that may be missing, doubled, jumping or rounded by the container."""

    def __init__(self, rate: Fraction, time_base: Fraction, first: Fraction | None = None) -> None:
        self.step = 1 / rate
        self.tick = min(time_base, self.step)
        self._first = first
        self._last: Fraction | None = None
        self._shift = Fraction(0)
        # Matroska and WebM round to 1 ms, phones to 1/600 s: known rates are put back on their exact grid
        known = rate.denominator in (1, 1001) and (self.step / time_base).denominator != 1
        self._grid = rate if known and time_base > Fraction(1, 20_000) else None

    def __call__(self, stamp: Fraction | None) -> Fraction:
        """Seconds from the first frame for the next frame, whose stamp (seconds) may be missing."""
        if self._first is None:
            self._first = stamp or Fraction(0)
        if stamp is None:
            time = Fraction(0) if self._last is None else self._last + self.step
        else:
            time = self._snap(stamp - self._first) + self._shift
            if self._last is not None and time <= self._last:
                if self._last - time > max(4 * self.step, Fraction(1, 2)):  # the time line starts over
                    self._shift += self._last + self.step - time
                    time = self._last + self.step
                else:
                    time = self._last + self.tick
        if self._last is None:
            time = max(time, Fraction(0))
        self._last = time
        return time

    def _snap(self, time: Fraction) -> Fraction:
        if self._grid is None:
            return time
        exact = round(time * self._grid) / self._grid
        return exact if abs(exact - time) <= self.tick else time


class VideoReader(ClipReader):
    """A video file."""

    def __init__(self, path: Path, start: Fraction | None = None, end: Fraction | None = None) -> None:
        self._path = path
        with containers.open_input(path) as source:
            stream = containers.video_stream(source, path)
            frame, stamp = self._first_frame(source, stream)
            self._first = stamp
            info = self._describe(source, stream, frame)
        super().__init__(info, start, end)
        if self._wide:
            self.notes.append(f"{path} is a {self._wide} clip; its colours were mapped to sRGB.")

    def _first_frame(self, source: Any, stream: Any) -> tuple[Any, Fraction]:
        """Decode up to the first frame. Raises MediaError when there is none."""
        decoder = Decoder(stream)
        for packet, _ in containers.packets(source, stream):
            for frame in decoder(packet):
                return frame, _stamp(frame, containers.time_base(stream)) or Fraction(0)
        raise MediaError(f"{self._path}: not one frame of its video can be decoded.", "Export it again.")

    def _describe(self, source: Any, stream: Any, frame: Any) -> ClipInfo:
        path = self._path
        rate = containers.fraction(stream.average_rate) or containers.fraction(stream.guessed_rate)
        if not rate or rate > HIGHEST_RATE:
            rate = self._measure_rate()
        aspect = containers.fraction(stream.sample_aspect_ratio) or Fraction(1)
        aspect = aspect if Fraction(1, 16) <= aspect <= 16 else Fraction(1)
        self._orientation = turn = Orientation.of(frame)
        self._aspect = aspect
        self._wide = wide_color(frame)
        self._alpha = any(c.is_alpha for c in frame.format.components)
        shown = ToRGB((frame.width, frame.height), aspect)
        width, height = shown.width, shown.height
        audio = source.streams.audio[0] if source.streams.audio else None
        duration = self._duration(source, stream, audio)
        lead = Fraction(0)
        if audio is not None and audio.start_time is not None:
            lead = max(lead, self._first - audio.start_time * containers.time_base(audio))
        matrix, full = matrix_of(frame), int(frame.color_range) == 2 or frame.format.name.startswith("yuvj")
        return ClipInfo(
            path=path,
            kind="video",
            width=height if turn.transpose else width,
            height=width if turn.transpose else height,
            rate=rate,
            time_base=containers.time_base(stream),
            frames=stream.frames or (round(duration * rate) if duration else None),
            duration=duration,
            has_audio=audio is not None,
            has_alpha=self._alpha,
            rotation=turn.rotation,
            mirrored=turn.mirrored,
            codec=stream.codec_context.codec.canonical_name,
            pixel_format=frame.format.name,
            color=f"{matrix} {'full' if full or matrix == 'rgb' else 'limited'} range",
            lead=lead,
        )

    def _duration(self, source: Any, stream: Any, audio: Any) -> Fraction | None:
        """Declared length in seconds from the first frame to the end of the last."""
        if stream.duration:
            return int(stream.duration) * containers.time_base(stream)
        tag = stream.metadata.get("DURATION", "")  # Matroska: end of the stream as hours:minutes:seconds
        parts = tag.split(":")
        if len(parts) == 3:
            try:
                seconds = sum(Fraction(p) * f for p, f in zip(parts, (3600, 60, 1), strict=True))
            except ValueError:
                seconds = Fraction(0)
            if seconds > self._first:
                return seconds - self._first
        if source.duration and audio is None:
            begin = Fraction(source.start_time or 0, av.time_base)
            return Fraction(source.duration, av.time_base) + begin - self._first
        return None

    def _measure_rate(self) -> Fraction:
        """Average rate from up to 300 packets, for files that do not tell."""
        stamps: list[Fraction] = []
        with containers.open_input(self._path) as source:
            stream = containers.video_stream(source, self._path)
            for packet, _ in containers.packets(source, stream):
                if packet is not None and packet.pts is not None:
                    stamps.append(packet.pts * containers.time_base(stream))
                if len(stamps) >= 300:
                    break
        span = max(stamps, default=Fraction(0)) - min(stamps, default=Fraction(0))
        return (len(stamps) - 1) / span if span > 0 else Fraction(25)

    def _decode(self, start: Fraction, end: Fraction | None) -> Iterator[RawFrame]:
        info, decoded, time = self.info, 0, Fraction(0)
        clock = Clock(info.rate, info.time_base, self._first)
        converter: ToRGB | None = None
        cut: Exception | None = None
        with containers.open_input(self._path) as source:
            stream = containers.video_stream(source, self._path)
            base = containers.time_base(stream)
            if start > SEEK_FROM and source.format.name.startswith(("mov", "matroska")):
                source.seek(int((self._first + start) / base), stream=stream, backward=True)
            decoder = Decoder(stream)
            for packet, error in containers.packets(source, stream):
                cut = cut or error
                for frame in decoder(packet):
                    time = clock(_stamp(frame, base))
                    if end is not None and time >= end:
                        return
                    decoded += 1
                    if time < start:
                        continue
                    if converter is None:
                        converter, size = ToRGB((frame.width, frame.height), self._aspect), (frame.width, frame.height)
                    if (frame.width, frame.height) != size:
                        frame = frame.reformat(*size)  # noqa: PLW2901 - the clip changes its size midway
                    rgb, alpha = converter(frame, self._orientation, self._alpha)
                    yield time, rgb, alpha
        self._judge(decoded, time, decoder, cut)

    def _judge(self, decoded: int, time: Fraction, decoder: Decoder, cut: Exception | None) -> None:
        """Set ``problem`` from what went wrong over the whole clip."""
        end, declared = time + 1 / self.info.rate, self.info.duration
        name = self._path
        short = declared is not None and end < declared - max(2 / self.info.rate, Fraction(1, 10))
        if short or cut is not None:
            whole = f" of {float(declared):.2f} s" if declared is not None and short else ""
            why = f" ({files.reason(cut)[0]})" if cut is not None else ""
            self.problem = f"{name} breaks off after {float(end):.2f} s{whole} ({decoded} frames){why}."
        elif decoder.damaged:
            self.problem = f"{name} is damaged: {decoder.damaged} of its frames are missing or faulty ({decoded} read)."


def _stamp(frame: Any, base: Fraction) -> Fraction | None:
    """Seconds of a frame; frames that a flushed decoder gives have a stamp but no unit."""
    return None if frame.pts is None else frame.pts * (containers.fraction(frame.time_base) or base)


class Decoder:
    """Decodes the packets of one stream; damage is counted, not raised."""

    def __init__(self, stream: Any) -> None:
        self.damaged = 0
        name = stream.codec_context.codec.canonical_name
        self._context = stream.codec_context
        tags = {key.lower(): value for key, value in stream.metadata.items()}
        if tags.get("alpha_mode") == "1" and name in ("vp8", "vp9"):
            # FFmpeg's own VP8/VP9 decoders drop the alpha layer that WebM stores beside the picture
            context = av.CodecContext.create({"vp8": "libvpx", "vp9": "libvpx-vp9"}[name], "r")
            context.extradata = stream.codec_context.extradata
            self._context = context
        self._context.thread_type = "AUTO"

    def __call__(self, packet: Any) -> list[Any]:
        """Frames that come out for a packet; None or an empty packet flushes the decoder."""
        flush = packet is None or packet.size == 0
        frames: list[Any] = []
        while True:
            try:
                frames += self._context.decode(None if flush else packet)
            except EOFError:
                break
            except (av.FFmpegError, ValueError):
                self.damaged += 1
                if flush and self.damaged < 1000:
                    continue
            break
        self.damaged += sum(1 for f in frames if f.is_corrupt)
        return frames
