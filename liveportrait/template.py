"""Motion templates: the motion of a driving clip without its images.

Our own format (.motion) is a zip file of ``header.json`` and plain ``.npy`` arrays, stored uncompressed. It contains
numbers only. ``liveportrait.template_reader`` reads it, and official .pkl templates.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

from liveportrait.motion import Array, Motion
from liveportrait.motion_check import MAX_RATE, MIN_RATE, fine_time
from liveportrait.track import MotionTrack

FORMAT: Final = "portrait-motion"
FORMAT_VERSION: Final = 1
SUFFIX: Final = ".motion"
BLOCK: Final = 128  # frames that are written at once
ARRAYS: Final = ("rotation", "translation", "scale", "delta", "eye_ratio", "lip_ratio")


@dataclass(frozen=True)
class MotionTemplate:
    """Motion of a clip with its time.

    Attributes:
        motion: N frames; where found is False, the last frame with a face (or else the next one) is repeated.
        times: N exact time stamps in seconds.
        rate: Frames per second of the clip, exact; for a clip of variable rate its average.
        found: (N,) bool, frames with a face.
        reference: The neutral frame.
        source: Its origin ("file", "program", ...), for users.
        length: Seconds that the clip lasts, or None where only its frames tell.
    """

    motion: Motion
    times: tuple[Fraction, ...]
    rate: Fraction
    found: npt.NDArray[np.bool_]
    reference: int = 0
    source: Mapping[str, str] = field(default_factory=dict)
    length: Fraction | None = None

    def __len__(self) -> int:
        return len(self.motion)

    @property
    def family(self) -> str:
        """Keypoint family of the engine that made it."""
        return self.motion.engine

    @property
    def keypoints(self) -> int:
        """Number of keypoints."""
        return self.motion.keypoints

    @property
    def duration(self) -> Fraction:
        """Seconds, including the last frame."""
        return self.length or self.times[-1] - self.times[0] + 1 / self.rate

    def require(self, family: str, keypoints: int) -> None:
        """Raise ValueError with a clear text unless the template fits an engine."""
        if self.family != family or self.keypoints != keypoints:
            raise ValueError(
                f"this motion template has {self.keypoints} keypoints of the family {self.family!r}, but the engine "
                f"works with {keypoints} of {family!r}; make it again from the driving clip with this engine, or "
                "choose the engine that made it."
            )


def save_track(
    path: Path, track: MotionTrack, rate: Fraction, reference: int = 0, source: Mapping[str, str] | None = None
) -> Path:
    """Write the motion of a clip as a template; memory does not grow with its length.

    The file appears under its name only once all data is written.

    Args:
        path: Where to write.
        track: The motion; its time stamps increase.
        rate: Frames per second.
        reference: The neutral frame.
        source: Its origin, for users.

    Returns:
        The path.

    Raises:
        ValueError: No frame has a face, the rate is not positive, the time stamps don't increase, or the reference
            doesn't exist.
    """
    if rate <= 0:
        raise ValueError(f"the frame rate of a motion template must be positive, not {rate}.")
    if not track.found:
        raise ValueError("the motion template has no frame with a face.")
    if not 0 <= reference < len(track):
        raise ValueError(f"reference frame {reference} doesn't exist; there are {len(track)} frames.")
    times = [fine_time(Fraction(time)) for time in track.times]
    for index, (before, time) in enumerate(pairwise(times), 1):
        if time <= before:
            raise ValueError(f"frame {index} of the template is not later than the one before ({time} s).")
    first = track.motion(0)
    arrays = (*ARRAYS, *(f"extra.{name}" for name in first.extra))
    fine = fine_time(min(max(Fraction(rate), MIN_RATE), Fraction(MAX_RATE)))
    header = {
        "format": FORMAT, "version": FORMAT_VERSION, "engine": first.engine, "frames": len(track),
        "keypoints": first.keypoints, "rate": str(fine), "reference": reference, "arrays": arrays,
        "duration": str(track.duration) if track.duration > 0 else None, "source": dict(source or {}),
    }  # fmt: skip
    part = Path(path).with_name(f".{Path(path).name}.{os.getpid()}.part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            archive.writestr(zipfile.ZipInfo("header.json"), json.dumps(header, indent=1))
            _store(archive, "times", np.array([(t.numerator, t.denominator) for t in times], "<i8"))
            _store(archive, "found", np.array([track.seen(i) for i in range(len(track))], np.uint8))
            for name in arrays:
                with archive.open(f"{name}.npy", "w", force_zip64=True) as out:
                    _npy_header(out, "<f4", (len(track), *_array(first, name).shape[1:]))
                    for start in range(0, len(track), BLOCK):
                        rows = np.array([track.row(i) for i in range(start, min(start + BLOCK, len(track)))])
                        values = _array(track.rows(rows[0], rows[-1] + 1), name)
                        out.write(np.ascontiguousarray(values[rows - rows[0]], "<f4").tobytes())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return Path(path)


def _array(motion: Motion, name: str) -> Array:
    values: Array = motion.extra[name[6:]] if name.startswith("extra.") else getattr(motion, name)
    return values


def _npy_header(out: IO[bytes], dtype: str, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(out, {"descr": dtype, "fortran_order": False, "shape": shape})


def _store(archive: zipfile.ZipFile, name: str, values: npt.NDArray[Any]) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as out:
        np.lib.format.write_array(out, values, allow_pickle=False)


def save_template(path: Path, template: MotionTemplate) -> Path:
    """Write a template in our own format (.motion)."""
    with closing(MotionTrack(template.length or Fraction(0))) as track:
        for i, time in enumerate(template.times):
            track.append(time, template.motion[i] if template.found[i] else None)
        return save_track(path, track, template.rate, template.reference, template.source)


def is_template(path: Path) -> bool:
    """Whether a file is a motion template by its extension (.motion or .pkl, any case)."""
    with suppress(TypeError):
        return Path(path).suffix.lower() in (SUFFIX, ".pkl")
    return False
