"""Checks of the installation: what is installed, what can run, and what is wrong."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from app import display, environment
from app.errors import AppError
from models.installation import install_hint, pip_command
from models.messages import joined, msg

Status = Literal["ok", "warning", "missing", "info"]

BASE: Final = (
    "numpy", "av", "imageio", "pillow", "click", "rich", "pydantic",
    "platformdirs", "huggingface-hub",
)  # fmt: skip
EXTRAS: Final = {
    "torch": "torch", "safetensors": "torch", "onnxruntime-gpu": "gpu", "tensorrt-rtx": "tensorrt-rtx",
    "tensorrt": "tensorrt", "openvino": "openvino",
    "insightface": "insightface", "pyvirtualcam": "vcam", "sounddevice": "mic", "mido": "midi", "ray": "cluster",
}  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        section: Heading.
        name: What was checked.
        status: ok, info, warning (works, but needs attention) or missing (an optional part is not installed).
        value: What was found.
        hint: What to do, may be empty.
    """

    section: str
    name: str
    status: Status
    value: str
    hint: str = ""

    def to_json(self) -> dict[str, str]:
        """The finding as a JSON object."""
        return asdict(self)


def examine(tune: bool = False, step: Callable[[str], None] = lambda _: None) -> list[Finding]:
    """Run all checks. A check that fails does not stop the others; the failure becomes a finding.

    Args:
        tune: Time every engine, let those compile that can, and remember the results for "auto"; takes minutes.
        step: Called with the name of each step, such as "Loading the torch engine".
    """
    import models  # noqa: F401 - disables ONNX Runtime's telemetry before it is imported

    findings: list[Finding] = []
    for section, look in CHECKS:
        step(f"Checking {section if section[:2].isupper() else section.lower()}")
        try:
            findings += list(_engines(tune, step) if look is _engines else look())
        except Exception as error:  # noqa: BLE001 - broken packages are what the doctor looks for
            findings.append(Finding(section, "check", "warning", f"failed: {type(error).__name__}: {error}"))
    return findings


def _program() -> Iterator[Finding]:
    from liveportrait import __version__

    yield Finding("Program", "version", "ok", __version__)
    yield Finding("Program", "Python", "ok", f"{platform.python_version()} ({platform.python_implementation()})")
    yield Finding("Program", "system", "ok", msg("{platform}, {os} CPU cores", platform.platform(), os.cpu_count()))

    own = Path(sysconfig.get_path("scripts"))
    if other := display.other_animate(own):
        yield Finding(
            "Program", "command", "warning", msg("in a shell, animate starts another program: {other}", other),
            msg("This program's own is {own}; portrait-animate starts it too.", own / 'animate'),
        )  # fmt: skip


def _window() -> Iterator[Finding]:
    """The display and the system libraries, which only Qt needs."""
    if not sys.platform.startswith("linux"):
        return
    only = "Only the window needs it."
    if not display.needs_display():
        yield Finding(
            "Window", "display", "info", msg("none needed: QT_QPA_PLATFORM={environ}", os.environ["QT_QPA_PLATFORM"])
        )
    elif display.has_display():
        named = ", ".join(f"{name}={os.environ[name]}" for name in display.DISPLAYS if os.environ.get(name))
        yield Finding("Window", "display", "ok", named)
    else:
        yield Finding("Window", "display", "missing", "none", only)
    missing = display.missing_libraries()
    yield Finding(
        "Window", msg("Qt libraries"), "missing" if missing else "ok",
        msg("can't be loaded: {names}", ', '.join(missing)) if missing else msg("all present"),
        msg("{missing}. Only the window needs them.", display.packages_command(missing)) if missing else "",
    )  # fmt: skip


def _packages() -> Iterator[Finding]:
    for name in BASE:
        version = _version(name)
        missing = f"{pip_command()} {environment.bounded(name)}"
        yield Finding(
            "Packages",
            name,
            "ok" if version else "warning",
            version or msg("not installed"),
            "" if version else missing,
        )
    for rivals in environment.RIVALS:
        yield _one_of(rivals)
    qt = _version(environment.QT)
    hint = "" if qt else f"Only the window needs it: {environment.qt_install()}"
    yield Finding("Packages", environment.QT, "ok" if qt else "missing", qt or msg("not installed"), hint)
    if _version("opencv-python") or _version("opencv-contrib-python"):
        yield Finding(
            "Packages", msg("OpenCV variant"), "info", msg("this wheel brings its own copy of Qt"),
            msg("If the window doesn't start, use opencv-python-headless instead."),
        )  # fmt: skip
    for name, extra in EXTRAS.items():
        version = _version(name)
        hint = "" if version else install_hint(extra)
        yield Finding(
            msg("Optional packages"), name, "ok" if version else "missing", version or msg("not installed"), hint
        )


def _one_of(rivals: environment.Rivals) -> Finding:
    """Packages that install the same module: exactly one of them should be installed."""
    there = [f"{name} {_version(name)}" for name in rivals.installed()]
    why = environment.broken(rivals)
    if not there:
        return Finding("Packages", rivals.title, "warning", msg("not installed"), rivals.repair())
    if len(there) > 1:
        value = f"{' and '.join(there)} are both installed and overwrite each other" + (f"; {why}" if why else "")
        return Finding("Packages", rivals.title, "warning", value, msg("Keep one: {rivals}", rivals.repair()))
    if why:
        return Finding(
            "Packages",
            rivals.title,
            "warning",
            msg("{there} can't be used: {why}", there[0], why),
            msg("Install it again: {rivals}", rivals.repair()),
        )
    return Finding("Packages", rivals.title, "ok", there[0])


