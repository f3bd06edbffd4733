"""Finds the fastest of several engines that draw the same image: times them, and remembers and explains the result."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from liveportrait.engines.memory import SpeedMemory, fingerprint, speed_key
from models.messages import msg

if TYPE_CHECKING:
    from liveportrait.engines import EngineSpec
    from liveportrait.engines.base import Engine

FRAMES: Final = 2
"""Number of frames that are timed after a first one to start the engine; the fastest counts."""


@dataclass(frozen=True)
class Settings:
    """Settings that an engine's speed depends on.

    Attributes:
        device: See load_engine.
        threads: See load_engine.
        precision: See load_engine.
        variant: Which weights: "human" or "animals".
    """

    device: str = "auto"
    threads: int = 0
    precision: str = "auto"
    variant: str = "human"


@dataclass
class SpeedOrder:
    """Engines by their measured speed.

    Attributes:
        specs: The fastest first; engines without a measurement follow in the given order.
        loaded: Engines that were loaded to be timed, by name.
        failed: Errors of engines that failed while being timed, by name.
        words: One sentence on the measurements, or an empty string.
    """

    specs: list[EngineSpec]
    loaded: dict[str, Engine] = field(default_factory=dict)
    failed: dict[str, RuntimeError] = field(default_factory=dict)
    words: str = ""


def time_engine(engine: Engine, frames: int = FRAMES, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds per frame that an engine needs for a test image: stitching, drawing and reading back.

    Args:
        engine: A LivePortrait engine after its self-test.
        frames: Frames to time.
        clock: Source of seconds.
    """
    from liveportrait.engines.runtime import sample_picture

    crop = np.repeat(np.repeat(sample_picture(), 2, axis=0), 2, axis=1)
    portrait = engine.encode(crop, None)  # type: ignore[arg-type]
    x_d = portrait.keypoints + np.float32(0.01)
    engine.render(portrait, engine.stitch(portrait, x_d))
    best = math.inf
    for _ in range(frames):
        start = clock()
        engine.render(portrait, engine.stitch(portrait, x_d))
        best = min(best, clock() - start)
    return best


def engine_key(spec: EngineSpec, settings: Settings) -> str:
    """Key of an engine's speed in the memory."""
    from models.registry import ModelError
    from models.weights import find_model

    files = []
    for model in spec.animal_models if settings.variant == "animals" else spec.models:
        try:
            files += find_model(model)
        except ModelError:
            continue
    return speed_key(
        spec.name, fingerprint(files), device=settings.device, threads=settings.threads, precision=settings.precision
    )


def remember(spec: EngineSpec, settings: Settings, engine: Engine, memory: SpeedMemory, **how: Any) -> float:
    """Time a loaded engine and store the result; seconds per frame."""
    seconds = time_engine(engine, **how)
    facts = {"engine": spec.name, "seconds": round(seconds, 5), "date": date.today().isoformat()}
    memory.put(engine_key(spec, settings), facts | {"how": engine.describe()})
    return seconds


def by_speed(
    specs: Sequence[EngineSpec],
    settings: Settings,
    load: Callable[[EngineSpec], Engine],
    memory: SpeedMemory,
    timed: Callable[[EngineSpec, Engine], float],
) -> SpeedOrder:
    """Sort engines of one family by their speed on this machine.

    Engines that start within seconds are loaded and timed if there is no measurement yet; for the others only earlier
    measurements count (`animate doctor --tune` measures all).

    Args:
        specs: Engines that could run, best guess first.
        settings: Settings to load them with.
        load: Loads one; its failures are recorded.
        memory: Earlier measurements.
        timed: Times a loaded engine and stores the result.
    """
    order = SpeedOrder(list(specs))
    seconds: dict[str, float] = {}
    for spec in specs:
        known = memory.get(engine_key(spec, settings))
        if known is not None and isinstance(known.get("seconds"), float | int):
            seconds[spec.name] = float(known["seconds"])
        elif spec.quick:
            try:
                engine = load(spec)
                seconds[spec.name] = timed(spec, engine)
            except RuntimeError as error:  # EngineUnavailableError, or one from drawing; reported later
                order.failed[spec.name] = error
                continue
            order.loaded[spec.name] = engine
    order.specs.sort(key=lambda spec: seconds.get(spec.name, math.inf))
    if len(seconds) > 1:
        shown = ", ".join(f"{name} {seconds[name] * 1e3:.0f} ms" for name in sorted(seconds, key=seconds.__getitem__))
        order.words = msg("Measured here per frame: {shown}.", shown)
    return order
