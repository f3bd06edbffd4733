"""Sound for the output: copied packet by packet if the container allows it, else re-encoded; in sync and trimmed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from app.errors import AppError, MediaError
from app.media import container as containers
from app.media import cutoff, files, tracks
from models.messages import msg

if TYPE_CHECKING:
    from app.media.clip import ClipReader

# Codecs that play in the container (by FFmpeg's canonical names); everything else is re-encoded
COPIED = {
    "mp4": {"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"},
    "mov": {"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_s16be"},
    "matroska": {
        "aac", "mp3", "ac3", "eac3", "opus", "vorbis", "flac", "alac", "dts", "truehd", "pcm_s16le", "pcm_s24le",
        "pcm_f32le",
    },
    "webm": {"opus", "vorbis"},
}  # fmt: skip
ENCODER = {
    "mp4": "aac", "mov": "aac", "matroska": "libopus", "webm": "libopus", "mpegts": "aac", "rtp_mpegts": "aac",
    "flv": "aac",
}  # fmt: skip
AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
BITS_PER_CHANNEL = 96_000
SHORT_LEAD = Fraction(1, 10)  # s; sound before the first frame is dropped if it is shorter than this
LONGEST_TAIL = Fraction(1, 20)  # s by which copied sound may end after the last frame
MISSING = Fraction(1, 5)  # s of sound that have to be missing before it counts as truncated


class AudioSource:
    """The main audio track of a file, to be muxed into an output.

    Attributes:
        path: The file.
        start: Where the output begins, in seconds from the file's first frame (first sample if there is no video).
        duration: Longest length in seconds, or None.
        present: Whether there is an audio track; without one the output is silent.
        codec: Codec of the track, or empty.
        lead: Seconds of sound kept before the first frame; the writer delays the video by as much.
        declared: End of the sound in seconds of the file, by its header; None if that doesn't tell.
        alone: Whether there is no video.
        torn: Whether the last page of an Ogg file is missing.
    """

    def __init__(
        self, path: str | Path, start: Fraction | float = Fraction(0), duration: Fraction | float | None = None
    ) -> None:
        self.path = Path(path)
        self.start = Fraction(start)
        self.duration = None if duration is None else Fraction(duration)
        self.present = False
        self.codec = ""
        self.lead = Fraction(0)
        self.zero = Fraction(0)
        self.declared: Fraction | None = None
        self.alone = self.torn = False
        if self.path.is_dir() or not self.path.exists():
            return
        try:
            self._probe()
        except AppError:  # a picture or a folder has no sound
            self.present = False

    @classmethod
    def of_part(cls, reader: ClipReader, longest: Fraction | None = None) -> AudioSource:
        """The sound of the part of a clip that a reader reads.

        Args:
            reader: The clip.
            longest: Longest length in seconds, or None.
        """
        start = reader.find_offset()
        if reader.info.kind == "image":  # the still of a Motion Photo, whose film has sound
            silent = cls(Path(), start)
            silent.path = reader.info.path
            return silent
        ends = [end for end in (None if reader.end is None else reader.end - start, longest) if end is not None]
        return cls(reader.info.path, start, min(ends, default=None))

    def _probe(self) -> None:
        with containers.open_input(self.path) as source:
            track = tracks.sound_stream(source)
            if track is None:
                return
            begin = _seconds(track.start_time, containers.time_base(track)) or Fraction(0)
            self.zero = begin
            try:
                picture = tracks.video_stream(source, self.path)
            except MediaError:
                picture = None
            if picture is not None:
                self.zero = containers.first_stamp(source, picture) or Fraction(0)
            self.present, self.codec, self.alone = True, track.codec_context.codec.canonical_name, picture is None
            self.declared = cutoff.declared_end(source, track, self.path)
            self.torn = self.alone and cutoff.lacks_last_page(self.path)
            if self.start == 0 and self.zero - begin > SHORT_LEAD:
                self.lead = self.zero - begin

    def attach(self, output: Any, format: str) -> AudioTrack | None:
        """Add an audio stream to an output that has no packets yet.

        Args:
            output: PyAV output container.
            format: "mp4", "mov", "matroska" or "webm".

        Returns:
            The track to pull from while frames are written, or None if there is no sound.
        """
        if not self.present:
            return None
        if self.codec in COPIED.get(format, set()):
            return CopiedTrack(self, output, format)
        return EncodedTrack(self, output, ENCODER[format])


def _seconds(stamp: int | None, base: Fraction) -> Fraction | None:
    return None if stamp is None else stamp * base


class AudioTrack:
    """Base class for sound that is being written to an output.

    Attributes:
        note: A sentence if the sound was changed or ends unexpectedly, else empty.
    """

    DAMAGED = "Parts of it are damaged."
    STRICT = False
    """Whether sound beside a video counts as truncated where it ends before the header says; edit lists do that too."""

    def __init__(self, source: AudioSource) -> None:
        self.note = ""
        self._source = source
        self._container = containers.open_input(source.path)
        self._stream = tracks.sound_stream(self._container)
        # seconds on the output's time line = seconds in the file - shift
        self._shift = source.zero + source.start - source.lead
        limit = source.duration
        self._limit = None if limit is None else limit + source.lead
        if source.start > 0:
            begin = source.zero + source.start - 1  # early enough for any decoder to settle
            self._container.seek(int(begin / containers.time_base(self._stream)), stream=self._stream, backward=True)

    def pull(self, until: Fraction, mux: Callable[[Any], None]) -> None:
        """Write the sound that belongs before ``until`` seconds."""
        raise NotImplementedError

    def finish(self, end: Fraction, mux: Callable[[Any], None]) -> None:
        """Write the rest of the sound and cut it at ``end`` seconds, the end of the last frame."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _bounded(self, time: Fraction) -> Fraction:
        return time if self._limit is None else min(time, self._limit)

    def _packets(self) -> Iterator[Any]:
        end, base, path = Fraction(0), containers.time_base(self._stream), self._source.path
        for packet, error in containers.packets(self._container, self._stream):
            if error is not None:
                self.note = msg("The sound of {path} is truncated: {why}.", path, files.reason(error)[0])
                return
            if packet.size:
                if packet.pts is not None:
                    end = max(end, (packet.pts + (packet.duration or 0)) * base)
                yield packet
        declared = self._source.declared if self._source.alone or self.STRICT else None
        if declared is not None and end < declared - MISSING:
            whole = float(declared - self._source.zero)
            self.note = msg(
                "The sound of {path} is truncated after {end:.1f} of {whole:.1f} s.",
                path,
                float(max(Fraction(0), end - self._source.zero)),
                whole,
            )
        elif self._source.torn:
            self.note = msg("The sound of {path} is truncated: its last part is missing.", path)

    def _decoded(self, resampler: Any, rate: int) -> Iterator[tuple[int, np.ndarray]]:
        """Blocks of samples (channels, N) with the number of their first sample on the output's time line.

        Args:
            resampler: PyAV resampler to that rate.
            rate: Samples a second.
        """
        position: int | None = None
        damaged = False
        for packet in chain(self._packets(), [None]):
            try:
                frames = self._stream.codec_context.decode(packet)
            except (av.FFmpegError, ValueError):
                damaged = True
                continue
            for frame in frames:
                stamp = _seconds(frame.pts, containers.fraction(frame.time_base) or containers.time_base(self._stream))
                if stamp is not None:
                    wanted = round((stamp - self._shift) * rate)
                    if position is None or abs(wanted - position) > rate // 50:
                        position = wanted
                frame.pts = None
                for block in resampler.resample(frame):
                    samples = block.to_ndarray()
                    position = position or 0
                    yield position, samples
                    position += samples.shape[1]
        for block in resampler.resample(None):
            if position is not None:
                yield position, block.to_ndarray()
        if damaged:
            self.note = " ".join(filter(None, (self.note, self.DAMAGED)))


