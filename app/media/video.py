"""Decode video files with PyAV: upright RGB frames with exact times."""

from __future__ import annotations

import contextlib
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
from app.media import deinterlace, files, tracks, wide
from app.media.clip import ClipInfo, ClipReader, RawFrame
from models.messages import msg

# Code points of ITU-T H.273
MATRICES = {0: "rgb", 1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
_SWS = {"bt709": 1, "fcc": 4, "bt601": 5, "smpte240m": 7, "bt2020": 9}  # SWS_CS_* of libswscale
_FLAGS = containers.SWS_BICUBIC | containers.SWS_FULL_CHROMA_OUT | containers.SWS_ACCURATE
_FLAG_NAMES = "bicubic+full_chroma_int+accurate_rnd"
HDR = {16: "PQ", 18: "HLG"}  # transfer characteristics
WIDE = (9, 11, 12)  # primaries: BT.2020, DCI-P3, Display P3
SRGB_TRANSFER, BT709_PRIMARIES = 13, 1
HIGHEST_RATE = 500  # a rate above this is a time base mistaken for a rate
FROM_ZERO = ("matroska", "nut")  # formats whose durations count from 0, not from the first frame
WIDEST_PIXEL = 4  # aspect ratio; images with wider pixels are reduced in height as well
ODDEST_PIXEL = 16  # aspect ratio, or its inverse; beyond it the tag is wrong
SEEK_FROM = Fraction(2)  # seconds below which decoding from the start is simpler and as fast


@dataclass(frozen=True)
class Orientation:
    """How to turn the stored image upright: transpose first, then mirror each axis."""

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @classmethod
    def of(cls, frame: Any) -> Orientation | None:
        """Read the display matrix of a decoded frame, (p, q) -> (a p + c q, b p + d q); None if it has none.

        PyAV keeps a frame whose side data were read until Python's garbage collector runs, which in a clip that is
        played over and over is almost never. They are read from a tiny copy of the frame, which has them too.
        """
        with contextlib.suppress(av.FFmpegError, ValueError, NotImplementedError):  # pixels that can't be converted
            frame = VideoReformatter().reformat(frame, width=16, height=16, format="gray", threads=1)
        try:
            side = frame.side_data["DISPLAYMATRIX"]
        except (KeyError, ValueError):  # there is none; PyAV before 19 also fails on unknown kinds of side data
            return None
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
        """Whether the transformation includes mirroring."""
        return self.transpose ^ self.flip_x ^ self.flip_y

    @property
    def rotation(self) -> int:
        """Degrees counter-clockwise; if it is mirrored, of the rotation that remains after mirroring left and right."""
        if self.transpose:
            return 270 if self.flip_x else 90
        return 180 if self.flip_y else 0


class ToRGB:
    """Converts decoded frames to upright RGB with square pixels, by the colour tags of each frame."""

    def __init__(self, stored: tuple[int, int], aspect: Fraction, size: tuple[int, int] | None = None) -> None:
        self._reformatter = VideoReformatter()
        self._maps_color = True
        self.width, self.height = square_size(stored, aspect) if size is None else size
        self._wide = wide.WideToRGB((self.width, self.height), _FLAG_NAMES)

    def __call__(self, frame: Any, orientation: Orientation, alpha: bool) -> tuple[np.ndarray, np.ndarray | None]:
        """Return (H, W, 3) uint8 and, if ``alpha``, (H, W) uint8."""
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


class Framer:
    """Converts the frames of a clip to RGB images of one size; a frame of another size is fitted in, with black bars.

    Args:
        width: Width of the images in pixels, upright.
        height: Their height.
        aspect: Width of a stored pixel over its height.
        orientation: Orientation of frames that carry none themselves.
        alpha: Whether the images have alpha.

    Attributes:
        changed: Size of the first frame that had to be fitted in, or None.
    """

    def __init__(self, width: int, height: int, aspect: Fraction, orientation: Orientation, *, alpha: bool) -> None:
        self._box = (height, width)
        self._aspect = aspect
        self._default = self._turn = orientation
        self._carried: bool | None = None  # whether frames carry a display matrix; None before the first one
        self._rotation = 0  # of the last frame, in degrees
        self._alpha = alpha
        self._now: tuple[int, int, Fraction, Orientation] | None = None
        self._converter: ToRGB | None = None
        self.changed: tuple[int, int] | None = None

    def __call__(self, frame: Any, aspect: Fraction | None = None) -> tuple[np.ndarray, np.ndarray | None]:
        """(height, width, 3) uint8 and, with alpha, (height, width) uint8.

        Args:
            frame: Decoded frame.
            aspect: Pixel aspect ratio; None for that of the clip.
        """
        self._turn = turn = self._orientation(frame)
        now = (frame.width, frame.height, aspect or self._aspect, turn)
        if self._converter is None or now != self._now:
            self._now, self._converter = now, self._fitted(*now)
        rgb, alpha = self._converter(frame, turn, self._alpha)
        if rgb.shape[:2] == self._box:
            return rgb, alpha
        return _centred(rgb, self._box, 0), None if alpha is None else _centred(alpha, self._box, 255)

    def _orientation(self, frame: Any) -> Orientation:
        """H.264 and HEVC signal the orientation at its first frame; it holds until the next key frame.

        The display matrix is read where the rotation, which costs nothing, changes, and at key frames that may carry a
        mirror image without rotation; of clips whose first frame carries none, never again.
        """
        rotation = int(frame.rotation)
        changed = rotation != self._rotation
        found = None
        if self._carried is None or changed or (self._carried and frame.key_frame and not rotation):
            found = Orientation.of(frame)
            self._carried = self._carried or found is not None
        elif rotation:
            found = self._turn
        self._rotation = rotation
        return found or (self._default if frame.key_frame else self._turn)

    def _fitted(self, width: int, height: int, aspect: Fraction, turn: Orientation) -> ToRGB:
        converter = ToRGB((width, height), aspect)
        shape = converter.width, converter.height
        tall, wide = shape if turn.transpose else shape[::-1]
        if (tall, wide) != self._box:
            self.changed = self.changed or (wide, tall)
            scale = min(Fraction(self._box[0], tall), Fraction(self._box[1], wide))
            size = max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))
            converter = ToRGB((width, height), aspect, size)
        return converter


