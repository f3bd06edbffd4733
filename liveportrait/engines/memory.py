"""Measurements of engines on this machine, kept in the user's cache, so that choices are timed only once.

An entry is valid only for the machine, libraries, weights and settings that it was measured with; anything else has
another key, and is measured again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any, Final

logger = logging.getLogger(__name__)

LIBRARIES: Final = (
    "torch", "onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt", "tensorrt-rtx", "onnxruntime-ep-nv-tensorrt-rtx",
)  # fmt: skip
ENDS: Final = 1 << 20
"""Bytes at both ends of a weight file that are hashed, along with its size; reading all of it takes seconds."""
KEPT: Final = 200


class SpeedMemory:
    """Measurements by key, in one small JSON file.

    An unreadable file counts as empty; if it can't be written, the measurement is repeated next time.

    Args:
        path: The file; by default next to the user's models, or below $PORTRAIT_MODELS.
    """

    def __init__(self, path: Path | None = None) -> None:
        if path is None:
            from models.weights import user_folder

            path = user_folder() / "speed.json"
        self.path = path

    def get(self, key: str) -> dict[str, Any] | None:
        """The measurement of a key, or None."""
        found = self._read().get(key)
        return found if isinstance(found, dict) else None

    def put(self, key: str, facts: Mapping[str, Any]) -> None:
        """Store a measurement; the oldest ones are dropped."""
        entries = self._read()
        entries.pop(key, None)
        entries[key] = dict(facts)
        kept = dict(list(entries.items())[-KEPT:])
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=".speed-", suffix=".json")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump(kept, file, indent=1)
                os.replace(name, self.path)
            except BaseException:
                with suppress(OSError):
                    os.unlink(name)
                raise
        except OSError as error:
            logger.info("Measured speeds can't be kept in %s (%s).", self.path, error)

    def _read(self) -> dict[str, Any]:
        try:
            entries = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return entries if isinstance(entries, dict) else {}


def machine() -> dict[str, str]:
    """Everything that speed depends on besides weights and settings: CPU, cores, graphics card, driver, libraries."""
    facts = {"processor": processor(), "cores": str(os.cpu_count()), "system": platform.system()}
    for name in LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            facts[name] = metadata.version(name)
    if "torch" in facts:
        with suppress(ImportError, OSError, RuntimeError):
            import torch

            if torch.cuda.is_available():
                facts["card"] = torch.cuda.get_device_name()
                facts["cuda"] = str(torch.version.cuda)
    return facts


def processor() -> str:
    """Name of the CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def fingerprint(files: Iterable[Path]) -> str:
    """Hash of weight files: name, size and both ends of each."""
    digest = hashlib.sha256()
    for path in files:
        with suppress(OSError), path.open("rb") as file:
            size = path.stat().st_size
            digest.update(f"{path.name}:{size}:".encode())
            digest.update(file.read(ENDS))
            if size > ENDS:
                file.seek(max(ENDS, size - ENDS))
                digest.update(file.read(ENDS))
    return digest.hexdigest()


def speed_key(name: str, weights: str, *, about: Callable[[], Mapping[str, str]] = machine, **settings: object) -> str:
    """Key of a measurement.

    Args:
        name: The measured thing, such as the name of an engine.
        weights: fingerprint of its weights.
        about: Returns facts about the machine.
        settings: Anything else it depends on (device, threads, precision).
    """
    from liveportrait import __version__

    facts = [name, weights, __version__, dict(about()), {key: str(value) for key, value in settings.items()}]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
