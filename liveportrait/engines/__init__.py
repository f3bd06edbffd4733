"""Lists the engines, checks which of them can run on this machine, and loads one.

Heavy modules are only imported when an engine is loaded.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from liveportrait.engines.choice import Settings, SpeedOrder, by_speed, remember
from liveportrait.engines.memory import SpeedMemory
from models.messages import joined, msg

if TYPE_CHECKING:
    from liveportrait.engines.base import Engine


class EngineUnavailableError(RuntimeError):
    """An existing engine can't run on this machine in its current state.

    Args:
        name: Engine name; empty if no engine can.
        reason: The cause, as a sentence without the name.
    """

    def __init__(self, name: str, reason: str) -> None:
        alone = joined((msg("No engine can run here."), reason))
        super().__init__(msg("The {name} engine can't run here: {reason}", name, reason) if name else alone)
        self.name = name
        self.reason = reason


@dataclass(frozen=True)
class EngineSpec:
    """One selectable engine.

    Attributes:
        name: Name for ``--engine``.
        factory: "module:callable".
        keywords: Those of device, threads, max_crop, precision and variant that the factory accepts.
        summary: Short description for `animate doctor`.
        devices: Supported devices, best first.
        rank: "auto" takes the usable engine with the highest rank.
        requires: Modules that must be importable.
        check: "module:callable" that returns why this machine can't run it, whatever is installed; empty if it can.
        models: Models (models.registry) whose files must be installed.
        animal_models: The same for animals; empty if it supports human faces only.
        accelerator: Module whose graphics support makes "auto" choose this engine; without it, the user must select it.
        quick: Starts within seconds, so that "auto" may load it to time it; others are timed by
            `animate doctor --tune`.
    """

    name: str
    factory: str
    summary: str
    keywords: tuple[str, ...] = ("device", "threads")
    devices: tuple[str, ...] = ("cpu",)
    rank: int = 0
    requires: tuple[str, ...] = ()
    check: str = ""
    models: tuple[str, ...] = ()
    animal_models: tuple[str, ...] = ()
    accelerator: str = ""
    quick: bool = False

    def missing(self, variant: str = "human") -> str:
        """Why the engine can't run here with the weights of a variant, or an empty string if it can."""
        if variant == "animals" and not self.animal_models:
            return msg("it supports human faces only.")
        if self.check:
            module, _, attribute = self.check.partition(":")
            if reason := getattr(importlib.import_module(module), attribute)():
                return str(reason)
        absent = [name for name in self.requires if importlib.util.find_spec(name) is None]
        if absent:
            return msg("the package {absent} is not installed.", absent[0])
        module = self.factory.partition(":")[0]
        if importlib.util.find_spec(module) is None:
            return msg("the module {module} is not part of this installation.", module)
        return self._missing_models(self.animal_models if variant == "animals" else self.models)

    @staticmethod
    def _missing_models(names: tuple[str, ...]) -> str:
        from models.registry import ModelError
        from models.weights import find_model

        try:
            for name in names:
                find_model(name)
        except ModelError:
            return msg("its weights (model {name}) are not installed.", name)
        return ""

    def unfit(self) -> str:
        """Why "auto" should not choose an engine that could run, or an empty string."""
        if self.accelerator != "torch":
            return ""
        import torch

        fast = torch.cuda.is_available() or torch.backends.mps.is_available()
        return "" if fast else msg("it is slow without a graphics card, so it is used only on request.")

    def load(self, device: str, threads: int, max_crop: int, precision: str = "auto", variant: str = "human") -> Engine:
        """Create the engine and run its self-test."""
        given: dict[str, object] = {
            "device": device, "threads": threads, "max_crop": max_crop, "precision": precision, "variant": variant,
        }  # fmt: skip
        unset = {"max_crop": 0, "precision": "auto", "variant": "human"}
        chosen = {name: given[name] for name in self.keywords if given[name] != unset.get(name)}
        module, _, attribute = self.factory.partition(":")
        make = getattr(importlib.import_module(module), attribute)
        engine: Engine = make(**chosen)
        engine.warm_up()
        return engine


NO_WEIGHTS: Final = "are not installed."
HOW_TO_GET: Final = "`animate models download {model}` or `animate models import FOLDER` gets them."