def _centred(image: np.ndarray, box: tuple[int, int], fill: int) -> np.ndarray:
    """(H, W) or (H, W, C) centred in a plain image of size ``box``, (height, width)."""
    out = np.full((*box, *image.shape[2:]), fill, image.dtype)
    top, left = (box[0] - image.shape[0]) // 2, (box[1] - image.shape[1]) // 2
    out[top : top + image.shape[0], left : left + image.shape[1]] = image
    return out


def square_size(stored: tuple[int, int], aspect: Fraction) -> tuple[int, int]:
    """Width and height with square pixels: the height is kept unless the image would get extremely wide."""
    width, height = stored
    if aspect > WIDEST_PIXEL:  # keep about the stored number of pixels
        root = float(aspect) ** 0.5
        return max(1, round(width * root)), max(1, round(height / root))
    return max(1, round(width * aspect)), height


def matrix_of(frame: Any) -> str:
    """Name of the YUV matrix of a frame; untagged large frames count as BT.709, small ones as BT.601."""
    if frame.format.is_rgb or frame.format.has_palette:
        return "rgb"
    name = MATRICES.get(int(frame.colorspace))
    if name is None or name == "rgb":
        return "bt709" if frame.width >= 1280 or frame.height > 576 else "bt601"
    return name


def to_deep(frame: Any) -> np.ndarray:
    """(H, W, 3) uint16 over the full range in a frame's own colours; only its YUV matrix and range are undone."""
    deep = VideoReformatter().reformat(
        frame,
        format="rgb48le",
        src_colorspace=_SWS.get(matrix_of(frame)),
        interpolation=_FLAGS,
        dst_color_range=ColorRange.JPEG,
        threads=1,
    )
    return np.ascontiguousarray(deep.to_ndarray())


def wide_color(frame: Any) -> str:
    """Why colours need mapping: "PQ" or "HLG" (high dynamic range), "wide gamut", or empty if they don't."""
    known = HDR.get(int(frame.color_trc), "")
    return known or ("wide gamut" if int(frame.color_primaries) in WIDE else "")


