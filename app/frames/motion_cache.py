"""Driving motion on disk: a clip is read once for all portraits and processes."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from app.frames.templates import fill_track
from app.option_files import IDLE
from liveportrait.motion_check import fine_time
from liveportrait.template import SUFFIX, save_track
from liveportrait.template_reader import load_template

if TYPE_CHECKING:
    from app.events import CancelToken
    from app.options import RenderOptions
    from liveportrait.engines.base import Engine
    from liveportrait.track import MotionTrack

LIMIT: Final = 4 << 30  # bytes; the least recently used motion is removed first


def cache_folder() -> Path:
    """Folder of cached motion; $PORTRAIT_ANIMATE_CACHE overrides it."""
    chosen = os.environ.get("PORTRAIT_ANIMATE_CACHE")
    if chosen:
        return Path(chosen).expanduser() / "motion"
    from platformdirs import user_cache_path

    return user_cache_path("portrait-animate", appauthor=False) / "motion"


@lru_cache(maxsize=1)
def code_hash() -> str:
    """Hash of the code that reads motion, so that results of older versions are not used."""
    import app
    import liveportrait
    import models

    digest = hashlib.sha256(liveportrait.__version__.encode())
    for package, pattern in ((liveportrait, "**/*.py"), (models, "**/*.py"), (app, "media/*.py"), (app, "frames/*.py")):
        folder = Path(str(package.__file__)).parent
        for path in sorted(folder.glob(pattern)):
            digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def motion_key(content: str, engine: Engine, options: RenderOptions) -> str:
    """Cache key of a clip's motion: its content, the engine, and the tracked face."""
    program = {name: value for name, value in asdict(options.program).items() if name not in IDLE}
    facts = [
        code_hash(), content, engine.name, engine.family, engine.keypoints, engine.crop_size, engine.describe(),
        _weights(engine.name), options.input.driving_face, options.input.detector,
        options.animation.official, options.input.fps, [str(time) for time in options.input.driving_part], program,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _weights(name: str) -> list[Any]:
    """Size and modification time of an engine's weight files."""
    from liveportrait.engines import ENGINES
    from models.registry import ModelError
    from models.weights import find_model

    found: list[Any] = []
    for spec in ENGINES:
        models = (*spec.models, *getattr(spec, "animal_models", ()))
        for model in models if spec.name == name else ():
            with suppress(ModelError, OSError):
                found += [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in find_model(model)]
    return found


class MotionCache:
    """Motion of clips by key, as templates.

    Args:
        folder: Folder of the files; :func:`cache_folder` by default.
        limit: Maximum total size in bytes.
    """

    def __init__(self, folder: Path | None = None, limit: int = LIMIT) -> None:
        self.folder = folder or cache_folder()
        self._limit = limit

    def fill(
        self, key: str, track: MotionTrack, read: Callable[[], bool], token: CancelToken, *, wait: bool = True
    ) -> bool:
        """Fill an empty track: from the cache, or by ``read``, which returns whether the track may be cached.

        If another process is reading the same clip, wait for it. An unusable cache costs time, but the job still runs.

        Args:
            key: Key of the motion.
            track: Track to fill.
            read: Reads the clip.
            token: Ends waiting.
            wait: Whether processes wait for each other; otherwise the clip may be read twice.

        Returns:
            Whether the motion was already cached.

        Raises:
            CancelledError: The work was stopped.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            read()
            return False
        with self._lock(key, token) if wait else nullcontext():
            if self._load(key, track):
                return True
            if read() and all(time == fine_time(time) for time in track.times):
                with suppress(OSError):
                    save_track(self._path(key), track, Fraction(1))
                    self.prune()
        return False

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{SUFFIX}"

    def _load(self, key: str, track: MotionTrack) -> bool:
        path = self._path(key)
        try:
            template = load_template(path)
            os.utime(path)
        except FileNotFoundError:
            return False
        except (OSError, ValueError):
            with suppress(OSError):
                path.unlink()
            return False
        fill_track(track, template)
        return True

    @contextmanager
    def _lock(self, key: str, token: CancelToken) -> Iterator[None]:
        """Allow one process at a time in the block; the system releases the lock if a process dies."""
        with (self.folder / f".lock-{key[:2]}").open("a+b") as file:
            while not _try_lock(file.fileno()):
                token.check()
                time.sleep(0.05)
            try:
                yield
            finally:
                _unlock(file.fileno())

    def prune(self) -> None:
        """Remove the least recently used files until the rest fits, and leftovers of killed processes."""
        entries = []
        for path in self.folder.glob(f"*{SUFFIX}"):
            with suppress(OSError):
                status = path.stat()
                entries.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= self._limit:
                break
            with suppress(OSError):
                path.unlink()
                total -= size
        for path in self.folder.glob(".*.part"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > 3600:
                    path.unlink()

    def clear(self) -> int:
        """Remove all; returns the number of tracks."""
        paths = list(self.folder.glob(f"*{SUFFIX}"))
        for path in paths:
            path.unlink(missing_ok=True)
        return len(paths)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(number: int) -> bool:
        try:
            os.lseek(number, 0, os.SEEK_SET)
            msvcrt.locking(number, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(number: int) -> None:
        os.lseek(number, 0, os.SEEK_SET)
        msvcrt.locking(number, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(number: int) -> bool:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a drive without locks: the clip may be read twice
            return True
        return True

    def _unlock(number: int) -> None:
        fcntl.flock(number, fcntl.LOCK_UN)