def _engines(tune: bool = False, step: Callable[[str], None] = lambda _: None) -> Iterator[Finding]:
    from liveportrait.engines import ENGINES, EngineUnavailableError, load_engine
    from liveportrait.engines.choice import Settings, engine_key, remember
    from liveportrait.engines.memory import SpeedMemory

    memory, settings = SpeedMemory(), Settings()
    for spec in ENGINES:
        try:
            engine = load_engine(spec.name, step=step)
            if tune and spec.models:
                step(f"Timing the {spec.name} engine")
                engine.tune()
                remember(spec, settings, engine, memory)
        except EngineUnavailableError as error:
            yield Finding("Engines", spec.name, "missing", error.reason, spec.summary)
        else:
            facts = ", ".join(f"{key} {value}" for key, value in engine.describe().items() if key != "engine")
            known = memory.get(engine_key(spec, settings)) if spec.models else None
            facts += f", {known['seconds'] * 1e3:.0f} ms per frame on {known['date']}" if known else ""
            yield Finding("Engines", spec.name, "ok", msg("self-test passed; {facts}", facts), spec.summary)
    reasons: list[str] = []
    with suppress(EngineUnavailableError):
        load_engine(say=reasons.append, step=step)
        yield Finding("Engines", "auto", "info", joined(reasons))


def _providers() -> Iterator[Finding]:
    import onnxruntime

    yield Finding(msg("ONNX Runtime"), "providers", "ok", ", ".join(onnxruntime.get_available_providers()))


def _encoders() -> Iterator[Finding]:
    from app.media import encode

    size = 256, 256
    for codec, name in encode.SOFTWARE.items():
        pix_fmt, options = encode._options(name, 80, False)
        fine = encode.works(name, size, pix_fmt, tuple(options.items()))
        yield Finding(
            "Encoders", codec, "ok" if fine else "warning", name if fine else msg("{name} does not work here", name)
        )
    found = []
    for codec in ("h264", "hevc", "av1"):
        encoder = encode.find_encoder(codec, size, 80, "auto", False)
        found += [encoder.name] if encoder.is_hardware else []
    text = ", ".join(found) or "none works here"
    yield Finding(
        "Encoders", msg("on graphics cards"), "ok" if found else "missing", text, "" if found else msg("not needed")
    )


def _models() -> Iterator[Finding]:
    from models.registry import get_model, list_models
    from models.weights import verify

    for name in list_models():
        statuses = verify(name)
        faults = [s for s in statuses if not s.ok]
        missing = [s for s in faults if s.state == "missing"]
        if not faults:
            yield Finding("Models", name, "ok", f"verified; {get_model(name).licence}")
        elif len(missing) == len(faults):
            yield Finding("Models", name, "missing", msg("not here"), missing[0].message)
        else:
            yield Finding("Models", name, "warning", next(s.message for s in faults if s.state != "missing"))


def _marks() -> Iterator[Finding]:
    """How results are signed."""
    from app.provenance import credentials, keys

    if package := credentials.missing():
        yield Finding(
            "Marks", "credentials", "missing", msg("the package {package} is not installed", package),
            msg("Results carry metadata and a watermark, but no signed credentials: {command}",
                f"{pip_command()} {package}"),
        )  # fmt: skip
        return
    own = keys.own_folder() / keys.SIGNER
    yield Finding(
        "Marks", "credentials", "ok",
        msg("a key of this installation: {own}", own) if own.is_file() else msg("a key is created with the first "
                                                                                "result"),
        msg("Others see it as an unknown signer; set your own with {option:signing_cert} and {option:signing_key}."),
    )  # fmt: skip


def _folders() -> Iterator[Finding]:
    from app.frames.motion_cache import cache_folder
    from app.jobs.store import default_path
    from app.presets import config_folder, user_file
    from models.weights import user_folder

    own = user_file()
    yield Finding(
        "Folders",
        "settings",
        "info",
        f"{config_folder()}",
        "" if own.is_file() else msg("{own} not created yet", own.name),
    )
    yield from _settings(own)
    yield Finding("Folders", "models", "info", str(user_folder()))
    yield Finding("Folders", "queue", "info", str(default_path()))
    yield Finding(
        "Folders", "motion", "info", str(cache_folder()), msg("motion of driving clips, cached by animate batch")
    )
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free / 1e9
    low = free < 1
    yield Finding(
        "Folders", "temporary", "warning" if low else "ok", msg("{folder}, {free:.1f} GB free", folder, free),
        msg("Long clips need room there; set TMPDIR to another folder.") if low else "",
    )  # fmt: skip


def _settings(own: Path) -> Iterator[Finding]:
    """Errors in files of the settings folder; any of these prevents commands from starting."""
    from app.presets import list_presets, read_settings

    mend = "Mend the file or remove it."
    try:
        if own.is_file():
            read_settings(own, preset=False)
    except AppError as error:
        yield Finding("Folders", "settings", "warning", error.message, error.hint or mend)
    for fault in list_presets()[1]:
        yield Finding("Folders", "settings", "warning", fault, mend)


def _version(name: str) -> str | None:
    return environment.version(name)


CHECKS: Final[tuple[tuple[str, Callable[[], Iterator[Finding]]], ...]] = (
    ("Program", _program),
    ("Packages", _packages),
    ("Window", _window),
    ("Engines", _engines),
    ("ONNX Runtime", _providers),
    ("Encoders", _encoders),
    ("Models", _models),
    ("Marks", _marks),
    ("Folders", _folders),
)


def summary(findings: list[Finding]) -> dict[str, Any]:
    """The report as one JSON object: findings, and whether any engine can run."""
    engines = [f for f in findings if f.section == "Engines" and f.status == "ok"]
    return {"ready": bool(engines), "findings": [f.to_json() for f in findings]}