class Clock:
    """Exact increasing times from time stamps that may be missing, duplicated, jumping or rounded by the container."""

    def __init__(self, rate: Fraction, time_base: Fraction, first: Fraction | None = None) -> None:
        self.step = 1 / rate
        self.tick = min(time_base, self.step)
        self._first = first
        self._last: Fraction | None = None
        self._shift = Fraction(0)
        # Matroska and WebM round to 1 ms, phones to 1/600 s: known rates are snapped to their exact grid
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
                if self._last - time > max(4 * self.step, Fraction(1, 2)):  # the timeline restarts
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
            stream = tracks.video_stream(source, path)
            containers.check_size(source, stream, path)
            frame, stamp = self._first_frame(source, stream)
            self._first = stamp
            info = self._describe(source, stream, frame)
            self._fields = deinterlace.has_fields(stream)
            interlaced = self._fields or frame.interlaced_frame
        super().__init__(info, start, end)
        if self._wide:
            self.notes.append(msg("{path} is a {wide} clip; its colours were mapped to sRGB.", path, self._wide))
        if interlaced and self._is_interlaced():
            self.notes.append(msg("{path} is interlaced; its frames were deinterlaced.", path))
        if self._odd is not None:
            self.notes.append(
                msg(
                    "{path} declares pixels {odd:.3g} times as wide as high, which must be wrong; square pixels are "
                    "assumed.",
                    path, float(self._odd)
                )
            )  # fmt: skip

    def _first_frame(self, source: Any, stream: Any) -> tuple[Any, Fraction]:
        """Decode up to the first frame. Raises MediaError when there is none."""
        decoder = Decoder(stream)
        for packet, _ in containers.packets(source, stream):
            for frame in decoder(packet):
                return frame, _stamp(frame, containers.time_base(stream)) or Fraction(0)
        raise MediaError(msg("{path}: no frame of its video can be decoded.", self._path), "Export it again.")

    def _describe(self, source: Any, stream: Any, frame: Any) -> ClipInfo:
        path = self._path
        rate = containers.fraction(stream.average_rate) or containers.fraction(stream.guessed_rate)
        if not rate or rate > HIGHEST_RATE:
            rate = self._measure_rate()
        aspect = containers.fraction(stream.sample_aspect_ratio) or Fraction(1)
        self._odd = None if Fraction(1, ODDEST_PIXEL) <= aspect <= ODDEST_PIXEL else aspect
        aspect = Fraction(1) if self._odd is not None else aspect
        self._orientation = turn = Orientation.of(frame) or Orientation()
        self._aspect = aspect
        self._wide = wide_color(frame)
        self._alpha = any(c.is_alpha for c in frame.format.components)
        shown = ToRGB((frame.width, frame.height), aspect)
        width, height = shown.width, shown.height
        audio = tracks.sound_stream(source)
        duration = self._duration(source, stream, audio)
        self._unclear = not source.format.name.startswith(("mov", "mpeg", *FROM_ZERO))
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
        name = source.format.name
        length = tracks.tagged_end(stream) if name.startswith("matroska") else None
        if length is None and stream.duration and not name.startswith(("matroska", "nut")):
            length = int(stream.duration) * containers.time_base(stream)
        if length is None and source.duration and audio is None:
            length = Fraction(source.duration, av.time_base)
            if not name.startswith(FROM_ZERO):
                length += Fraction(source.start_time or 0, av.time_base) - self._first
        if length is None or length <= 0:
            return None
        return length - self._first if name.startswith(FROM_ZERO) and 0 < self._first < length else length

    def _measure_rate(self) -> Fraction:
        """Average rate from up to 300 packets, for files that declare none."""
        stamps: list[Fraction] = []
        with containers.open_input(self._path) as source:
            stream = tracks.video_stream(source, self._path)
            for packet, _ in containers.packets(source, stream):
                if packet is not None and packet.pts is not None:
                    stamps.append(packet.pts * containers.time_base(stream))
                if len(stamps) >= 300:
                    break
        span = max(stamps, default=Fraction(0)) - min(stamps, default=Fraction(0))
        return (len(stamps) - 1) / span if span > 0 else Fraction(25)

    def _is_interlaced(self) -> bool:
        """Whether the first frames are really interlaced; a clip that is only flagged so is left unchanged."""
        with containers.open_input(self._path) as source:
            stream = tracks.video_stream(source, self._path)
            decoder = Decoder(stream)
            frames = (frame for packet, _ in containers.packets(source, stream) for frame in decoder(packet))
            return deinterlace.is_interlaced(frames, self._fields)

    def _decode(self, start: Fraction, end: Fraction | None) -> Iterator[RawFrame]:
        info, decoded, time = self.info, 0, Fraction(0)
        clock = Clock(info.rate, info.time_base, self._first)
        framer = Framer(info.width, info.height, self._aspect, self._orientation, alpha=self._alpha)
        cut: list[Exception] = []
        with containers.open_input(self._path) as source:
            stream = tracks.video_stream(source, self._path)
            base = containers.time_base(stream)
            if start > SEEK_FROM and source.format.name.startswith(("mov", "matroska")):
                source.seek(int((self._first + start) / base), stream=stream, backward=True)
            decoder = Decoder(stream)
            stamped = self._stamped(source, stream, decoder, cut)
            for frame, stamp in deinterlace.deinterlaced(stamped, self._fields):
                time = clock(stamp)
                if end is not None and time >= end:
                    return
                decoded += 1
                if time < start:
                    continue
                rgb, alpha = framer(frame, decoder.aspect)
                if framer.changed is not None:
                    self._note_change(framer.changed, time)
                yield time, rgb, alpha
        self._judge(decoded, time, decoder, cut[0] if cut else None)

    def key_frames(self) -> Iterator[np.ndarray]:
        """See ClipReader.key_frames; the frames between them are not decoded."""
        info = self.info
        framer = Framer(info.width, info.height, self._aspect, self._orientation, alpha=self._alpha)
        with containers.open_input(self._path) as source:
            stream = tracks.video_stream(source, self._path)
            decoder = Decoder(stream, only_keys=True)
            for packet, _ in containers.packets(source, stream):
                for frame in decoder(packet):
                    yield framer(frame, decoder.aspect)[0]

    @staticmethod
    def _stamped(
        source: Any, stream: Any, decoder: Decoder, cut: list[Exception]
    ) -> Iterator[tuple[Any, Fraction | None]]:
        """Decoded frames with their time stamps; an error that ends the file early is added to ``cut``."""
        for packet, error in containers.packets(source, stream):
            cut += [error] if error else []
            for frame in decoder(packet):
                yield frame, _stamp(frame, containers.time_base(stream))

    def _note_change(self, size: tuple[int, int], time: Fraction) -> None:
        info = self.info
        if not any("changes its size" in note for note in self.notes):
            self.notes.append(
                msg(
                    "{path} changes its size from {width}x{height} to {size}x{size2} at {time:.2f} s; the rest is "
                    "fitted into the first size.",
                    self._path, info.width, info.height, size[0], size[1], float(time)
                )
            )  # fmt: skip

    def _judge(self, decoded: int, time: Fraction, decoder: Decoder, cut: Exception | None) -> None:
        """Set ``problem`` from all errors in the clip."""
        end, declared = time + 1 / self.info.rate, self.info.duration
        name = self._path
        # other formats may count the duration from 0 or from the first frame
        reached = end + max(self._first, Fraction(0)) if self._unclear else end
        short = declared is not None and reached < declared - max(2 / self.info.rate, Fraction(1, 10))
        if short or cut is not None:
            whole = f" of {float(declared):.2f} s" if declared is not None and short else ""
            why = f" ({files.reason(cut)[0]})" if cut is not None else ""
            self.problem = f"{name} is truncated after {float(end):.2f} s{whole} ({decoded} frames){why}."
        elif decoder.damaged:
            self.problem = f"{name} is damaged: {decoder.damaged} of its frames are missing or faulty ({decoded} read)."


