"""Sound as samples, in sync with its video: the input for reading a voice."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import av
import numpy as np
import numpy.typing as npt

from app.errors import MediaError
from app.media import container as containers
from app.media import tracks
from app.media.audio import AudioSource, AudioTrack
from models.messages import msg

if TYPE_CHECKING:
    from models.speech import Visemes

Samples = npt.NDArray[np.float32]
LONGEST_GAP: Final = 10
"""Longest gap in the time stamps in seconds; longer ones are errors in the file."""
FULL_SCALE: Final = 32767


def sound_only(path: Path) -> bool:
    """Whether a file contains sound and no video; a cover image is not video."""
    from app.media import images, pictures

    if pictures.is_sequence(path) or not path.is_file() or images.is_image(path):
        return False
    try:
        with containers.open_input(path) as container:
            if tracks.sound_stream(container) is None:
                return False
            try:
                tracks.video_stream(container, path)
            except MediaError:
                return True
    except MediaError:
        pass
    return False


def sound_of(path: Path, start: Fraction | None = None, end: Fraction | None = None) -> AudioSource:
    """The sound of a file, or of a part of it.

    Args:
        path: Sound file, or a clip with sound.
        start: Seconds at which the part begins.
        end: Seconds at which it ends.

    Raises:
        MediaError: It can't be read, or contains no sound.
    """
    with containers.open_input(path):
        pass
    sound = AudioSource(path, start or 0, None if end is None else end - (start or 0))
    if not sound.present:
        raise MediaError(msg("{path} contains no sound.", path), "Choose a file with speech in it.")
    return sound


class SoundReader(AudioTrack):
    """Decodes the sound of an AudioSource from its first video frame on, without gaps.

    Args:
        source: The sound.
        rate: Samples per second.

    Attributes:
        channels: 1 or 2.
    """

    DAMAGED = ""
    STRICT = True

    def __init__(self, source: AudioSource, rate: int) -> None:
        super().__init__(source)
        self._shift += source.lead
        self._limit = source.duration
        self._rate = rate
        channels = self._stream.codec_context.layout.nb_channels
        self.channels = 1 if channels == 1 else 2
        self._resampler: Any = av.AudioResampler("fltp", "mono" if channels == 1 else "stereo", rate)

    def __iter__(self) -> Iterator[Samples]:
        """Blocks (channels, N) of samples, -1..1, of at most a second; NaN becomes silence."""
        written = 0
        last = None if self._limit is None else round(self._limit * self._rate)
        for first, samples in self._decoded(self._resampler, self._rate):
            gap = min(first - written, LONGEST_GAP * self._rate)
            while gap > 0 and (last is None or written < last):
                silence = np.zeros((self.channels, min(gap, self._rate)), np.float32)
                yield silence if last is None else silence[:, : last - written]
                written += silence.shape[1]
                gap -= silence.shape[1]
            new = samples[:, max(0, min(written - first, samples.shape[1])) if first < written else 0 :]
            if last is not None:
                new = new[:, : max(0, last - written)]
            if new.shape[1]:
                written += new.shape[1]
                yield np.nan_to_num(np.clip(new, -8, 8), posinf=0, neginf=0).astype(np.float32, copy=False)
            if last is not None and written >= last:
                return


class Voice:
    """The speech in a sound; it is read twice, block by block, so that an hour needs little memory.

    Args:
        sound: The sound.
        check: Called between blocks; raises to stop the work.

    Attributes:
        visemes: Visemes at 50 frames per second.
        duration: Seconds of sound.
        seed: A number derived from the samples.
        note: One sentence if the sound is truncated, else empty.

    Raises:
        MediaError: It contains no samples.
    """

    def __init__(self, sound: AudioSource, check: Callable[[], None] = lambda: None) -> None:
        from models.speech import RATE, ReferenceMeter, Spectra, SpeechReader, Visemes

        self._check = check
        spectra, meter, count, self.seed = Spectra(), ReferenceMeter(), 0, 0
        for block in self._blocks(sound, RATE):
            count += block.shape[1]
            self.seed = zlib.crc32(np.round(np.clip(block, -1, 1) * FULL_SCALE).astype("<i2").tobytes(), self.seed)
            meter.add(spectra.feed(block))
        meter.add(spectra.finish())
        if not count:
            raise MediaError(
                msg("{path} contains no sound in the used part.", sound.path)
                if sound.start or sound.duration is not None
                else msg("{path} contains 0 seconds of sound.", sound.path),
                "Choose a file with speech in it.",
            )
        reader = SpeechReader(meter.reference)
        pieces = [reader.feed(block) for block in self._blocks(sound, RATE)]
        self.visemes: Visemes = Visemes.joined([*pieces, reader.finish()])
        self.duration = Fraction(count, RATE)

    def _blocks(self, sound: AudioSource, rate: int) -> Iterator[Samples]:
        reader = SoundReader(sound, rate)
        with closing(reader):
            for block in reader:
                self._check()
                yield block
        self.note = reader.note.strip()