class CopiedTrack(AudioTrack):
    """Packets as they are, with new time stamps."""

    def __init__(self, source: AudioSource, output: Any, format: str) -> None:
        super().__init__(source)
        self._out = output.add_stream_from_template(self._stream)
        context = self._stream.codec_context
        self._unit = Fraction(1, context.sample_rate)
        self._frame = Fraction(context.frame_size or 0, context.sample_rate)
        # MP4 and MOV hide what lies before 0 with an edit list; Matroska hides only the pre-skip of Opus
        self._edits = format in ("mp4", "mov")
        self._primes = self._edits or source.codec == "opus"
        self._timed = self._times()
        self._next: tuple[Fraction, Fraction, Any] | None = None
        self._last = Fraction(-(1 << 30))

    def _times(self) -> Iterator[tuple[Fraction, Fraction, Any]]:
        """(start, end, packet) on the output's time line, with coarse time stamps snapped to whole frames."""
        expected: Fraction | None = None
        base = containers.time_base(self._stream)
        begin = _seconds(self._stream.start_time, base) or Fraction(0)
        for packet in self._packets():
            length = (packet.duration or 0) * base or self._frame
            stamp = packet.pts if packet.pts is not None else packet.dts
            time = stamp * base if stamp is not None else expected
            if time is None:
                continue
            if base > self._unit and self._frame:
                length = self._frame
                if expected is not None and abs(expected - time) <= 2 * base:
                    time = expected
            expected = time + length
            start = time - self._shift
            lead_in = self._primes and self._source.start == 0 and time < begin
            # if it can be hidden, one packet before the cut lets the decoder settle
            if not lead_in and (start + 2 * length <= 0 if self._edits else start < 0):
                continue
            yield start, start + length, packet

    def _ahead(self) -> tuple[Fraction, Fraction, Any] | None:
        if self._next is None:
            self._next = next(self._timed, None)
        return self._next

    def pull(self, until: Fraction, mux: Callable[[Any], None]) -> None:  # noqa: D102 - as declared
        until = self._bounded(until)
        while (entry := self._ahead()) is not None and entry[0] < until:
            self._write(entry, mux)

    def finish(self, end: Fraction, mux: Callable[[Any], None]) -> None:  # noqa: D102
        end = self._bounded(end)
        while (entry := self._ahead()) is not None and entry[0] < end and entry[1] <= end + LONGEST_TAIL:
            self._write(entry, mux)

    def _write(self, entry: tuple[Fraction, Fraction, Any], mux: Callable[[Any], None]) -> None:
        start, end, packet = entry
        self._next = None
        if start <= self._last:
            return
        self._last = start
        packet.stream = self._out
        packet.time_base = self._unit
        packet.pts = packet.dts = round(start / self._unit)
        packet.duration = round((end - start) / self._unit)
        mux(packet)


