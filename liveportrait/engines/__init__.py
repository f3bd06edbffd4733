"""Which engines exist, which of them can run here, and how to get one.

Nothing heavy is imported until an engine is asked for.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from liveportrait.engines.base import Engine


class EngineUnavailableError(RuntimeError):
    """An engine that exists can't run on this machine as it is.

    Args:
        name: Engine name.
        reason: What is missing, as a sentence without the name.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"The {name} engine can't run here: {reason}")
        self.name = name
        self.reason = reason


@dataclass(frozen=True)
class EngineSpec:
    """One engine that can be asked for.

    Attributes:
        name: Name for ``--engine``.
        factory: "module:callable".
        keywords: Those of device, threads and crop_size that it takes.
        summary: What it is, for `animate doctor`.
        devices: Devices it knows, best first.
        rank: "auto" takes the usable engine with the highest rank.
        requires: Modules that must be importable.
    """

    name: str
    factory: str
    summary: str
    keywords: tuple[str, ...] = ("device", "threads")
    devices: tuple[str, ...] = ("cpu",)
    rank: int = 0
    requires: tuple[str, ...] = ()

    def missing(self) -> str:
        """Why the engine can't run here, or an empty string if it can."""
        absent = [name for name in self.requires if importlib.util.find_spec(name) is None]
        if absent:
            return f"the package{'s' if len(absent) > 1 else ''} {', '.join(absent)} not installed."
        module = self.factory.partition(":")[0]
        if importlib.util.find_spec(module) is None:
            return f"the module {module} is not part of this installation."
        return ""

    def load(self, device: str, threads: int, crop_size: int) -> Engine:
        """Make the engine and run its self-test."""
        given = {"device": device, "threads": threads, "crop_size": crop_size}
        chosen = {name: given[name] for name in self.keywords if name != "crop_size" or crop_size}
        module, _, attribute = self.factory.partition(":")
        make = getattr(importlib.import_module(module), attribute)
        engine: Engine = make(**chosen)
        engine.warm_up()
        return engine


ENGINES: Final[tuple[EngineSpec, ...]] = (
    EngineSpec(
        name="mesh",
        factory="liveportrait.engines.mesh.engine:MeshEngine",
        keywords=("crop_size",),
        summary="embedded engine of 478 face-mesh keypoints; needs no download and no GPU",
        rank=10,
        requires=("numpy", "cv2"),
    ),
)


def engine_names(specs: Sequence[EngineSpec] | None = None) -> tuple[str, ...]:
    """Names that :func:`load_engine` takes, besides "auto"."""
    return tuple(spec.name for spec in (ENGINES if specs is None else specs))


def load_engine(
    name: str = "auto",
    device: str = "auto",
    *,
    threads: int = 0,
    crop_size: int = 0,
    say: Callable[[str], None] | None = None,
    warn: Callable[[str], None] | None = None,
    specs: Sequence[EngineSpec] | None = None,
) -> Engine:
    """Get an engine that works on this machine.

    Args:
        name: Engine name, or "auto" for the best one that is installed and passes its self-test.
        device: "auto" or a device that the engine knows ("cpu", "cuda", ...).
        threads: Number of CPU threads, 0 for the engine's own choice.
        crop_size: Side of the animated square in pixels, 0 for the engine's own; only for engines that can choose.
        say: Called with one sentence: which engine runs and why.
        warn: Called with one sentence for each better engine that "auto" had to pass over because it failed.
        specs: Engines to choose from; all built-in ones by default.

    Raises:
        ValueError: No engine of that name, or it doesn't know the device.
        EngineUnavailableError: The engine can't run here.
    """
    known = ENGINES if specs is None else tuple(specs)
    say, warn = say or _ignore, warn or _ignore
    if name != "auto":
        spec = next((s for s in known if s.name == name), None)
        if spec is None:
            near = get_close_matches(name, engine_names(known), 1)
            guess = f" Did you mean {near[0]}?" if near else ""
            raise ValueError(
                f"There is no engine named {name!r}; known are auto, {', '.join(engine_names(known))}.{guess}"
            )
        engine = _load(spec, _pick_device(spec, device), threads, crop_size)
        say(f"Engine {spec.name} was asked for.")
        return engine
    passed_over: list[str] = []
    for spec in sorted(known, key=lambda s: -s.rank):
        reason = spec.missing()
        if not reason and device != "auto" and device.partition(":")[0] not in spec.devices:
            reason = f"it doesn't run on {device}."
        if reason:
            passed_over.append(f"{spec.name}: {reason}")
            continue
        try:
            engine = _load(spec, _pick_device(spec, device), threads, crop_size)
        except EngineUnavailableError as error:
            passed_over.append(f"{spec.name}: {error.reason}")
            warn(f"{error} The next best engine is tried.")
            continue
        why = "; ".join(passed_over) or "it is the best one installed."
        say(f"Engine {spec.name} is used: {why}")
        return engine
    raise EngineUnavailableError("auto", "; ".join(passed_over) or "none is installed.")


def _ignore(_: str) -> None:
    """Take a message that nobody asked for."""


def _pick_device(spec: EngineSpec, device: str) -> str:
    if device == "auto":
        return spec.devices[0]
    if device.partition(":")[0] not in spec.devices:
        raise ValueError(
            f"The {spec.name} engine doesn't run on {device!r}; it knows {', '.join(('auto', *spec.devices))}."
        )
    return device


def _load(spec: EngineSpec, device: str, threads: int, crop_size: int) -> Engine:
    reason = spec.missing()
    if reason:
        raise EngineUnavailableError(spec.name, reason)
    if crop_size and "crop_size" not in spec.keywords:
        raise ValueError(f"The {spec.name} engine has a crop of fixed size; leave the crop size to it.")
    try:
        return spec.load(device, threads, crop_size)
    except (ImportError, OSError, RuntimeError, FloatingPointError, ValueError) as error:
        if isinstance(error, EngineUnavailableError):
            raise
        raise EngineUnavailableError(spec.name, f"{error}") from error
