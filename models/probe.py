"""Opens and runs a user's ONNX file once in a separate process before this one opens it.

A file may need any amount of memory and time, and some damaged ones crash the process that opens them. The files
shipped with the program, whose hashes are known, are opened directly.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from models.messages import msg
from models.registry import ModelError
from models.sessions import create_session

if TYPE_CHECKING:
    import onnxruntime

MAX_BYTES: Final = 1 << 30
MEMORY: Final = 700 << 20
"""Memory limit in bytes, in addition to twice the file's size."""
SECONDS: Final = 20.0
SIDE: Final = 512
"""Side of the images for networks whose inputs have no fixed size."""
WORDS: Final = {
    "Failed to allocate memory": "it needs more memory than networks of its kind should",
    "bad_alloc": "it needs more memory than networks of its kind should",
    "External data path": "its weights are in a file that is missing or outside its folder",
    "Protobuf parsing failed": "it is damaged",
}
"""Part of ONNX Runtime's message -> its meaning."""
_CHILD: Final = Path(__file__).with_name("probe_child.py")


def open_model(path: Path, threads: int = 1) -> onnxruntime.InferenceSession:
    """Open an ONNX file: a shipped one directly, any other after a probe.

    Raises:
        ModelError: It can't be opened, or needs more memory or time than expected of a network of this kind.
    """
    from models.weights import bundled_folder

    if not path.resolve().is_relative_to(bundled_folder().resolve()):
        probe(path)
    return create_session(path, threads)


def probe(path: Path) -> dict[str, Any]:
    """Open and run a file in a separate process.

    Returns:
        "inputs" and "outputs" as lists of name, type and shape, and "shapes" of the outputs for a black image.

    Raises:
        ModelError: It failed; the text says why.
    """
    _check_file(path)
    memory = MEMORY + 2 * path.stat().st_size
    here = Path.cwd()  # may contain untrusted modules
    places = [place for place in sys.path if place and Path(place).resolve() != here]
    command = [sys.executable, "-I", str(_CHILD), str(path.resolve()), str(SIDE), str(memory), *places]
    calm = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    try:
        done = subprocess.run(  # noqa: S603 - our own script
            command, check=False, capture_output=True, stdin=subprocess.DEVNULL, timeout=SECONDS,
            env=os.environ | calm, creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ModelError(f"{path} can't be used: it takes more than {SECONDS:g} s to open and run once.") from None
    except OSError as error:
        raise ModelError(f"{path} can't be tested in a separate process: {error.strerror}.") from error
    answer = _answer(done.stdout)
    if answer is None:
        raise ModelError(f"{path} can't be opened as an ONNX model (it crashes the process that opens it).")
    if fault := answer.get("fault"):
        raise ModelError(f"{path} can't be used as an ONNX model ({_plain(str(fault))}).")
    return answer


def _check_file(path: Path) -> None:
    from models.forms import form_fault

    try:
        if path.exists() and not path.is_file():
            raise ModelError(f"{path} is not a regular file.")
        size = path.stat().st_size
        fault = f"is larger than {MAX_BYTES >> 20} MB" if size > MAX_BYTES else form_fault(path)
    except OSError as error:
        raise ModelError(msg("{path} can't be read: {reason}.", path, error.strerror)) from error
    if fault:
        raise ModelError(f"{path} can't be opened as an ONNX model: it {fault}.")


def _answer(output: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(output.decode().splitlines()[-1])
    except (ValueError, IndexError):
        return None
    return answer if isinstance(answer, dict) else None


def _plain(text: str) -> str:
    """ONNX Runtime's message in plain words if known, else as one line without its codes."""
    for part, words in WORDS.items():
        if part in text:
            return words
    text = text.rpartition(" : ")[2] if text.startswith("[ONNXRuntimeError]") else text
    text = re.sub(r"Status Message: |/onnxruntime_src/\S+ ?|\S*onnxruntime::\S* ?", "", text)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:160].rstrip(".")