def _stamp(frame: Any, base: Fraction) -> Fraction | None:
    """Time of a frame in seconds; frames from a flushed decoder have a time stamp but no unit."""
    return None if frame.pts is None else frame.pts * (containers.fraction(frame.time_base) or base)


class Decoder:
    """Decodes the packets of one stream; damage is counted, not raised.

    Args:
        stream: The stream.
        only_keys: Skip the frames that depend on others.
    """

    def __init__(self, stream: Any, *, only_keys: bool = False) -> None:
        self.damaged = 0
        name = stream.codec_context.codec.canonical_name
        self._context = stream.codec_context
        tags = {key.lower(): value for key, value in stream.metadata.items()}
        if tags.get("alpha_mode") == "1" and name in ("vp8", "vp9"):
            # FFmpeg's own VP8/VP9 decoders drop the alpha layer that WebM stores beside the image
            context = av.CodecContext.create({"vp8": "libvpx", "vp9": "libvpx-vp9"}[name], "r")
            context.extradata = stream.codec_context.extradata
            self._context = context
        containers.prepare_decoder(self._context)
        if only_keys:
            self._context.skip_frame = "NONKEY"
        self._aspect: Fraction | None = None  # of the first frame, from the codec; the container's takes precedence

    @property
    def aspect(self) -> Fraction | None:
        """Pixel aspect ratio if the codec changed it within the clip, else None."""
        now = containers.fraction(self._context.sample_aspect_ratio) or Fraction(1)
        self._aspect = self._aspect or now
        return now if now != self._aspect and Fraction(1, ODDEST_PIXEL) <= now <= ODDEST_PIXEL else None

    def __call__(self, packet: Any) -> list[Any]:
        """Decode a packet into frames; None or an empty packet flushes the decoder."""
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