class SampleEncoder:
    """Encodes samples into an audio stream: counts them and cuts them into the encoder's frames.

    Args:
        stream: Audio stream of the output.
        layout: "mono" or "stereo".
        rate: Samples a second.

    Attributes:
        written: Number of samples passed in so far.
    """

    def __init__(self, stream: Any, layout: str, rate: int) -> None:
        self._stream = stream
        self._layout, self._rate = layout, rate
        self._resampler = av.AudioResampler(stream.codec_context.format.name, layout, rate)
        self._fifo = av.AudioFifo()
        self.written = 0
        self._encoded = 0

    def feed(self, samples: np.ndarray) -> None:
        """Queue samples (channels, N) float32, one second at a time so that a long silence takes little memory."""
        for k in range(0, samples.shape[1], self._rate):
            part = np.ascontiguousarray(samples[:, k : k + self._rate])
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout=self._layout)
            frame.sample_rate = self._rate
            for block in self._resampler.resample(frame):
                block.pts = None
                self._fifo.write(block)
            self.written += part.shape[1]

    def drain(self, mux: Callable[[Any], None]) -> None:
        """Encode the blocks that are complete."""
        size = self._stream.codec_context.frame_size or 1024
        while self._fifo.samples >= size:
            self._encode(self._fifo.read(size), mux)

    def finish(self, mux: Callable[[Any], None]) -> None:
        """Encode the rest and flush the encoder."""
        self.drain(mux)
        if self._fifo.samples:
            self._encode(self._fifo.read(), mux)
        for packet in self._stream.encode(None):
            mux(packet)

    def _encode(self, frame: Any, mux: Callable[[Any], None]) -> None:
        if frame is None:
            return
        frame.pts, frame.time_base = self._encoded, Fraction(1, self._rate)
        self._encoded += frame.samples
        for packet in self._stream.encode(frame):
            mux(packet)


class EncodedTrack(AudioTrack):
    """Sound that is decoded, resampled, trimmed to the sample and encoded."""

    def __init__(self, source: AudioSource, output: Any, encoder: str) -> None:
        super().__init__(source)
        context = self._stream.codec_context
        channels = min(2, context.layout.nb_channels) or 1
        layout = "stereo" if channels == 2 else "mono"
        rate = 48000 if encoder == "libopus" else min(AAC_RATES, key=lambda r: (abs(r - context.sample_rate), -r))
        self._rate = rate
        out = output.add_stream(encoder, rate=rate, layout=layout)
        out.bit_rate = BITS_PER_CHANNEL * channels
        self._channels = channels
        self._encoder = SampleEncoder(out, layout, rate)
        self._resampler = av.AudioResampler("fltp", layout, rate)
        self._blocks = self._decoded(self._resampler, rate)
        self._rest: tuple[int, np.ndarray] | None = None  # (number of its first sample, (channels, N) float32)
        name = {"aac": "AAC", "libopus": "Opus"}[encoder]
        mixed = f" and mixed down from {context.layout.nb_channels} channels" if context.layout.nb_channels > 2 else ""
        self.note = f"The sound ({source.codec}) was encoded to {name}{mixed}, since the output can't hold it as it is."

    def pull(self, until: Fraction, mux: Callable[[Any], None]) -> None:  # noqa: D102
        self._fill(round(self._bounded(until) * self._rate))
        self._encoder.drain(mux)

    def finish(self, end: Fraction, mux: Callable[[Any], None]) -> None:  # noqa: D102
        self.pull(end, mux)
        self._encoder.finish(mux)

    def _fill(self, until: int) -> None:
        """Queue the samples before number ``until``; gaps become silence, overlaps are dropped."""
        while self._encoder.written < until:
            entry = self._rest or next(self._blocks, None)
            self._rest = None
            if entry is None:
                return
            first, samples = entry
            if first + samples.shape[1] <= self._encoder.written:
                continue
            if first < self._encoder.written:
                first, samples = self._encoder.written, samples[:, self._encoder.written - first :]
            if first >= until:
                self._rest = (first, samples)
                return
            if first > self._encoder.written:
                self._encoder.feed(np.zeros((self._channels, first - self._encoder.written), np.float32))
            room = until - first
            if samples.shape[1] > room:
                self._rest = (until, samples[:, room:])
                samples = samples[:, :room]
            self._encoder.feed(samples)
