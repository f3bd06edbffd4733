"""Motion templates: the motion of a driving clip without its images.

Our own format (.motion) is a zip file of ``header.json`` and plain ``.npy`` arrays, stored uncompressed. It contains
numbers only. ``liveportrait.template_reader`` reads it, and official .pkl templates.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

from liveportrait.motion import Motion
from liveportrait.motion_check import MAX_RATE, MIN_RATE, fine_time

FORMAT: Final = "portrait-motion"
FORMAT_VERSION: Final = 1
SUFFIX: Final = ".motion"
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
    """

    motion: Motion
    times: tuple[Fraction, ...]
    rate: Fraction
    found: npt.NDArray[np.bool_]
    reference: int = 0
    source: Mapping[str, str] = field(default_factory=dict)

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
        return self.times[-1] - self.times[0] + 1 / self.rate

    def require(self, family: str, keypoints: int) -> None:
        """Raise ValueError with a clear text unless the template fits an engine."""
        if self.family != family or self.keypoints != keypoints:
            raise ValueError(
                f"this motion template has {self.keypoints} keypoints of the family {self.family!r}, but the engine "
                f"works with {keypoints} of {family!r}; make it again from the driving clip with this engine, or "
                "choose the engine that made it."
            )


class TemplateWriter:
    """Writes a template frame by frame; memory does not grow with its length.

    The file appears under its name only once ``close`` was called and all data is written.

    Args:
        path: Where to write.
        rate: Frames per second.
        source: Its origin, for users.
    """

    def __init__(self, path: Path, rate: Fraction, source: Mapping[str, str] | None = None) -> None:
        if rate <= 0:
            raise ValueError(f"the frame rate of a motion template must be positive, not {rate}.")
        self.path = Path(path)
        self._rate = fine_time(min(max(Fraction(rate), MIN_RATE), Fraction(MAX_RATE)))
        self._source = dict(source or {})
        self._folder = tempfile.TemporaryDirectory(prefix="motion-")
        self._files: dict[str, IO[bytes]] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._last: Motion | None = None
        self._waiting = 0
        self._engine = ""
        self._count = 0
        self._found = bytearray()
        self._times: list[Fraction] = []

    def __enter__(self) -> TemplateWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def __len__(self) -> int:
        return self._count

    def append(self, time: Fraction, motion: Motion | None) -> None:
        """Add the next frame.

        Args:
            time: Time stamp in seconds, later than the one before.
            motion: N = 1, or None if no face was seen.
        """
        time = fine_time(Fraction(time))
        if self._times and time <= self._times[-1]:
            raise ValueError(f"frame {self._count} of the template is not later than the one before ({time} s).")
        self._times.append(time)
        self._found.append(motion is not None)
        self._count += 1
        shown = motion or self._last
        if shown is None:
            self._waiting += 1
            return
        for _ in range(self._waiting):
            self._write(shown)
        self._waiting = 0
        self._write(shown)
        self._last = shown

    def _write(self, motion: Motion) -> None:
        arrays = {name: getattr(motion, name) for name in ARRAYS} | {f"extra.{k}": v for k, v in motion.extra.items()}
        if not self._files:
            self._engine = motion.engine
            for i, (name, values) in enumerate(arrays.items()):
                self._shapes[name] = values.shape[1:]
                self._files[name] = (Path(self._folder.name) / str(i)).open("wb+")
        if {name: a.shape[1:] for name, a in arrays.items()} != self._shapes or motion.engine != self._engine:
            raise ValueError("all frames of a motion template must come from one engine.")
        for name, values in arrays.items():
            self._files[name].write(np.ascontiguousarray(values[:1], "<f4").tobytes())

    def close(self, reference: int = 0) -> Path:
        """Finish the file.

        Args:
            reference: The neutral frame.

        Returns:
            Its path.

        Raises:
            ValueError: No frame has a face, or the reference doesn't exist.
        """
        if not self._files:
            raise ValueError("the motion template has no frame with a face.")
        if not 0 <= reference < self._count:
            raise ValueError(f"reference frame {reference} doesn't exist; there are {self._count} frames.")
        header = {
            "format": FORMAT, "version": FORMAT_VERSION, "engine": self._engine, "frames": self._count,
            "keypoints": self._shapes["delta"][0], "rate": str(self._rate), "reference": reference,
            "arrays": list(self._files), "source": self._source,
        }  # fmt: skip
        part = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        try:
            with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
                archive.writestr("header.json", json.dumps(header, indent=1))
                stamps = np.array([(t.numerator, t.denominator) for t in self._times], "<i8")
                _store(archive, "times", stamps)
                _store(archive, "found", np.frombuffer(bytes(self._found), np.uint8))
                for name, file in self._files.items():
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as out:
                        _npy_header(out, "<f4", (self._count, *self._shapes[name]))
                        file.seek(0)
                        shutil.copyfileobj(file, out, 1 << 20)
            part.replace(self.path)
        finally:
            part.unlink(missing_ok=True)
            self.discard()
        return self.path

    def discard(self) -> None:
        """Discard the data written so far; no file appears under its name."""
        for file in self._files.values():
            file.close()
        self._files = {}
        self._folder.cleanup()


def _npy_header(out: IO[bytes], dtype: str, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(out, {"descr": dtype, "fortran_order": False, "shape": shape})


def _store(archive: zipfile.ZipFile, name: str, values: npt.NDArray[Any]) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as out:
        np.lib.format.write_array(out, values, allow_pickle=False)


def save_template(path: Path, template: MotionTemplate) -> Path:
    """Write a template in our own format (.motion)."""
    with TemplateWriter(path, template.rate, template.source) as writer:
        for i, time in enumerate(template.times):
            writer.append(time, template.motion[i] if template.found[i] else None)
        return writer.close(template.reference)


def is_template(path: Path) -> bool:
    """Whether a file is a motion template by its extension (.motion or .pkl, any case)."""
    with contextlib.suppress(TypeError):
        return Path(path).suffix.lower() in (SUFFIX, ".pkl")
    return False
