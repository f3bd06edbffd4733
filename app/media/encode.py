"""Encode video files with PyAV: choice of the encoder, exact time stamps, BT.709, sound muxed in sync."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from app.errors import UsageError
from app.media import container as containers
from app.media import files
from app.media.audio import AudioSource, AudioTrack
from app.media.remux import remux
from app.media.streams import FRAGMENTS, Pipe
from app.provenance import xmp
from app.provenance.mark import Marking
from liveportrait.patched import Window
from models.messages import msg

DURABLE = {"flush_packets": "1", "cluster_time_limit": "500"}  # Matroska: its index comes last and is not needed
PROMPT = {"libx264": {"tune": "zerolatency"}, "libvpx-vp9": {"lag-in-frames": "0"}}
"""Options of encoders for durable files: frames that an encoder holds back would be lost."""
FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
ALLOWED = {
    "mp4": ("h264", "hevc", "av1", "vp9"),
    "mov": ("h264", "hevc", "prores"),
    "matroska": ("h264", "hevc", "av1", "vp9", "prores"),
    "webm": ("vp9", "av1"),
}
SOFTWARE = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1", "vp9": "libvpx-vp9", "prores": "prores_ks"}
HARDWARE_KINDS = ("nvenc", "qsv", "amf", "videotoolbox")
WITH_ALPHA = ("vp9", "prores")
ODD_SIZES = ("vp9", "prores")  # these store odd sizes as they are
# Planes that can be updated in part: pixel format -> bytes a sample
PARTIAL = {"yuv420p": 1, "yuva420p": 1, "yuv422p10le": 2, "yuva444p10le": 2}
REACH = 8  # pixels over which a change in RGB affects chroma; the filter has 8 taps
BLOCK = 16  # windows that are updated begin and end at multiples of this
BAND_PIXELS = 1 << 20  # pixels that are converted at a time in an update
FINE_END = 4  # frames at the end of a loop that are encoded as finely as its first one
FINER = 13  # steps of x264's quantiser by which they are
LARGE = 9_437_184  # pixels; the limit of H.264 level 5.2, above which encoders are set up to use less memory
FRAME_THREAD_BYTES = 192 << 20  # limit for encoders that work on one frame per thread
LARGEST_TIMESCALE = 1_000_000_000
BT709 = 1  # code point of matrix, primaries and transfer in ITU-T H.273
LIMITED = 1
AVX_512F = 13  # OpenCV's number for this instruction set
_FLAGS = containers.SWS_BICUBIC | containers.SWS_ACCURATE | containers.SWS_FULL_CHROMA_IN


@dataclass(frozen=True)
class Encoder:
    """An encoder that works on this machine: FFmpeg name, pixel format and options."""

    name: str
    pix_fmt: str
    options: tuple[tuple[str, str], ...]

    @property
    def is_hardware(self) -> bool:
        """Whether it runs on a graphics card."""
        return any(self.name.endswith("_" + kind) for kind in HARDWARE_KINDS)


def codec_for(path: Path, codec: str, alpha: bool) -> tuple[str, str]:
    """Container and codec for an output name.

    Args:
        path: Output file; its extension selects the container.
        codec: "auto", "h264", "hevc", "av1", "vp9" or "prores".
        alpha: Whether transparency should be kept.

    Raises:
        UsageError: The extension or codec is unknown, or the container can't hold the codec.
    """
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        known = ", ".join([*FORMATS, ".gif", ".png"])
        raise UsageError(
            msg("{path} has no clip extension that can be written.", path), msg("Use one of {known}.", known)
        )
    if codec == "auto":
        if form == "webm" or (alpha and form == "matroska"):
            return form, "vp9"
        return form, "prores" if alpha and form == "mov" else "h264"
    if codec not in SOFTWARE:
        raise UsageError(
            msg("Unknown codec {codec!r}.", codec), msg("Use auto, {names}, gif or png.", ", ".join(SOFTWARE))
        )
    if codec not in ALLOWED[form]:
        others = ", ".join(s for s, f in FORMATS.items() if codec in ALLOWED[f])
        raise UsageError(
            msg("{suffix} can't hold {codec}.", path.suffix, codec), msg("Use {others}, or another codec.", others)
        )
    return form, codec


def holds_alpha(path: Path, codec: str = "auto") -> bool:
    """Whether a clip of a name keeps transparency; see codec_for."""
    return codec_for(path, codec, True)[1] in WITH_ALPHA


def _options(name: str, quality: int, alpha: bool) -> tuple[str, dict[str, str]]:
    """Pixel format and options of an encoder for a quality of 0-100."""
    crf = str(round(39 - 0.275 * quality))  # 80 -> 17, 50 -> 25
    high = str(round(63 - 0.48 * quality))  # scale of 0-63: 80 -> 25, 50 -> 39
    if name == "libx264":
        # Slower than "veryfast": the error of a still background is a quarter smaller at about the same file size.
        # The AVX-512 code's output differs in some runs (in mb-tree); the AVX2 code is as fast and deterministic.
        steady = {"x264-params": "asm=avx2"} if cv2.checkHardwareSupport(AVX_512F) else {}
        # Moving blocks are not divided, and only the frame before is searched: two fifths less CPU time, and 0.1 dB.
        search = {"partitions": "i8x8,i4x4", "refs": "1", "motion-est": "dia"}
        return "yuv420p", {"preset": "fast", "crf": crf} | search | steady
    if name == "libx265":
        return "yuv420p", {"preset": "veryfast", "crf": crf, "x265-params": "log-level=none"}
    if name == "libsvtav1":
        return "yuv420p", {"preset": "10", "crf": high}
    if name == "libvpx-vp9":
        options = {"crf": high, "b": "0", "deadline": "good", "cpu-used": "5", "row-mt": "1"}
        return "yuva420p" if alpha else "yuv420p", options | ({"auto-alt-ref": "0"} if alpha else {})
    if name == "prores_ks":
        kind = {"profile": "4", "alpha_bits": "16"} if alpha else {"profile": "3"}
        return "yuva444p10le" if alpha else "yuv422p10le", kind | {"vendor": "apl0"}
    if name.endswith("_nvenc"):
        return "yuv420p", {"preset": "p5", "rc": "vbr", "cq": high if name.startswith("av1") else crf, "b": "0"}
    if name.endswith("_qsv"):
        return "nv12", {"global_quality": crf, "preset": "medium"}
    if name.endswith("_amf"):
        return "nv12", {"rc": "cqp", "qp_i": crf, "qp_p": crf}
    return "yuv420p", {"q:v": str(max(1, min(100, quality)))}


def frugal(name: str, size: tuple[int, int]) -> dict[str, str]:
    """Options that bound the memory of an encoder for large frames; none for ordinary sizes.

    Args:
        name: FFmpeg name.
        size: (width, height) in pixels.
    """
    pixels = size[0] * size[1]
    # A frame costs x264 about 2.75 bytes a pixel (measured): it keeps half-size and interpolated copies. With its
    # default look-ahead of 30 frames it holds 35.
    frames = max(220_000_000, 440_000_000 - 18 * pixels) / (2.75 * pixels)
    if frames >= 37:
        return {}
    if name == "libx264":
        if frames >= 14:
            return {"rc-lookahead": str(int(frames) - 10)}
        if frames >= 9:
            return {"rc-lookahead": str(int(frames) - 6), "bf": "1", "refs": "1"}
        return {"rc-lookahead": "1", "bf": "0", "refs": "1"}
    if pixels < LARGE:
        return {}
    if name == "libx265":
        return {"x265-params": "log-level=none:rc-lookahead=4:bframes=0:frame-threads=1:ref=1"}
    if name == "libsvtav1":
        return {"svtav1-params": "lookahead=0:lp=2:pred-struct=1"}
    return {"lag-in-frames": "2", "auto-alt-ref": "0"} if name == "libvpx-vp9" else {}


@functools.lru_cache(maxsize=64)
def works(name: str, size: tuple[int, int], pix_fmt: str, options: tuple[tuple[str, str], ...]) -> bool:
    """Whether an encoder opens here and encodes one grey frame of (width, height)."""
    if name not in av.codecs_available:
        return False
    try:
        context: Any = av.CodecContext.create(name, "w")
        context.width, context.height = size
        context.pix_fmt, context.time_base, context.framerate = pix_fmt, Fraction(1, 25), Fraction(25)
        context.options = dict(options)
        context.open(strict=False)  # fails on most machines, which have no such card, before a frame is made
        grey = np.full((size[1], size[0], 3), 128, np.uint8)
        frame = av.VideoFrame.from_ndarray(grey, format="rgb24").reformat(format=pix_fmt)
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        done = [*context.encode(frame), *context.encode(None)]
    except (av.FFmpegError, OSError, ValueError, RuntimeError):
        return False
    return bool(done)


def find_encoder(codec: str, size: tuple[int, int], quality: int, hardware: str, alpha: bool) -> Encoder:
    """The first encoder for ``codec`` that works here.

    Args:
        codec: "h264", "hevc", "av1", "vp9" or "prores".
        size: (width, height) in pixels.
        quality: 0-100.
        hardware: "auto" tries graphics cards first, "none" does not.
        alpha: Whether alpha is encoded (software only).

    Raises:
        UsageError: ``hardware`` is something else.
    """
    if hardware not in ("auto", "none"):
        raise UsageError(msg("{hardware!r} is not a setting for hardware encoding.", hardware), "Use auto or none.")
    if hardware == "auto" and not alpha and codec in ("h264", "hevc", "av1"):
        for kind in HARDWARE_KINDS:
            name = f"{codec}_{kind}"
            pix_fmt, options = _options(name, quality, alpha)
            if works(name, size, pix_fmt, tuple(options.items())):
                return Encoder(name, pix_fmt, tuple(options.items()))
    name = SOFTWARE[codec]
    pix_fmt, options = _options(name, quality, alpha)
    return Encoder(name, pix_fmt, tuple((options | frugal(name, size)).items()))


def seamless(encoder: Encoder, frames: int) -> Encoder:
    """The encoder for a clip that will be repeated: both ends are encoded finely.

    The errors of neighbouring frames are alike, except across a keyframe, and a repetition begins with one: it would
    show as a slight flicker. Only x264 can be told (x265 ignores its zones); the other encoders are left as they are.

    Args:
        encoder: Encoder of an ordinary clip.
        frames: Number of frames.
    """
    if encoder.name != "libx264" or frames < 2 * FINE_END:
        return encoder
    options = dict(encoder.options)
    fine = max(1, int(options["crf"]) - FINER)
    zones = f"zones=0,0,q={fine}/{frames - FINE_END},{frames - 1},q={fine}"
    options["x264-params"] = ":".join(filter(None, (options.get("x264-params", ""), zones)))
    return replace(encoder, options=tuple(options.items()))


def exact_time_base(rate: Fraction, time_base: Fraction | None) -> Fraction:
    """Unit in which both frames at ``rate`` and stamps in ``time_base`` are whole numbers, unless it gets too fine."""
    step = 1 / rate
    common = math.lcm(step.denominator, time_base.denominator if time_base else 1)
    if common <= LARGEST_TIMESCALE:
        return Fraction(1, common)
    if step.denominator <= LARGEST_TIMESCALE:
        return Fraction(1, step.denominator * max(1, 90_000 // step.denominator))
    return Fraction(1, 90_000)


def _grown(window: Window, margin: int, width: int, height: int) -> Window:
    """A window with a margin, its sides at multiples of BLOCK or at the border of the frame."""
    x0, y0, x1, y1 = window
    left, top = (max(0, v - margin) // BLOCK * BLOCK for v in (x0, y0))
    right, bottom = (-(-(v + margin) // BLOCK) * BLOCK for v in (x1, y1))
    return left, top, min(width, right), min(height, bottom)


def _bands(windows: Iterable[Window]) -> Iterator[Window]:
    """The same windows, large ones split into bands of rows to limit memory."""
    for x0, y0, x1, y1 in windows:
        rows = max(BLOCK, BAND_PIXELS // max(1, x1 - x0) // BLOCK * BLOCK)
        for top in range(y0, y1, rows):
            yield x0, top, x1, min(y1, top + rows)


def _rows(plane: Any, sample: int) -> np.ndarray:
    """(h, w) samples of a plane as a view of its memory."""
    kind = np.uint8 if sample == 1 else np.uint16
    memory = np.frombuffer(plane, kind)
    step = plane.line_size // sample
    return memory[: plane.height * step].reshape(plane.height, step)[:, : plane.width]


class VideoSink:
    """Writes frames and sound into one file. Errors of FFmpeg and the system are passed on unchanged."""

    def __init__(
        self,
        target: Path | Pipe,
        form: str,
        encoder: Encoder,
        size: tuple[int, int],
        rate: Fraction,
        time_base: Fraction | None,
        audio: AudioSource | None,
        marking: Marking,
        durable: bool = False,
    ) -> None:
        self.notes: list[str] = []
        self._durable = durable
        self._target, self._form, self._marked = target, form, marking.in_metadata
        self.frames = 0
        self._base = exact_time_base(rate, time_base)
        self._step = 1 / rate
        self._format = encoder.pix_fmt
        self._alpha = encoder.pix_fmt.startswith("yuva")
        self._size = size
        self._sums = form in ("mp4", "mov")
        self._reformatter = VideoReformatter()
        self._held: int | None = None  # time stamp of the last frame, whose duration is known once the next one arrives
        self._frame: Any = None  # that frame; the next one may differ from it only in some rectangles
        self._lengths: dict[int, int] = {}
        self._first: tuple[int, int] | None = None  # pts and dts of the first packet
        self._track: AudioTrack | None = None
        options = {"movflags": "+faststart"} if form in ("mp4", "mov") else {}
        if isinstance(target, Pipe) or (durable and options):
            options = dict(FRAGMENTS)
        if durable:  # what was written can be read even if the program ends at once
            options |= {"flush_packets": "1", "frag_duration": "500000"} if form in ("mp4", "mov") else DURABLE
        place: Any = target if isinstance(target, Pipe) else containers.url(target)
        self._container = av.open(place, "w", format=form, options=options)
        try:
            if self._marked:
                self._container.metadata.update(xmp.clip_tags(form))
            self._stream = self._add_stream(encoder, form, rate)
            self._lead = Fraction(0)
            if audio is not None:
                self._track = audio.attach(self._container, form)
                self._lead = audio.lead if self._track else Fraction(0)
                if self._track is not None and self._track.note:
                    self.notes.append(self._track.note)
        except BaseException:
            self.close()
            raise

    def _add_stream(self, encoder: Encoder, form: str, rate: Fraction) -> Any:
        stream: Any = self._container.add_stream(
            encoder.name,
            rate=rate,
            options=dict(encoder.options) | (PROMPT.get(encoder.name, {}) if self._durable else {}),
        )
        stream.width, stream.height, stream.pix_fmt = *self._size, encoder.pix_fmt
        stream.time_base = self._base
        context = stream.codec_context
        context.time_base = self._base
        context.framerate = rate
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED
        if encoder.name == "prores_ks":
            fit = FRAME_THREAD_BYTES // (8 * self._size[0] * self._size[1])
            context.thread_count = max(1, min(fit, os.cpu_count() or 1))
        if ("hevc" in encoder.name or encoder.name == "libx265") and form in ("mp4", "mov"):
            context.codec_tag = "hvc1"  # the only tag that Apple's players accept
        if self._alpha and form in ("webm", "matroska"):
            stream.metadata["alpha_mode"] = "1"
        return stream

    @property
    def can_update(self) -> bool:
        """Whether ``update`` gives exactly the same bits as ``write``."""
        width, height = self._size
        return self._frame is not None and self._format in PARTIAL and width % 2 == height % 2 == 0

    def write(self, rgb: np.ndarray, alpha: np.ndarray | None, time: Fraction) -> None:
        """Write a frame (H, W, 3) uint8 of the right size at ``time`` seconds; times must increase."""
        pts = self._advance(time)
        self._frame = self._convert(rgb, alpha)
        self._held = pts
        self.frames += 1

    def _advance(self, time: Fraction) -> int:
        """Convert a time to a time stamp and encode the frame before, whose duration is now known."""
        pts = round((time + self._lead) / self._base)
        if self._held is not None:
            pts = max(pts, self._held + 1)
            self._encode(pts)
        return pts

    def update(
        self, windows: Iterable[Window], part: Callable[[Window], tuple[np.ndarray, np.ndarray | None]], time: Fraction
    ) -> None:
        """Write a frame that differs from the last one only inside some rectangles; needs ``can_update``.

        Args:
            windows: The rectangles, (x0, y0, x1, y1).
            part: Returns RGB (h, w, 3) and alpha (h, w) or None for a part of the frame.
            time: See ``write``.
        """
        width, height = self._size
        pts = self._advance(time)
        self._frame.make_writable()  # encoders that process several frames at once may still hold it
        for changed in _bands(_grown(window, REACH, width, height) for window in windows):
            read = _grown(changed, REACH, width, height)
            piece = self._convert(*part(read))
            for number, plane in enumerate(self._frame.planes):
                shift_x, shift_y = width // plane.width, height // plane.height
                a, b, c, d = (v // k for v, k in zip(changed, (shift_x, shift_y) * 2, strict=True))
                x, y = a - read[0] // shift_x, b - read[1] // shift_y
                rows = _rows(piece.planes[number], PARTIAL[self._format])
                _rows(plane, PARTIAL[self._format])[b:d, a:c] = rows[y : y + d - b, x : x + c - a]
        self._held = pts
        self.frames += 1

    def _convert(self, rgb: np.ndarray, alpha: np.ndarray | None) -> Any:
        if self._alpha:
            clear = np.full(rgb.shape[:2], 255, np.uint8) if alpha is None else alpha
            frame = av.VideoFrame.from_ndarray(np.dstack([rgb, clear]), format="rgba")
        else:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        out = self._reformatter.reformat(
            frame,
            format=self._format,
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            interpolation=_FLAGS,
            threads=1,
        )
        out.color_primaries = out.color_trc = BT709
        return out

    def _encode(self, until: int) -> None:
        """Encode the pending frame, which lasts until time stamp ``until``."""
        assert self._held is not None
        pts, frame = self._held, self._frame
        frame.pts, frame.time_base = pts, self._base
        frame.duration = self._lengths[pts] = until - pts
        self._mux(self._stream.encode(frame))

    def _mux(self, packets: list[Any], end: int | None = None) -> None:
        """Mux packets; ``end`` is the time stamp at which the clip ends, if these are the last ones."""
        for packet in packets:
            packet.duration = self._lengths.pop(packet.pts, 0) or round(self._step / self._base)
            if end is not None and self.frames <= 2:
                packet.dts = packet.pts  # x265 invents decode times for clips shorter than its delay
            if self._first is None:
                self._first = (packet.pts, packet.dts)
            if end is not None and packet is packets[-1]:
                # MP4 adds up durations in decoding order: the last one is set so that the sum is the video's duration
                rest = (end - self._first[0]) - (packet.dts - self._first[1])
                packet.duration = max(1, rest if self._sums else min(rest, end - packet.pts))
            time = packet.dts * containers.time_base(packet)
            self._container.mux(packet)
            if self._track is not None and time > 0:
                self._track.pull(time, self._container.mux)

    def finish(self, end: Fraction | None = None) -> None:
        """Complete the file; the last frame lasts until ``end`` seconds, or one frame."""
        if self._held is not None:
            pts = self._held
            last = pts + max(1, round(self._step / self._base))
            if end is not None:
                last = max(pts + 1, round((end + self._lead) / self._base))
            self._encode(last)
            self._held = self._frame = None
            self._mux(self._stream.encode(None), last)
            if self._track is not None:
                begun = self._track.note
                self._track.finish(last * self._base, self._container.mux)
                if self._track.note != begun:
                    self.notes.append(self._track.note)
        self._container.close()
        self._end_track()
        if self._durable and self._sums and isinstance(self._target, Path):
            whole = files.temporary_name(self._target, "whole")
            try:
                remux(self._target, whole, self._form)
                os.replace(whole, self._target)
            finally:
                files.remove(whole)
        if self._marked and isinstance(self._target, Pipe):
            self._target.write(xmp.tail(self._form))
        elif self._marked and isinstance(self._target, Path):
            xmp.add_tail(self._target, self._form)

    def close(self) -> None:
        """Close the file without completing it."""
        self._end_track()
        self._held = self._frame = None
        self._container.close()

    def _end_track(self) -> None:
        if self._track is not None:
            self._track.close()
            self._track = None
