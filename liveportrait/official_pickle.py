"""Reads the official release's .pkl motion templates without running anything in them.

A pickle is a program. This reader knows only the words that numpy arrays are written with, and answers them with plain
stand-ins: neither numpy's own rebuilding code nor anything else named in the file is called.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from typing import Any, Final

import numpy as np
import numpy.typing as npt

MAX_BYTES: Final = 1 << 30
MAX_VALUES: Final = 5_000_000
_CODES: Final = frozenset({"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"})


class _Type:
    """Stands for numpy.dtype: a plain number type and its byte order."""

    def __init__(self, code: object, *_flags: object) -> None:
        if code not in _CODES:
            raise pickle.UnpicklingError(f"number type {code!r}")
        self.code = str(code)
        self.order = "<"

    def __setstate__(self, state: object) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError("byte order")
        self.order = str(order)

    def numpy(self) -> np.dtype[Any]:
        return np.dtype(self.order + self.code)


class _Array:
    """Stands for numpy.ndarray until its numbers are known."""

    def __init__(self) -> None:
        self.values: npt.NDArray[Any] | None = None

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise pickle.UnpicklingError("array state")
        _, shape, kind, fortran, data = state
        self.values = _numbers(data, kind, shape, "F" if fortran else "C")


def _numbers(data: object, kind: object, shape: object, order: object) -> npt.NDArray[Any]:
    if isinstance(data, str):
        data = data.encode("latin-1")
    if not (isinstance(kind, _Type) and isinstance(data, bytes | bytearray) and order in ("C", "F")):
        raise pickle.UnpicklingError("array content")
    sizes = shape if isinstance(shape, tuple) else (shape,)
    if not all(isinstance(n, int) and n >= 0 for n in sizes) or len(sizes) > 8:
        raise pickle.UnpicklingError("array shape")
    dtype = kind.numpy()
    if math.prod(sizes) * dtype.itemsize != len(data):
        raise pickle.UnpicklingError("array size")
    return np.frombuffer(bytes(data), dtype).reshape(sizes, order="F" if order == "F" else "C")


def _reconstruct(kind: object, *_: object) -> _Array:
    if kind is not _Array:
        raise pickle.UnpicklingError("array class")
    return _Array()


def _from_buffer(data: object, kind: object, shape: object, order: object = "C", *_: object) -> npt.NDArray[Any]:
    return _numbers(data, kind, shape, order)


def _scalar(kind: object, data: object = b"") -> float:
    return float(_numbers(data, kind, (), "C"))


def _encode(text: object, encoding: object = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("text encoding")
    return text.encode("latin-1")


_KNOWN: Final[dict[tuple[str, str], Any]] = {("_codecs", "encode"): _encode}
for _package in ("numpy.core", "numpy._core"):
    _KNOWN[(f"{_package}.multiarray", "_reconstruct")] = _reconstruct
    _KNOWN[(f"{_package}.multiarray", "scalar")] = _scalar
    _KNOWN[(f"{_package}.numeric", "_frombuffer")] = _from_buffer
_KNOWN[("numpy", "ndarray")] = _Array
_KNOWN[("numpy", "dtype")] = _Type


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _KNOWN[(module, name)]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name}") from None

    def persistent_load(self, pid: object) -> Any:
        raise pickle.UnpicklingError("outside objects")


_REFUSED: Final = frozenset(
    {
        "PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "NEXT_BUFFER",
        "READONLY_BUFFER",
    }
)  # fmt: skip


def _scan(data: bytes) -> None:
    """Check the steps of a pickle before it is read: none that arrays don't need, no memory asked for in vain."""
    for count, (step, argument, _) in enumerate(pickletools.genops(data)):
        if step.name in _REFUSED:
            raise pickle.UnpicklingError(f"the step {step.name}")
        if step.name in ("PUT", "BINPUT", "LONG_BINPUT") and (not isinstance(argument, int) or argument > count):
            raise pickle.UnpicklingError("memory that it doesn't use")


def _plain(value: Any, budget: list[int], depth: int = 0) -> Any:
    """Containers and numbers with real arrays instead of stand-ins; budget is the number of values that may follow."""
    budget[0] -= 1
    if depth > 8 or budget[0] < 0:
        raise ValueError("it is nested too deeply")
    if isinstance(value, _Array):
        if value.values is None:
            raise ValueError("an array in it has no content")
        return value.values
    if isinstance(value, dict):
        return {str(k): _plain(v, budget, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v, budget, depth + 1) for v in value]
    if value is None or isinstance(value, bool | int | float | str | np.ndarray):
        return value
    raise ValueError(f"it holds something that isn't a number ({type(value).__name__})")


def read_pickle(data: bytes, name: str = "the file") -> dict[str, Any]:
    """Content of a pickled dictionary of numbers and arrays.

    Args:
        data: The file's bytes.
        name: Its name, for the error.

    Returns:
        Plain dicts, lists, numbers and numpy arrays.

    Raises:
        ValueError: If it isn't one, or names anything but numpy arrays.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"{name} is larger than {MAX_BYTES >> 20} MB; a motion template is not.")
    try:
        _scan(data)
        content = _plain(_Reader(io.BytesIO(data)).load(), [MAX_VALUES])
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{name} was refused: a motion template holds only numpy arrays, but this pickle asks for {error}. "
            "It may be malicious."
        ) from None
    except RecursionError:
        raise ValueError(f"{name} is not a readable motion template: it is nested too deeply.") from None
    except (EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, MemoryError) as error:
        text = " ".join(ascii(str(error)).strip("'\"").split())[:120].rstrip(".")
        raise ValueError(f"{name} is not a readable motion template: {text}.") from None
    if not isinstance(content, dict):
        raise ValueError(f"{name} is not a motion template: it holds no table of motion.")
    return content
