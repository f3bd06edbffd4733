"""Reads motion templates: our own format and official pickles. All content is checked, and none of it executed."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import IO, Annotated, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from liveportrait.limits import first_fault, parse_json, shown
from liveportrait.motion import Motion
from liveportrait.motion_check import (
    FINEST,
    MAX_FRAMES,
    MAX_KEYPOINTS,
    MAX_RATE,
    MAX_SECONDS,
    check_motion,
    check_rate,
    check_times,
)
from liveportrait.official_pickle import MAX_BYTES, read_pickle
from liveportrait.template import ARRAYS, FORMAT, FORMAT_VERSION, SUFFIX, MotionTemplate
from models.archives import PlainArchive, read_member
from models.messages import msg

_MAX_HEADER: Final = 1 << 20
_MAX_ARRAYS: Final = 32
_MAX_FACT: Final = 1024
_MAX_RATE_TEXT: Final = 40
_MAX_DURATION_TEXT: Final = 100
_IN_MEMORY: Final = 16 << 20
"""Bytes of an array up to which it is read into memory; longer ones are mapped from a scratch file."""
_NPY_HEAD: Final = re.compile(
    r"\{'descr': '(?P<kind>[^']{1,40})', 'fortran_order': (?P<fortran>True|False), "
    r"'shape': \((?P<shape>(\d{1,18}, ?)*(\d{1,18},?)?)\), \} *\n"
)


def load_template(path: Path) -> MotionTemplate:
    """Read a motion template: our own format or an official .pkl.

    Long arrays are copied to a scratch file and mapped from there: mapping the user's file directly would crash the
    program if that file were truncated or rewritten meanwhile.

    Raises:
        ValueError: The file isn't a usable template.
        OSError: It can't be read.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise ValueError(msg("{name} is not a motion template; it is not a regular file.", path.name))
    with path.open("rb") as file:
        start = file.read(4)
        if start[:2] == b"PK":
            return _load_own(path.name, file)
        if start[:1] in (b"\x80", b"(", b"}"):
            data = start + file.read(MAX_BYTES + 1)
            return official_template(read_pickle(data, path.name), path.name)
    raise ValueError(
        msg("{name} is not a motion template; expected a {suffix} file or an official .pkl.", path.name, SUFFIX)
    )


def _load_own(name: str, file: IO[bytes]) -> MotionTemplate:
    from pydantic import ValidationError

    try:
        with PlainArchive(file) as archive:
            header = _header(parse_json(archive.read("header.json", _MAX_HEADER)))
            arrays = {one: _read_array(archive, one, header) for one in ("times", "found", *header.arrays)}
        return _own_template(header, arrays)
    except ValidationError as error:
        raise ValueError(
            msg("{name} is not a usable motion template: in its header, {error}.", name, first_fault(error))
        ) from None
    except KeyError as error:
        raise ValueError(
            msg("{name} is not a usable motion template: its part {error} is missing.", name, error)
        ) from None
    except ValueError as error:
        raise ValueError(
            msg("{name} is not a usable motion template: {error}.", name, str(error).rstrip("."))
        ) from None