ENGINES: Final[tuple[EngineSpec, ...]] = (
    EngineSpec(
        name="mesh",
        factory="liveportrait.engines.mesh.engine:MeshEngine",
        keywords=("max_crop",),
        summary="embedded engine of 478 face-mesh keypoints; needs no download and no GPU",
        rank=10,
        requires=("numpy", "cv2"),
    ),
    EngineSpec(
        name="torch",
        factory="liveportrait.engines.torch:load_engine",
        summary="LivePortrait's networks of 21 learned keypoints on PyTorch; needs their official weights",
        keywords=("device", "threads", "precision", "variant"),
        devices=("auto", "cpu", "cuda", "mps"),
        rank=20,
        requires=("torch",),
        models=("liveportrait/human",),
        animal_models=("liveportrait/animals",),
        accelerator="torch",
        quick=True,
    ),
    EngineSpec(
        name="torch-fast",
        factory="liveportrait.engines.torch_fast:load_engine",
        summary="the same networks rewritten for speed, in the fastest number format that passes a self-test",
        keywords=("device", "threads", "precision", "variant"),
        devices=("auto", "cpu", "cuda", "mps"),
        rank=15,
        requires=("torch",),
        models=("liveportrait/human",),
        animal_models=("liveportrait/animals",),
        accelerator="torch",
        quick=True,
    ),
    EngineSpec(
        name="onnx",
        factory="liveportrait.engines.onnx:load_engine",
        summary="the same networks with the two big ones on ONNX Runtime; only on request",
        keywords=("device", "threads", "precision", "variant"),
        devices=("auto", "cpu", "cuda"),
        rank=5,
        requires=("torch", "onnxruntime", "onnx", "onnxscript"),
        models=("liveportrait/human",),
        animal_models=("liveportrait/animals",),
    ),
    EngineSpec(
        name="openvino",
        factory="liveportrait.engines.onnx:load_openvino",
        summary="the same networks with the two big ones on OpenVINO; only on request",
        keywords=("device", "threads", "precision", "variant"),
        devices=("auto", "cpu", "gpu"),
        rank=4,
        requires=("torch", "openvino", "onnx", "onnxscript"),
        models=("liveportrait/human",),
        animal_models=("liveportrait/animals",),
    ),
    EngineSpec(
        name="tensorrt",
        factory="liveportrait.engines.tensorrt:load_engine",
        summary="the same networks compiled for an NVIDIA card by TensorRT-RTX or TensorRT; only on request",
        keywords=("device", "threads", "precision", "variant"),
        devices=("auto", "cuda"),
        rank=3,
        requires=("torch", "onnx", "onnxscript"),
        check="liveportrait.engines.tensorrt_library:unavailable",
        models=("liveportrait/human",),
        animal_models=("liveportrait/animals",),
    ),
)


def engine_names(specs: Sequence[EngineSpec] | None = None) -> tuple[str, ...]:
    """Names that :func:`load_engine` accepts, besides "auto"."""
    return tuple(spec.name for spec in (ENGINES if specs is None else specs))


