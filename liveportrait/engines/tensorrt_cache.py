"""Compiled networks on disk, identified by a key of everything that they were built from; damaged ones are rebuilt.

A file is a header line (JSON: the key, size and SHA-256 of the engine, its date and build time), followed by the
engine.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, BinaryIO, Final

from models.files import drop_abandoned, unfinished

MAGIC: Final = b"portrait-engine 1 "
SUFFIX: Final = ".engine"
RUNTIME_SUFFIX: Final = ".kernels"
"""Extension of the kernels that TensorRT-RTX compiles for the card at the first start, stored next to the engine."""
LONGEST_HEAD: Final = 1 << 14


@dataclass(frozen=True)
class EngineKey:
    """Everything that an engine is built from; a different value means a different engine.

    Attributes:
        network: "appearance", "motion", "warping" or "generator".
        precision: Type of its convolutions: "fp32" or "fp16".
        source: Name of the ONNX file without its content: network, form and weights.
        onnx: Hash of the ONNX file's content (liveportrait.networks.fast.kept).
        library: "tensorrt-rtx" or "tensorrt".
        version: Its version.
        target: Card and compute capability, or the kind of cards that it runs on.
        flags: Build flags.
    """

    network: str
    precision: str
    source: str
    onnx: str
    library: str
    version: str
    target: str
    flags: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """First 16 digits of the SHA-256 of all entries."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    @property
    def file_name(self) -> str:
        """Name of its file."""
        target = re.sub(r"[^a-z0-9]+", "_", self.target.lower()).strip("_")
        return f"{self.network}-{self.precision}-{self.library}-{target}-{self.digest}{SUFFIX}"

    def replaces(self, other: EngineKey) -> str:
        """Why another engine for the same use is out of date; an empty string if it is for another use."""
        if (self.source, self.library, self.target) != (other.source, other.library, other.target):
            return ""
        if self.version != other.version:
            return f"was compiled by {other.library} {other.version}"
        if self.onnx != other.onnx:
            return "was compiled from another export of the network"
        return "was compiled with other settings" if self.flags != other.flags else ""


@dataclass(frozen=True)
class CachedEngine:
    """One file of the cache.

    Attributes:
        path: The file.
        key: Its key; None if that can't be read.
        size: Bytes of the file.
        made: Date, such as 2026-11-25.
        seconds: Build time.
        fault: Its fault, or an empty string.
    """

    path: Path
    key: EngineKey | None
    size: int
    made: str = ""
    seconds: float = 0.0
    fault: str = ""


def write_engine(stream: BinaryIO, key: EngineKey, engine: Any, seconds: float) -> None:
    """Write a file.

    Args:
        stream: Destination.
        key: Key of the engine.
        engine: Its bytes.
        seconds: Build time.
    """
    data = memoryview(engine)
    head = {
        "key": asdict(key), "size": data.nbytes, "sha256": hashlib.sha256(data).hexdigest(),
        "made": date.today().isoformat(), "seconds": round(seconds, 2),
    }  # fmt: skip
    stream.write(MAGIC + json.dumps(head).encode() + b"\n")
    stream.write(data)


def key_from(facts: Mapping[str, Any]) -> EngineKey:
    """A key from its JSON form.

    Raises:
        TypeError: Entries are missing or unknown.
    """
    return EngineKey(**{**facts, "flags": tuple(facts["flags"])})


class EngineCache:
    """Compiled networks in a folder.

    Args:
        folder: The folder; by default next to the user's models, or below $PORTRAIT_MODELS.
    """

    def __init__(self, folder: Path | None = None) -> None:
        if folder is None:
            from models.weights import user_folder

            folder = user_folder() / "engines"
        self.folder = folder

    def path_of(self, key: EngineKey) -> Path:
        """Path of an engine, whether it exists or not."""
        return self.folder / key.file_name

    def read(self, key: EngineKey) -> memoryview | str:
        """The engine, or why there is none: a phrase such as "is damaged", empty if it does not exist."""
        path = self.path_of(key)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return next((why for _, why in self._outdated(key)), "")
        except OSError as error:
            return f"can't be read ({error.strerror or error})"
        line = data.find(b"\n", 0, LONGEST_HEAD)
        head = _head(data[: line + 1])
        engine = memoryview(data)[line + 1 :]
        if head is None or head[0] != key or head[1].get("sha256") != hashlib.sha256(engine).hexdigest():
            return "is damaged"
        return engine

    def entries(self, *, thorough: bool = False) -> list[CachedEngine]:
        """All files.

        Args:
            thorough: Read and check the whole content, not only the size.
        """
        found = []
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            with suppress(OSError):
                found.append(_look(path, thorough))
        return found

    def adopt(self, key: EngineKey, part: Path) -> Path:
        """Move a finished file into the cache; files that it replaces are removed.

        Raises:
            OSError: It can't be moved.
        """
        target = self.path_of(key)
        try:
            part.replace(target)
        except PermissionError:  # on Windows, while another process reads the same, just built engine
            if isinstance(self.read(key), str):
                raise
        for path, _ in self._outdated(key):
            self.remove(path)
        return target

    @contextmanager
    def new_part(self) -> Iterator[Path]:
        """Path for a file to be written in the folder, which is created; a leftover file is removed afterwards.

        Raises:
            OSError: The folder can't be created.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        drop_abandoned(self.folder)
        with unfinished(self.folder) as part:
            yield part

    def remove(self, path: Path) -> int:
        """Remove a file and its companions; returns the freed bytes."""
        freed = 0
        beside = [each for each in self.folder.glob(f"*{RUNTIME_SUFFIX}") if each.name.startswith(f"{path.stem}.")]
        for each in (path, *beside):
            with suppress(OSError):
                size = each.stat().st_size
                each.unlink()
                freed += size
        return freed

    def _outdated(self, key: EngineKey) -> list[tuple[Path, str]]:
        """Outdated files for the same use, and why."""
        pairs = [(entry.path, key.replaces(entry.key)) for entry in self.entries() if entry.key is not None]
        return [(path, why) for path, why in pairs if why]


def _look(path: Path, thorough: bool) -> CachedEngine:
    """Description of a file; its content is read only if ``thorough``."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        line = stream.readline(LONGEST_HEAD)
        head = _head(line)
        if head is None:
            return CachedEngine(path, None, size, fault="damaged")
        key, facts = head
        fault = "" if path.name == key.file_name and size == len(line) + int(facts["size"]) else "damaged"
        if thorough and not fault:
            digest = hashlib.sha256()
            while block := stream.read(1 << 20):
                digest.update(block)
            fault = "" if digest.hexdigest() == facts.get("sha256") else "damaged"
    return CachedEngine(path, key, size, str(facts.get("made", "")), float(facts.get("seconds", 0.0)), fault)


def _head(line: bytes) -> tuple[EngineKey, dict[str, Any]] | None:
    """Key and facts of a header line, or None if it isn't one."""
    try:
        if not line.startswith(MAGIC):
            return None
        facts = json.loads(line[len(MAGIC) :])
        int(facts["size"]), float(facts.get("seconds", 0.0))
        return key_from(facts["key"]), facts
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