def _header(content: object) -> Any:
    """The header of a template, checked by its schema.

    Raises:
        ValueError: It is not one, or from a newer version (pydantic's errors are ValueErrors too).
    """
    if not isinstance(content, dict):
        raise ValueError(msg("its header is not a table"))
    if content.get("format") != FORMAT:
        raise ValueError(msg("its header is not that of a motion template"))
    version = content.get("version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise ValueError(msg("it has the newer format version {version}; update the program", shown(version)))
    return _header_schema().model_validate(content)


@lru_cache(maxsize=1)
def _header_schema() -> Any:
    """Schema of the header (pydantic is only imported to read a template)."""
    from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, create_model

    name = Annotated[str, StringConstraints(pattern=r"^(extra\.)?[A-Za-z0-9_.-]{1,64}$")]
    fact = Annotated[str, StringConstraints(max_length=_MAX_FACT)]
    fields: dict[str, Any] = {
        "format": (Literal["portrait-motion"], ...),
        "version": (Annotated[int, Field(ge=1)], ...),
        "engine": (Annotated[str, StringConstraints(min_length=1, max_length=64)], ...),
        "frames": (Annotated[int, Field(ge=1, le=MAX_FRAMES)], ...),
        "keypoints": (Annotated[int, Field(ge=1, le=MAX_KEYPOINTS)], ...),
        "rate": (Annotated[str, AfterValidator(_rate)], ...),
        "reference": (Annotated[int, Field(ge=0)], ...),
        "duration": (Annotated[str, AfterValidator(_duration)] | None, None),
        "arrays": (Annotated[list[name], Field(max_length=_MAX_ARRAYS), AfterValidator(_array_names)], ...),
        "source": (Annotated[dict[fact, fact], Field(max_length=_MAX_ARRAYS)], {}),
    }
    schema: type[BaseModel] = create_model("Header", __config__=ConfigDict(strict=True, extra="ignore"), **fields)
    return schema


def _rate(text: str) -> Fraction:
    """Frame rate of a header, such as "25" or "30000/1001"."""
    if len(text) > _MAX_RATE_TEXT or not re.fullmatch(r"[0-9]+(/[0-9]+)?", text):
        raise ValueError(msg("{text} is not a frame rate such as 25 or 30000/1001", shown(text)))
    try:
        return check_rate(Fraction(text))
    except ZeroDivisionError:
        raise ValueError(msg("{text} divides by zero", shown(text))) from None


def _duration(text: str) -> Fraction:
    """Length of a clip in a header, such as "5" or "1001/120" seconds."""
    if len(text) > _MAX_DURATION_TEXT or not re.fullmatch(r"[1-9][0-9]*(/[1-9][0-9]*)?", text):
        raise ValueError(msg("{text} is not a length in seconds such as 5 or 1001/120", shown(text)))
    if Fraction(text) > MAX_SECONDS:
        raise ValueError(msg("{text} s are out of all bounds", shown(text)))
    return Fraction(text)


def _array_names(names: list[str]) -> list[str]:
    missing = [name for name in ARRAYS if name not in names]
    if missing:
        raise ValueError(msg("{missing} is missing", missing[0]))
    if len(set(names)) != len(names):
        raise ValueError(msg("it contains a name twice"))
    unknown = [name for name in names if name not in ARRAYS and not name.startswith("extra.")]
    if unknown:
        raise ValueError(msg("{shown} is not known", shown(unknown[0])))
    return names


def _own_template(header: Any, arrays: dict[str, npt.NDArray[Any]]) -> MotionTemplate:
    if header.reference >= header.frames:
        raise ValueError(
            msg(
                "its reference frame {reference} doesn't exist; it has {frames} frames", header.reference, header.frames
            )
        )
    extra = {name[6:]: values for name, values in arrays.items() if name.startswith("extra.")}
    motion = Motion(**{name: arrays[name] for name in ARRAYS}, engine=header.engine, extra=extra)
    check_motion(motion)
    found = arrays["found"]
    if found.max() > 1:
        raise ValueError(msg("found contains numbers other than 0 and 1"))
    if not found.any():
        raise ValueError(msg("it has no frame with a face"))
    stamps = arrays["times"]
    if (stamps[:, 1] < 1).any() or (stamps[:, 1] > FINEST).any():
        raise ValueError(msg("times contains denominators outside 1 to {finest:,}", FINEST))
    times = tuple(Fraction(int(a), int(b)) for a, b in stamps)
    check_times(times)
    if header.duration is not None and header.duration <= times[-1] - times[0]:
        raise ValueError(msg("its duration ends before its last frame"))
    facts = {_printable(key): _printable(value) for key, value in header.source.items()}
    return MotionTemplate(motion, times, header.rate, found.astype(bool), header.reference, facts, header.duration)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


def _read_array(archive: PlainArchive, name: str, header: Any) -> npt.NDArray[Any]:
    """An array of the file: small ones in memory, long ones mapped from a scratch file."""
    member = f"{name}.npy"
    n = header.frames
    shape: tuple[int | None, ...]
    if name.startswith("extra."):
        dtype, shape = "<f4", (n, None)
    else:
        dtype, shape = {
            "times": ("<i8", (n, 2)), "found": ("|u1", (n,)), "rotation": ("<f4", (n, 3, 3)),
            "translation": ("<f4", (n, 3)), "scale": ("<f4", (n, 1)), "delta": ("<f4", (n, header.keypoints, 3)),
            "eye_ratio": ("<f4", (n, 2)), "lip_ratio": ("<f4", (n, 1)),
        }[name]  # fmt: skip
    with archive.open(member) as stream:
        got, begin = _npy_shape(stream, name, dtype)
        if not (got[:1] == (n,) if None in shape else got == shape):
            raise ValueError(msg("{name} has the shape {got} instead of {shape}", name, shown(got), shape))
        size = math.prod(got) * np.dtype(dtype).itemsize
        if begin + size != archive.size(member):
            raise ValueError(
                msg(
                    "{member} is damaged: it has {member2:,} bytes instead of {begin:,}",
                    member, archive.size(member), begin + size
                )
            )  # fmt: skip
        if size <= _IN_MEMORY:
            values = np.frombuffer(read_member(stream, member, size), dtype)
            read_member(stream, member, 0)
            return values.reshape(got)
        return _on_scratch(stream, member, size, np.dtype(dtype), got)


def _npy_shape(stream: IO[bytes], name: str, dtype: str) -> tuple[tuple[int, ...], int]:
    """Shape from the header of an .npy member, and that header's bytes; accepts only the form that numpy writes."""
    head = read_member(stream, name, 10)
    if head[:8] != b"\x93NUMPY\x01\x00":
        raise ValueError(msg("{name} is not a plain array", name))
    length = int.from_bytes(head[8:], "little")
    text = read_member(stream, name, length).decode("latin-1")
    found = _NPY_HEAD.fullmatch(text)
    if found is None:
        raise ValueError(msg("{name} is an array with a damaged header", name))
    if found["kind"] != dtype:
        raise ValueError(
            msg("{name} contains numbers of the type {shown} instead of {dtype!r}", name, shown(found["kind"]), dtype)
        )
    if found["fortran"] == "True":
        raise ValueError(msg("{name} is stored by columns", name))
    return tuple(int(part) for part in found["shape"].replace(",", " ").split()), 10 + length


def _on_scratch(
    stream: IO[bytes], member: str, size: int, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> npt.NDArray[Any]:  # fmt: skip
    """Copy the rest of a member to a nameless scratch file, and map that."""
    with tempfile.TemporaryFile(prefix="motion-") as scratch:
        left = size
        while left:
            block = read_member(stream, member, min(left, 1 << 20))
            scratch.write(block)
            left -= len(block)
        scratch.flush()
        return np.memmap(scratch, dtype, "r", 0, shape)  # the mapping keeps the file alive


def official_template(content: Mapping[str, Any], name: str = "the file") -> MotionTemplate:
    """Template from an official dictionary (spec motion.md section 7): new keys, old keys, with or without ratios.

    Args:
        content: From ``read_pickle``.
        name: The file's name, for error messages.

    Raises:
        ValueError: Parts are missing or have wrong shapes.
    """
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # too large values become infinite, and are rejected below
            motion = _official_motion(content)
        rate = _official_rate(content.get("output_fps", 25))
        check_motion(motion)
    except KeyError as error:
        raise ValueError(
            msg("{name} is not a usable motion template: its part {error} is missing.", name, error)
        ) from None
    except (TypeError, ValueError, OverflowError) as error:
        text = " ".join(str(error).split())[:200].rstrip(".")
        raise ValueError(msg("{name} is not a usable motion template: {text}.", name, text)) from None
    n = len(motion)
    times = tuple(Fraction(i) / rate for i in range(n))
    return MotionTemplate(motion, times, rate, np.ones(n, bool), 0, {"file": name})


def _official_motion(content: Mapping[str, Any]) -> Motion:
    frames = content["motion"]
    if not isinstance(frames, list) or not frames:
        raise ValueError(msg("it has no frames"))
    if len(frames) > MAX_FRAMES:
        raise ValueError(msg("it has more than {max_frames:,} frames", MAX_FRAMES))
    if not all(isinstance(frame, dict) for frame in frames):
        raise ValueError(msg("a frame of it is not a table"))
    n = len(frames)

    def stack(keys: tuple[str, ...], shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
        values = []
        for index, frame in enumerate(frames):
            key = next((k for k in keys if k in frame), None)
            if key is None:
                raise ValueError(msg("its frames have no {keys}", keys[0]))
            values.append(_numbers(frame[key], shape, f"{keys[0]} of frame {index}"))
        return np.stack(values)

    def ratios(keys: tuple[str, ...], width: int) -> npt.NDArray[np.float32]:
        rows = next((content[k] for k in keys if content.get(k) is not None and len(content[k])), None)
        if rows is None:
            return np.full((n, width), np.nan, np.float32)
        if len(rows) < n:
            raise ValueError(msg("{keys} has {count} entries for {n} frames", keys[0], len(rows), n))
        return np.stack([_numbers(rows[i], (width,), f"entry {i} of {keys[0]}") for i in range(n)])

    return Motion(
        rotation=stack(("R", "R_d"), (3, 3)),
        translation=stack(("t",), (3,)),
        scale=stack(("scale",), (1,)),
        delta=stack(("exp",), (21, 3)),
        eye_ratio=ratios(("c_eyes_lst", "c_d_eyes_lst"), 2),
        lip_ratio=ratios(("c_lip_lst", "c_d_lip_lst"), 1),
        engine="liveportrait21",
    )


def _numbers(value: object, shape: tuple[int, ...], name: str) -> npt.NDArray[np.float32]:
    try:
        return np.asarray(value, np.float32).reshape(shape)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(msg("{name} does not contain {shape} numbers", name, math.prod(shape))) from None


def _official_rate(value: object) -> Fraction:
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MAX_RATE:
        raise ValueError(msg("its frame rate {value} is not positive, or not a frame rate", shown(value)))
    return check_rate(Fraction(value).limit_denominator(1001))