def load_engine(
    name: str = "auto",
    device: str = "auto",
    *,
    threads: int = 0,
    max_crop: int = 0,
    precision: str = "auto",
    animals: bool = False,
    say: Callable[[str], None] | None = None,
    brief: bool = False,
    warn: Callable[[str], None] | None = None,
    step: Callable[[str], None] | None = None,
    specs: Sequence[EngineSpec] | None = None,
    memory: SpeedMemory | None = None,
) -> Engine:
    """Get an engine that works on this machine.

    Several engines draw the same image with the same weights; of those, "auto" takes the one measured to be the
    fastest here (liveportrait.engines.choice). If there are no measurements yet, they are timed now.

    Args:
        name: Engine name, or "auto" for the best one that is installed and passes its self-test.
        device: "auto" or a device that the engine supports ("cpu", "cuda", ...).
        threads: Number of CPU threads, 0 for the engine's own choice.
        max_crop: Largest side of the animated crop in pixels, 0 for the engine's own; for engines that can choose.
        precision: "auto", "fp32", "fp16" or "bf16", for engines that can choose.
        animals: Use the weights for animals.
        say: Called with a sentence on which engine runs and why.
        brief: Leave out what better engines lack: most users need to read that only once.
        step: Called before something that may take seconds, with text such as "Loading the torch engine".
        warn: Called with one sentence for each better engine that "auto" had to skip because it failed.
        specs: Engines to choose from; all built-in ones by default.
        memory: Speeds measured before; those in the user's cache by default.

    Raises:
        ValueError: No engine of that name, or it doesn't know the device.
        EngineUnavailableError: The engine can't run here.
    """
    known = ENGINES if specs is None else tuple(specs)
    say, warn, step = say or _ignore, warn or _ignore, step or _ignore
    variant = "animals" if animals else "human"
    how = threads, max_crop, precision, variant
    memory = memory or SpeedMemory()
    if name != "auto":
        spec = next((s for s in known if s.name == name), None)
        if spec is None:
            near = get_close_matches(name, engine_names(known), 1)
            guess = msg("Did you mean {near}?", near[0]) if near else ""
            known_names = ", ".join(engine_names(known))
            sentence = msg("There is no engine named {name!r}; known are auto, {names}.", name, known_names)
            raise ValueError(joined((sentence, guess)))
        step(f"Loading the {spec.name} engine")
        engine = _load(spec, _pick_device(spec, device), *how)
        say(f"Engine {spec.name} was requested.")
        return engine
    passed_over: dict[str, list[str]] = {}  # reason -> engines
    usable: list[EngineSpec] = []
    for spec in sorted(known, key=lambda s: -s.rank):
        reason = spec.missing(variant)
        if not reason and device != "auto" and device.partition(":")[0] not in spec.devices:
            reason = f"it doesn't run on {device}."
        if not reason and device == "auto" and not animals:
            reason = spec.unfit()
        if reason:
            passed_over.setdefault(reason, []).append(spec.name)
        else:
            usable.append(spec)

    def load(spec: EngineSpec) -> Engine:
        step(f"Loading the {spec.name} engine")
        return _load(spec, _pick_device(spec, device), *how)

    order = _by_speed(usable, Settings(device, threads, precision, variant), load, memory, step)
    for spec in order.specs:
        try:
            if (failure := order.failed.get(spec.name)) is not None:
                if isinstance(failure, EngineUnavailableError):
                    raise failure
                raise EngineUnavailableError(spec.name, str(failure)) from failure
            engine = order.loaded[spec.name] if spec.name in order.loaded else load(spec)
        except EngineUnavailableError as error:
            passed_over.setdefault(error.reason, []).append(spec.name)
            warn(msg("{error}. Trying the next best engine.", str(error).rstrip(".")))
            continue
        hint = msg(HOW_TO_GET, f"liveportrait/{variant}") if any(NO_WEIGHTS in reason for reason in passed_over) else ""
        used = msg("Using engine {engine}, the best one available here.", spec.name), order.words
        more = (
            [msg("`animate doctor` shows what the others need.")]
            if passed_over and brief
            else [*_skip_reasons(passed_over), hint]
        )
        say(joined((*used, *more)))
        return engine
    raise EngineUnavailableError("", joined(_skip_reasons(passed_over)))


def _skip_reasons(passed_over: dict[str, list[str]]) -> list[str]:
    """One sentence for each reason."""
    return [
        msg("Skipped {names}: {reason}.", ", ".join(names), reason.rstrip(".")) for reason, names in passed_over.items()
    ]


def _by_speed(
    usable: list[EngineSpec],
    settings: Settings,
    load: Callable[[EngineSpec], Engine],
    memory: SpeedMemory,
    step: Callable[[str], None],
) -> SpeedOrder:
    """Engines in the order in which "auto" tries them: by rank, but engines with the same networks by their speed."""
    if not usable or not usable[0].models:
        return SpeedOrder(usable)
    same = [spec for spec in usable if spec.models == usable[0].models]
    if len(same) < 2:
        return SpeedOrder(usable)

    def timed(spec: EngineSpec, engine: Engine) -> float:
        step(f"Timing the {spec.name} engine")
        return remember(spec, settings, engine, memory)

    order = by_speed(same, settings, load, memory, timed)
    order.specs += [spec for spec in usable if spec not in same]
    return order


def _ignore(_: str) -> None:
    """Discard a message; the default callback."""


def _pick_device(spec: EngineSpec, device: str) -> str:
    if device == "auto":
        return spec.devices[0]
    if device.partition(":")[0] not in spec.devices:
        known = ", ".join(dict.fromkeys(["auto", *spec.devices]))
        raise ValueError(
            msg("The {spec} engine doesn't run on {device!r}; it supports {known}.", spec.name, device, known)
        )
    return device


def _load(spec: EngineSpec, device: str, threads: int, max_crop: int, precision: str, variant: str) -> Engine:
    reason = spec.missing(variant)
    if reason:
        raise EngineUnavailableError(
            spec.name, joined((reason, msg(HOW_TO_GET, f"liveportrait/{variant}"))) if NO_WEIGHTS in reason else reason
        )
    if max_crop and "max_crop" not in spec.keywords:
        raise ValueError(msg("The {spec} engine has a crop of fixed size; leave max_crop at 0.", spec.name))
    try:
        return spec.load(device, threads, max_crop, precision, variant)
    except (ImportError, OSError, RuntimeError, FloatingPointError, ValueError) as error:
        if isinstance(error, EngineUnavailableError):
            raise
        raise EngineUnavailableError(spec.name, str(error)) from error
