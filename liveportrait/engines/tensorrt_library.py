"""Finds the installed TensorRT and the cards that it compiles for, and compiles networks with it.

Two libraries have the same interface: TensorRT-RTX, for graphics cards from the RTX 30 series on, compiles without a
card and leaves the last step to the first start; TensorRT, for all others and for data centres, compiles on the card.
Both take the types from the file ("strongly typed"). TensorRT-RTX 1.7 and TensorRT 11.2.1 support W's 5-D GridSample;
older versions don't, which is noticed when the file is parsed.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from liveportrait.engines.cuda_card import Card, NoCardError, card_index, find_card
from models.installation import install_hint
from models.registry import ModelError

RTX, FULL = "tensorrt-rtx", "tensorrt"
MODULES: Final = {RTX: "tensorrt_rtx", FULL: "tensorrt"}
"""Library -> module."""
OLDEST: Final = {RTX: (1, 0), FULL: (11, 0)}
RTX_CARDS: Final = ((8, 0), (8, 6), (8, 9), (12, 0), (12, 1))
"""Compute capabilities that TensorRT-RTX compiles for; on 7.5 it has no float32 matrix products."""
PORTABLE: Final = "portable"
"""Target of TensorRT-RTX that runs on every supported card."""
TARGETS: Final = (PORTABLE, *(f"sm{major}{minor}" for major, minor in RTX_CARDS))
FLAGS: Final = ("no-tf32",)
"""Build flags, as part of an engine's key: float32 products keep full precision."""

NEEDS_CARD: Final = "TensorRT compiles only on the card itself; without a card, choose tensorrt-rtx."

Progress = Callable[[str, int, int], None]
"""Called with the name of a phase, the step and the number of steps."""


class UnknownOperatorError(RuntimeError):
    """The library can't read a file, because it doesn't support one of its operators."""


@dataclass(frozen=True)
class Library:
    """A TensorRT that can be imported.

    Attributes:
        name: RTX or FULL.
        version: Its version.
        module: Its Python module.
    """

    name: str
    version: str
    module: Any


def unavailable(device: str = "auto", find: Callable[[int], Card] = find_card) -> str:
    """Why the tensorrt engine can't run here, as a sentence, or an empty string."""
    try:
        find_library(find(card_index(device)))
    except NoCardError as error:
        return f"it needs an NVIDIA graphics card, and {error}."
    except ModelError as error:
        return f"{error}"
    return ""


def find_library(card: Card | None, name: str = "auto", load: Callable[[str], Any] | None = None) -> Library:
    """The TensorRT that fits a card.

    Args:
        card: The card; None if there is none, so that only TensorRT-RTX can compile.
        name: "auto", or a specific library.
        load: Imports a module; raises ImportError if it isn't installed.

    Raises:
        ModelError: No suitable library is installed.
        ValueError: There is no library of that name.
    """
    load = load or importlib.import_module
    if name not in ("auto", *MODULES):
        raise ValueError(f"There is no library '{name}'; choose {' or '.join(MODULES)}.")
    fitting = list(MODULES) if card is None or card.capability in RTX_CARDS else [FULL]
    names = fitting if name == "auto" else [name]
    if card is None:
        names = [n for n in names if n == RTX]
        if not names:
            raise ModelError(NEEDS_CARD)
    elif name == RTX and RTX not in fitting:
        raise ModelError(f"TensorRT-RTX doesn't support cards such as {card.name} ({card.sm}); choose tensorrt.")
    reasons = []
    for candidate in names:
        try:
            module = load(MODULES[candidate])
        except (ImportError, OSError) as error:
            absent = isinstance(error, ModuleNotFoundError) and error.name == MODULES[candidate]
            reasons.append(f"{candidate} is not installed" if absent else f"{candidate} can't be loaded ({error})")
            continue
        version = str(module.__version__)
        if _numbers(version) >= OLDEST[candidate]:
            return Library(candidate, version, module)
        reasons.append(f"{candidate} {version} is too old")
    raise ModelError(f"{' and '.join(reasons)}. {install_hint(names[0])}")


def targets_of(library: Library, card: Card | None) -> tuple[str, ...]:
    """Targets whose engines fit a card, best first; missing ones are compiled for the last. Part of the engine's key.

    Raises:
        ModelError: The library compiles only on the card, and there is none.
    """
    if library.name == RTX:
        return (PORTABLE,) if card is None else (card.sm, PORTABLE)
    if card is None:
        raise ModelError(NEEDS_CARD)
    return (f"{card.name} {card.sm}",)


def compile_file(trt: Any, path: Path, *, target: str, flags: tuple[str, ...], progress: Progress) -> Any:
    """Compile an ONNX file.

    Args:
        trt: Module of the library.
        path: The file.
        target: One of TARGETS, or the name of the installed card.
        flags: See FLAGS.
        progress: Called with the progress.

    Returns:
        The engine, as a buffer of bytes.

    Raises:
        UnknownOperatorError: The library doesn't support an operator.
        RuntimeError: It can't be compiled.
    """
    log = _make_log(trt)
    builder = trt.Builder(log)
    kinds = trt.NetworkDefinitionCreationFlag
    typed = getattr(kinds, "STRONGLY_TYPED", None)  # the only kind from TensorRT 11 on
    network = builder.create_network(0 if typed is None else 1 << int(typed))
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(path)):
        reasons = [str(parser.get_error(index)) for index in range(parser.num_errors)] or log.errors or ["unknown"]
        raise UnknownOperatorError(f"{path.name} can't be read: {' '.join(reasons[0].split())}")
    config = builder.create_builder_config()
    if "no-tf32" in flags:
        config.clear_flag(trt.BuilderFlag.TF32)
    if target in TARGETS and target != PORTABLE:
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, target.upper()), 0)
    monitor = _make_monitor(trt, progress)  # kept in a variable, because the library holds no reference
    config.progress_monitor = monitor
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise RuntimeError(f"{path.name} can't be compiled: {' '.join((log.errors or ['no reason given'])[0].split())}")
    return engine


def _make_log(trt: Any) -> Any:
    """A logger that records errors and prints nothing."""

    class Log(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            """Record an error."""
            if int(severity) <= int(trt.ILogger.Severity.ERROR):
                self.errors.append(message)

    return Log()


def _make_monitor(trt: Any, progress: Progress) -> Any:
    """A progress monitor that calls a function; a build is stopped by ending its process."""

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.sizes: dict[str, int] = {}

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            """Handle the begin of a phase."""
            self.sizes[name] = steps

        def step_complete(self, name: str, step: int) -> bool:
            """Handle a finished step; returns whether to go on."""
            progress(name, step + 1, self.sizes.get(name, 0))
            return True

        def phase_finish(self, name: str) -> None:
            """Handle the end of a phase."""

    return Monitor()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
