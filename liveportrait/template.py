"""Motion templates: the motion of a driving clip without its pictures.

The own format (.motion) is a zip file of ``header.json`` and plain ``.npy`` arrays, stored uncompressed so that long
templates are memory-mapped. It holds numbers only. The official .pkl templates are read through a restricted reader.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, cast

import numpy as np
import numpy.typing as npt

from liveportrait.motion import Motion
from liveportrait.official_pickle import read_pickle

FORMAT: Final = "portrait-motion"
FORMAT_VERSION: Final = 1
SUFFIX: Final = ".motion"
_ARRAYS: Final = ("rotation", "translation", "scale", "delta", "eye_ratio", "lip_ratio")
_MAX_HEADER: Final = 1 << 20


@dataclass(frozen=True)
class MotionTemplate:
    """Motion of a clip with its time.

    Attributes:
        motion: N frames; where found is False, the last frame with a face (or the first one to come) stands in.
        times: N exact time stamps in seconds.
        rate: Frames per second of the clip, exact; for a clip of variable rate its average.
        found: (N,) bool, frames with a face.
        reference: The neutral frame.
        source: What it was made from ("file", "program", ...), for people.
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
        """Seconds, the last frame included."""
        return self.times[-1] - self.times[0] + 1 / self.rate

    def require(self, family: str, keypoints: int) -> None:
        """Raise ValueError, in a clear sentence, unless the template fits an engine."""
        if self.family != family or self.keypoints != keypoints:
            raise ValueError(
                f"this motion template has {self.keypoints} keypoints of the family {self.family!r}, but the engine "
                f"works with {keypoints} of {family!r}; make it again from the driving clip with this engine, or "
                "choose the engine that made it."
            )


class TemplateWriter:
    """Writes a template frame by frame; memory does not grow with its length.

    The file appears under its name only when ``close`` was called and everything is in it.

    Args:
        path: Where to write.
        rate: Frames per second.
        source: What it is made from, for people.
    """

    def __init__(self, path: Path, rate: Fraction, source: Mapping[str, str] | None = None) -> None:
        if rate <= 0:
            raise ValueError(f"the frame rate of a motion template must be positive, not {rate}.")
        self.path = Path(path)
        self._rate = Fraction(rate)
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
        if self._times and time <= self._times[-1]:
            raise ValueError(f"frame {self._count} of the template is not later than the one before ({time} s).")
        self._times.append(Fraction(time))
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
        arrays = {name: getattr(motion, name) for name in _ARRAYS} | {f"extra.{k}": v for k, v in motion.extra.items()}
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
            ValueError: If no frame has a face, or the reference doesn't exist.
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
        """Give up what was written so far; nothing appears under the file's name."""
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
    """Write a template in the own format (.motion)."""
    with TemplateWriter(path, template.rate, template.source) as writer:
        for i, time in enumerate(template.times):
            writer.append(time, template.motion[i] if template.found[i] else None)
        return writer.close(template.reference)


def load_template(path: Path) -> MotionTemplate:
    """Read a motion template: the own format or an official .pkl.

    Arrays of the own format are mapped from the file, read as they are used.

    Raises:
        ValueError: If the file isn't a usable template.
        OSError: If it can't be read.
    """
    path = Path(path)
    with path.open("rb") as file:
        start = file.read(4)
    if start[:2] == b"PK":
        return _load_own(path)
    if start[:1] in (b"\x80", b"(", b"}"):
        return official_template(read_pickle(path.read_bytes(), path.name), path.name)
    raise ValueError(f"{path.name} is not a motion template; expected a {SUFFIX} file or an official .pkl.")


def _load_own(path: Path) -> MotionTemplate:
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo("header.json").file_size > _MAX_HEADER:
                raise ValueError("its header is too large")
            header = json.loads(archive.read("header.json"))
            if header.get("format") != FORMAT:
                raise ValueError("its header is not that of a motion template")
            if int(header["version"]) > FORMAT_VERSION:
                raise ValueError(f"it has the newer format version {header['version']}; update the program")
            arrays = {name: _map(path, archive, f"{name}.npy") for name in ("times", "found", *header["arrays"])}
        return _own_template(header, arrays)
    except (KeyError, TypeError, ValueError, ZeroDivisionError, zipfile.BadZipFile, EOFError, struct.error) as error:
        text = f"its part {error} is missing" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise ValueError(f"{path.name} is not a usable motion template: {text}.") from None


