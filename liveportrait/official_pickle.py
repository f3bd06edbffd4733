"""Reads the official release's .pkl motion templates without executing anything in them.

A pickle is a program. This reader interprets it itself, knows only the opcodes and names needed for numpy arrays, and
replaces them with harmless stand-ins: neither numpy's own reconstruction code nor anything else named in the file is
called, and time and memory stay proportional to the file.
"""

from __future__ import annotations

import math
import pickle
import pickletools
from typing import Any, Final

import numpy as np
import numpy.typing as npt

MAX_BYTES: Final = 64 << 20
MAX_VALUES: Final = 5_000_000
MAX_STEPS: Final = 8_000_000
"""Limit of pickle opcodes; a frame of an official template takes about 100."""
MAX_COPIED: Final = 256 << 20
MAX_BITS: Final = 256
_CODES: Final = frozenset({"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"})


class _Type:
    """Stand-in for numpy.dtype: a plain number type and its byte order."""

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
    """Stand-in for numpy.ndarray until its numbers are known."""

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


_MARK: Final = object()
_NUMBERS: Final = frozenset({"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"})
_TEXTS: Final = frozenset(
    {
        "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE",
        "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    }
)  # fmt: skip
_CONSTANTS: Final[dict[str, Any]] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: Final[dict[str, type]] = {"EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict}
_TUPLES: Final = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Machine:
    """Interprets the pickle opcodes that arrays, tables and lists need, and no others.

    Python's own reader hashes any key of a pickle and copies without limit; here keys must be text, and every opcode
    and every copied byte is counted.
    """

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._copied = 0

    def run(self, data: bytes) -> Any:
        """The value that a pickle encodes."""
        for count, (step, argument, _) in enumerate(pickletools.genops(data)):
            if count > MAX_STEPS:
                raise ValueError(f"it has more than {MAX_STEPS:,} steps")
            if step.name == "STOP":
                return self._pop()
            self._step(step.name, argument, count)
        raise EOFError("it is truncated")

    def _step(self, name: str, argument: Any, count: int) -> None:
        if name in _NUMBERS or name in _TEXTS:
            self._stack.append(_checked_number(argument))
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self._stack.append(_EMPTY[name]())
        elif name == "MARK":
            self._stack.append(_MARK)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            index = len(self._memo) if name == "MEMOIZE" else argument
            if not isinstance(index, int) or not 0 <= index <= count:
                raise pickle.UnpicklingError("memory that it doesn't use")
            self._memo[index] = self._top()
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self._stack.append(self._memo[argument])
        elif name not in ("PROTO", "FRAME"):
            self._combine(name, argument)

    def _combine(self, name: str, argument: Any) -> None:
        """Execute opcodes that take values off the stack."""
        if name in _TUPLES:
            self._stack.append(tuple(reversed([self._pop() for _ in range(_TUPLES[name])])))
        elif name in ("TUPLE", "LIST"):
            items = self._marked()
            self._stack.append(tuple(items) if name == "TUPLE" else items)
        elif name in ("APPEND", "APPENDS"):
            items = [self._pop()] if name == "APPEND" else self._marked()
            self._target(list).extend(items)
        elif name in ("SETITEM", "SETITEMS", "DICT"):
            items = self._marked() if name != "SETITEM" else [self._pop(), self._pop()][::-1]
            if name == "DICT":
                self._stack.append({})
            self._set_items(items)
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            self._global(argument if name == "GLOBAL" else None)
        elif name == "REDUCE":
            arguments, function = self._pop(), self._pop()
            if not isinstance(arguments, tuple) or not any(function is known for known in _KNOWN.values()):
                raise pickle.UnpicklingError("a call of something else")
            self._stack.append(self._counted(function(*arguments)))
        elif name == "BUILD":
            state, built = self._pop(), self._top()
            if not isinstance(built, _Type | _Array):
                raise pickle.UnpicklingError("a state of something else")
            built.__setstate__(state)
            if isinstance(built, _Array):
                self._counted(built.values)
        elif name in ("POP", "POP_MARK"):
            self._pop() if name == "POP" else self._marked()
        else:
            raise pickle.UnpicklingError(f"the opcode {name}")

    def _global(self, argument: Any) -> None:
        if argument is None:
            name, module = self._pop(), self._pop()
        else:
            module, _, name = str(argument).partition(" ")
        known = _KNOWN.get((module, name)) if isinstance(module, str) and isinstance(name, str) else None
        if known is None:
            raise pickle.UnpicklingError(f"{str(module)[:80]}.{str(name)[:80]}")
        self._stack.append(known)

    def _set_items(self, items: list[Any]) -> None:
        target = self._target(dict)
        if len(items) % 2:
            raise ValueError("a table in it lacks a value")
        for name, value in zip(items[::2], items[1::2], strict=True):
            key = name.decode("latin-1") if isinstance(name, bytes) else name  # bytes are texts of Python 2
            if not isinstance(key, str | int) or isinstance(key, bool):
                raise ValueError("a table in it has keys that are not text")
            target[key] = value

    def _counted(self, value: Any) -> Any:
        """The value itself; its size is counted, as it may have been copied."""
        size = getattr(value, "nbytes", None)
        self._copied += len(value) if isinstance(value, bytes) else size if isinstance(size, int) else 0
        if self._copied > MAX_COPIED:
            raise ValueError(f"it unpacks to more than {MAX_COPIED >> 20} MB")
        return value

    def _top(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise ValueError("it reads a value that is not there")
        return self._stack[-1]

    def _pop(self) -> Any:
        value = self._top()
        self._stack.pop()
        return value

    def _target(self, kind: type) -> Any:
        if not isinstance(self._top(), kind):
            raise ValueError(f"it puts values into something that is not a {kind.__name__}")
        return self._stack[-1]

    def _marked(self) -> list[Any]:
        """Values above the last mark; the mark is removed as well."""
        for at in range(len(self._stack) - 1, -1, -1):
            if self._stack[at] is _MARK:
                items = self._stack[at + 1 :]
                del self._stack[at:]
                return items
        raise ValueError("it reads a mark that is not there")


def _checked_number(value: Any) -> Any:
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise ValueError("it contains a whole number with too many digits")
    return value


def _plain(value: Any, budget: list[int], depth: int = 0) -> Any:
    """Containers and numbers with real arrays instead of stand-ins; budget is the number of values still allowed."""
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
    raise ValueError(f"it contains something that isn't a number ({type(value).__name__})")


def read_pickle(data: bytes, name: str = "the file") -> dict[str, Any]:
    """Content of a pickled dictionary of numbers and arrays.

    Args:
        data: The file's bytes.
        name: Its name, for error messages.

    Returns:
        Plain dicts, lists, numbers and numpy arrays.

    Raises:
        ValueError: It isn't one, or names anything but numpy arrays.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"{name} is larger than {MAX_BYTES >> 20} MB; a motion template is not.")
    try:
        content = _plain(_Machine().run(data), [MAX_VALUES])
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{name} was refused: a motion template contains only numpy arrays, but this pickle requests {error}. "
            "It may be malicious."
        ) from None
    except RecursionError:
        raise ValueError(f"{name} is not a readable motion template: it is nested too deeply.") from None
    except (EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, MemoryError) as error:
        text = " ".join(ascii(str(error)).strip("'\"").split())[:120].rstrip(".")
        raise ValueError(f"{name} is not a readable motion template: {text}.") from None
    if not isinstance(content, dict):
        raise ValueError(f"{name} is not a motion template: it contains no table of motion.")
    return content
