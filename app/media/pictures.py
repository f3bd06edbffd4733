"""Clips made of still images: animated GIF, APNG and WebP, numbered sequences, and one still as a clip."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from app.errors import AppError, MediaError
from app.media import heif, images, limits, motionphoto
from app.media.clip import ClipInfo, ClipReader, RawFrame
from app.media.outnames import check_pattern
from models.messages import msg

DEFAULT_RATE = Fraction(25)
PAGED = ("HEIF", "TIFF")  # formats that may hold several images but don't play
PATTERN = re.compile(r"%0?(\d*)d")
# Viewers show frames with a delay of 10 ms or less for 100 ms, since old files use it for "as fast as possible".
SHORTEST_DELAY, USUAL_DELAY = Fraction(1, 100), Fraction(1, 10)


def open_picture(
    path: Path, start: Fraction | None, end: Fraction | None, rate: Fraction | None, longest: int = 0
) -> ClipReader:
    """Open an image file as an animation if it has several frames, else as a still; ``longest`` as in read_image."""
    count, kind = 1, None
    with contextlib.suppress(images.UnknownFormatError), images._open(path) as image:  # StillReader knows more formats
        count = images.count_frames(image)
        kind = image.format
    if count > 1 and kind in ("GIF", "PNG", "WEBP", "AVIF"):
        return AnimationReader(path, start, end)
    reader = StillReader(path, start, end, rate, longest)
    if heif.is_sequence(path):
        reader.notes.append(
            msg("{path} is a HEIC sequence; only its still is used. As a driving file it would play.", path)
        )
    elif count > 1 and kind in PAGED:
        reader.notes.append(msg("{path} contains {count} images; only the main one is used.", path, count))
    return reader


class StillReader(ClipReader):
    """A still image as a clip of one frame; its size is that of the file, also where fewer pixels are read."""

    def __init__(
        self, path: Path, start: Fraction | None, end: Fraction | None, rate: Fraction | None, longest: int = 0
    ) -> None:
        rate = rate or DEFAULT_RATE
        self._path, self._longest = path, longest
        self._picture: images.Picture | None = images.read_image(path, longest)
        picture = self._picture
        width, height = picture.full or (picture.width, picture.height)
        super().__init__(
            ClipInfo(
                path=path, kind="image", width=width, height=height, rate=rate, time_base=1 / rate,
                frames=1, duration=1 / rate, has_alpha=picture.alpha is not None, codec=picture.format.lower(),
            ), start, end,
        )  # fmt: skip
        self.notes += picture.notes
        if motionphoto.has_film(path):
            self.notes.append(
                msg("{path} is a Motion Photo; only its still is used. Export its film as a clip to use it.", path)
            )

    def _decode(self, start: Fraction, end: Fraction | None) -> Iterator[RawFrame]:
        if start == 0:
            picture = self._picture or images.read_image(self._path, self._longest)
            yield Fraction(0), picture.rgb, picture.alpha

    def close(self) -> None:
        """Free the pixels; a later iteration reads the file again."""
        super().close()
        self._picture = None


class AnimationReader(ClipReader):
    """Animated GIF, APNG or WebP; disposal and blending are applied, delays become time stamps."""

    def __init__(self, path: Path, start: Fraction | None, end: Fraction | None) -> None:
        self._path = path
        with images._open(path) as image:
            limits.check_frame(path, *image.size)
        picture = images.read_image(path)
        delays: list[Fraction] = []
        with images._open(path) as image:
            kind = (image.format or "").lower()
            for k in range(images.count_frames(image)):
                try:
                    image.seek(k)
                    limits.check_frame(path, *image.size)  # a frame of a GIF may extend beyond the first one
                    image.load()  # WebP gives a frame's delay only after loading
                except images.BROKEN:
                    break
                delays.append(_delay(image))
        if not delays:
            raise MediaError(msg("{path} has no frame that can be decoded.", path), "Export it again.")
        duration = sum(delays, Fraction(0))
        base = Fraction(1, 1000)
        for delay in delays:
            base = Fraction(1, np.lcm(base.denominator, delay.denominator).item())
        super().__init__(
            ClipInfo(
                path=path, kind="animation", width=picture.width, height=picture.height,
                rate=len(delays) / duration, time_base=base, frames=len(delays), duration=duration,
                has_alpha=picture.alpha is not None, codec=kind,
            ), start, end,
        )  # fmt: skip

    def _decode(self, start: Fraction, end: Fraction | None) -> Iterator[RawFrame]:
        time, done, size = Fraction(0), 0, (self.info.height, self.info.width)
        with images._open(self._path) as image:
            count = images.count_frames(image)
            for k in range(count):
                try:
                    image.seek(k)
                    limits.check_frame(self._path, *image.size)
                    picture = images.decode(image if image.format in ("WEBP", "AVIF") else image.copy(), self._path)
                except images.BROKEN as error:
                    self.problem = f"{self._path} is truncated after {done} of {count} frames ({float(time):.2f} s)."
                    if not done:
                        raise MediaError(msg("{path} has no frame that can be decoded.", self._path)) from error
                    return
                if picture.rgb.shape[:2] != size:
                    raise MediaError(msg("{path} changes its size at frame {k}.", self._path, k), "Export it again.")
                if end is not None and time >= end:
                    return
                if time >= start:
                    alpha = picture.alpha
                    if alpha is None and self.info.has_alpha:
                        alpha = np.full(size, 255, np.uint8)
                    yield time, picture.rgb, alpha if self.info.has_alpha else None
                time += _delay(image)
                done += 1


def _delay(image: Image.Image) -> Fraction:
    """Seconds for which the current frame is shown."""
    raw = image.info.get("duration", 0) or 0
    delay = Fraction(raw).limit_denominator(100_000) / 1000
    return USUAL_DELAY if delay <= SHORTEST_DELAY else delay


def is_sequence(path: Path) -> bool:
    """Whether ``path`` is a folder, or a pattern such as shot_%04d.png that is not the name of a file itself."""
    return os.path.isdir(path) or (not os.path.exists(path) and PATTERN.search(path.name) is not None)


def members(path: Path) -> list[Path]:
    """Files that a clip is read from: the images of a folder or pattern, else the file itself."""
    if not is_sequence(path):
        return [path]
    try:
        return [picture for _, picture in find_pictures(path)]
    except AppError:
        return [path]


def find_pictures(path: Path) -> list[tuple[int, Path]]:
    """Images of a folder or pattern in the order of their numbers.

    Args:
        path: Folder, or pattern with one "%d" or "%04d" in its last part.

    Returns:
        (number, file) pairs; if the names have no numbers, files are numbered in the order of their names.

    Raises:
        MediaError: There is no image.
    """
    try:
        if path.is_dir():
            names = [p for p in path.iterdir() if p.suffix.lower() in images.SUFFIXES and not p.name.startswith(".")]
            found = _number(names)
        else:
            match = PATTERN.search(path.name)
            assert match is not None
            check_pattern(path)
            head, tail = path.name[: match.start()], path.name[match.end() :]
            width = int(match.group(1) or 1)
            shape = re.compile(re.escape(head) + rf"(\d{{{width},}})" + re.escape(tail))
            hits = [(shape.fullmatch(p.name), p) for p in path.parent.iterdir()]
            found = sorted((int(m.group(1)), p) for m, p in hits if m)
    except OSError as error:
        raise MediaError(
            msg("{path} can't be listed: {reason}.", path, error.strerror or error), "Check the name."
        ) from error
    if not found:
        raise MediaError(
            msg("{path} contains no images.", path), "Choose a clip, a folder of images or a pattern like %04d.png."
        )
    return found


def _number(names: list[Path]) -> list[tuple[int, Path]]:
    """Number files by the last group of digits in their names if that is unique, else by order."""
    digits = [re.findall(r"\d+", p.stem) for p in names]
    if names and all(digits):
        numbers = [int(d[-1]) for d in digits]
        heads = {re.sub(r"\d+(?=\D*$)", "", p.stem) for p in names}
        if len(set(numbers)) == len(numbers) and len(heads) == 1:
            return sorted(zip(numbers, names, strict=True))
    ordered = sorted(names, key=lambda p: [(int(t) if t.isdigit() else -1, t) for t in re.split(r"(\d+)", p.name)])
    return list(enumerate(ordered))


def describe_gaps(numbers: list[int]) -> str:
    """Ranges missing from increasing numbers, such as "7, 12-15"; empty if there are none."""
    gaps = []
    for a, b in pairwise(numbers):
        if b > a + 1:
            gaps.append(str(a + 1) if b == a + 2 else f"{a + 1}-{b - 1}")
    shown = ", ".join(gaps[:8])
    return msg("{shown} and {count} more", shown, len(gaps) - 8) if len(gaps) > 8 else shown


class SequenceReader(ClipReader):
    """Numbered images; an image's number determines its time, so gaps in numbering are gaps in time."""

    def __init__(self, path: Path, start: Fraction | None, end: Fraction | None, rate: Fraction | None) -> None:
        rate = rate or DEFAULT_RATE
        if rate <= 0:
            raise MediaError(msg("{path}: the rate of an image sequence must be above 0.", path))
        self._files = find_pictures(path)
        first = images.read_image(self._files[0][1])
        numbers = [n for n, _ in self._files]
        super().__init__(
            ClipInfo(
                path=path, kind="sequence", width=first.width, height=first.height, rate=rate, time_base=1 / rate,
                frames=len(numbers), duration=(numbers[-1] - numbers[0] + 1) / rate,
                has_alpha=first.alpha is not None, codec=first.format.lower(),
            ), start, end,
        )  # fmt: skip
        gaps = describe_gaps(numbers)
        if gaps:
            self.notes.append(msg("{path}: images {gaps} are missing; the previous image is held.", path, gaps))

    def _decode(self, start: Fraction, end: Fraction | None) -> Iterator[RawFrame]:
        size, bad = (self.info.height, self.info.width), []
        zero = self._files[0][0]
        for number, file in self._files:
            time = (number - zero) / self.info.rate
            if time < start:
                continue
            if end is not None and time >= end:
                break
            try:
                picture = images.read_image(file)
            except AppError:
                bad.append(file.name)
                self.problem = (
                    f"{self.info.path}: {len(bad)} of {len(self._files)} images can't be read, first {bad[0]}."
                )
                continue
            if picture.rgb.shape[:2] != size:
                raise MediaError(
                    msg(
                        "{file} is {width}x{height}, the sequence began with {size}x{size2}.",
                        file, picture.width, picture.height, size[1], size[0]
                    ),
                    "All images of a sequence must have the same size."
                )  # fmt: skip
            alpha = picture.alpha
            if self.info.has_alpha and alpha is None:
                alpha = np.full(size, 255, np.uint8)
            yield time, picture.rgb, alpha if self.info.has_alpha else None