def _own_template(header: Mapping[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> MotionTemplate:
    n, k = int(header["frames"]), int(header["keypoints"])
    shapes = {"rotation": (3, 3), "translation": (3,), "scale": (1,), "delta": (k, 3), "eye_ratio": (2,)}
    shapes |= {"lip_ratio": (1,)}
    for name, values in arrays.items():
        wanted = {"times": (n, 2), "found": (n,)}.get(name, (n, *shapes.get(name, values.shape[1:])))
        if n < 1 or values.shape != wanted:
            raise ValueError(f"{name} has the shape {values.shape} instead of {wanted}")
    for name in ("rotation", "translation", "scale"):
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"{name} holds numbers that are not finite")
    if (arrays["scale"] <= 0).any():
        raise ValueError("scale must be positive")
    reference = int(header["reference"])
    if not 0 <= reference < n:
        raise ValueError(f"its reference frame {reference} doesn't exist")
    extra = {name[6:]: values for name, values in arrays.items() if name.startswith("extra.")}
    motion = Motion(**{name: arrays[name] for name in _ARRAYS}, engine=str(header["engine"]), extra=extra)
    times = tuple(Fraction(int(a), int(b)) for a, b in arrays["times"])
    rate = Fraction(header["rate"])
    if rate <= 0:
        raise ValueError(f"its frame rate {rate} is not positive")
    source = {str(key): str(value) for key, value in dict(header.get("source", {})).items()}
    return MotionTemplate(motion, times, rate, arrays["found"].astype(bool), reference, source)


def _map(path: Path, archive: zipfile.ZipFile, member: str) -> npt.NDArray[Any]:
    """A stored .npy member as a memory map."""
    info = archive.getinfo(member)
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{member} is compressed")
    with path.open("rb") as file:
        file.seek(info.header_offset + 26)
        name_length, extra_length = struct.unpack("<HH", file.read(4))
        begin = info.header_offset + 30 + name_length + extra_length
        file.seek(begin)
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError(f"{member} is not a plain array")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        offset = file.tell()
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if fortran or dtype.hasobject or dtype.kind not in "fiub" or offset - begin + size != info.file_size:
        raise ValueError(f"{member} is damaged")
    if size == 0:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, "r", offset, shape)


# ---------------------------------------------------------------------- official templates


def official_template(content: Mapping[str, Any], name: str = "the file") -> MotionTemplate:
    """Template of an official dictionary (spec motion.md section 7): new keys, old keys, with or without ratios.

    Args:
        content: From ``read_pickle``.
        name: The file's name, for errors.

    Raises:
        ValueError: If parts are missing or have wrong shapes.
    """
    try:
        frames = content["motion"]
        if not isinstance(frames, list) or not frames:
            raise ValueError("it has no frames")
        n = len(frames)

        def stack(keys: tuple[str, ...], shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
            values = []
            for frame in frames:
                key = next((k for k in keys if k in frame), None)
                if key is None:
                    raise ValueError(f"its frames have no {keys[0]}")
                values.append(np.asarray(frame[key], np.float32).reshape(shape))
            return np.stack(values)

        def ratios(keys: tuple[str, ...], width: int) -> npt.NDArray[np.float32]:
            rows = next((content[k] for k in keys if content.get(k)), None)
            if rows is None:
                return np.full((n, width), np.nan, np.float32)
            if len(rows) < n:
                raise ValueError(f"{keys[0]} has {len(rows)} entries for {n} frames")
            return np.stack([np.asarray(row, np.float32).reshape(width) for row in rows[:n]])

        motion = Motion(
            rotation=stack(("R", "R_d"), (3, 3)),
            translation=stack(("t",), (3,)),
            scale=stack(("scale",), (1,)),
            delta=stack(("exp",), (21, 3)),
            eye_ratio=ratios(("c_eyes_lst", "c_d_eyes_lst"), 2),
            lip_ratio=ratios(("c_lip_lst", "c_d_lip_lst"), 1),
            engine="liveportrait21",
        )
        rate = Fraction(cast("float", content.get("output_fps", 25))).limit_denominator(1001)
        if rate <= 0:
            raise ValueError(f"its frame rate {rate} is not positive")
        if not all(np.isfinite(a).all() for a in (motion.rotation, motion.translation, motion.scale, motion.delta)):
            raise ValueError("it holds numbers that are not finite")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        text = f"its part {error} is missing" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise ValueError(f"{name} is not a usable motion template: {text}.") from None
    times = tuple(Fraction(i) / rate for i in range(n))
    return MotionTemplate(motion, times, rate, np.ones(n, bool), 0, {"file": name})


def is_template(path: Path) -> bool:
    """Whether a file is a motion template by its suffix (.motion or .pkl, any case)."""
    with contextlib.suppress(TypeError):
        return Path(path).suffix.lower() in (SUFFIX, ".pkl")
    return False
