"""Distributions that overwrite each other, missing or broken packages, and the commands that repair them."""

from __future__ import annotations

import importlib
import re
import sys
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Final

from app.errors import AppError, MissingError, model_fault
from models.installation import pip_command, requirements
from models.messages import msg


@dataclass(frozen=True)
class Rivals:
    """Distributions that install the same module; only one of them may be installed.

    Attributes:
        module: Name of the module.
        title: Its name in messages.
        names: The distributions, the one of the base installation first.
        probe: Attribute that a working module has.
        harm: Consequences if several are installed.
    """

    module: str
    title: str
    names: tuple[str, ...]
    probe: str
    harm: str

    def installed(self) -> list[str]:
        """The installed ones."""
        return [name for name in self.names if version(name)]

    def keep(self) -> str:
        """The one to keep: a headless OpenCV, or the ONNX Runtime that was added to the base installation's."""
        there = self.installed()
        if self.module == "cv2":
            contrib = any("contrib" in name for name in there)
            return "opencv-contrib-python-headless" if contrib else "opencv-python-headless"
        return next((name for name in there if name != self.names[0]), self.names[0])

    def repair(self) -> str:
        """A command line after which exactly one of them is installed and intact."""
        there = self.installed()
        install = f"{pip_command()} {bounded(self.keep())}"
        return f"{pip_command('uninstall')} {' '.join(there)} && {install}" if there else install


OPENCV: Final = Rivals(
    "cv2", "OpenCV",
    ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python"),
    "cvtColor", "the window may not open, and taking one away breaks the other",
)  # fmt: skip
ONNXRUNTIME: Final = Rivals(
    "onnxruntime", "ONNX Runtime",
    ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino"),
    "InferenceSession", "the one installed last runs, perhaps without the card, and taking one away breaks the other",
)  # fmt: skip
RIVALS: Final = (OPENCV, ONNXRUNTIME)
# module -> distribution of the base installation, if the names differ
DISTRIBUTIONS: Final = {"cv2": "opencv-python-headless", "PIL": "pillow", "huggingface_hub": "huggingface-hub"}
BASE_MODULES: Final = (
    "PIL", "av", "click", "cv2", "huggingface_hub", "imageio", "numpy", "onnxruntime", "platformdirs", "pydantic",
    "rich", "tomli",
)  # fmt: skip
QT: Final = "PySide6-Essentials"


def version(name: str) -> str | None:
    """Version of a distribution, or None if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def clashes() -> list[str]:
    """One sentence for each module installed by several distributions, with the command that repairs it."""
    found = []
    for rivals in RIVALS:
        there = rivals.installed()
        if len(there) > 1:
            found.append(f"{' and '.join(there)} are both installed: {rivals.harm}. Keep one: {rivals.repair()}")
    return found


def broken(rivals: Rivals) -> str:
    """Why a shared module can't be used, or empty; uninstalling one distribution leaves a folder without files."""
    try:
        module: Any = importlib.import_module(rivals.module)
    except (ImportError, OSError) as error:
        return str(error)
    if not hasattr(module, rivals.probe):
        return f"files of {rivals.module} are missing"
    return ""


def explain(error: BaseException) -> AppError | None:
    """Explain a failed import, or return None if it is not about a package of the base installation.

    Args:
        error: Any exception, including an AttributeError from a module whose files are missing.
    """
    if isinstance(error, AttributeError):
        module = str(getattr(error.obj, "__name__", "")) if hasattr(error, "obj") else ""
    elif isinstance(error, ImportError):
        module = error.name or ""
    else:
        return None
    top = module.partition(".")[0]
    for rivals in RIVALS:
        if top == rivals.module and (why := broken(rivals)):
            return MissingError(
                msg("{title} can't be used ({why}).", rivals.title, why),
                msg("Install it again: {rivals}", rivals.repair()),
            )
    if top == "PySide6":
        return MissingError(
            "The window needs PySide6, which is not installed.", msg("Install it: {qt_install}", qt_install())
        )
    if top in BASE_MODULES and isinstance(error, ImportError):
        name = DISTRIBUTIONS.get(top, top)
        there = version(name)
        damaged = msg("{name} {version} does not fit or is damaged ({error}).", name, there, error)
        return MissingError(
            damaged if there else msg("{name} is not installed.", name),
            msg("Install it again: {pip_command} --force-reinstall {name}", pip_command(), bounded(name)),
        )
    return None


def qt_install() -> str:
    """The command that installs the window's packages."""
    return f"{pip_command()} {bounded(QT)}"


def bounded(name: str) -> str:
    """A distribution with its required versions, quoted for a shell."""
    for text in requirements():
        requirement, _, marker = text.partition(";")
        found = re.match(r"[A-Za-z0-9._-]+", requirement.strip())
        if found is None or found.group(0).lower().replace("_", "-") != name.lower():
            continue
        limit = re.search(r"python_version (<|>=) '3\.(\d+)'", marker.replace('"', "'"))
        if limit is not None and (limit.group(1) == "<") != (sys.version_info < (3, int(limit.group(2)))):
            continue  # PySide6 has one line for each range of Python versions
        return f'"{name}{requirement.strip()[found.end() :]}"'
    return name


def fault(error: BaseException, hint: str = "") -> AppError:
    """Convert any error to an AppError.

    Args:
        error: Any exception.
        hint: What to do about an unexpected error.
    """
    if isinstance(error, AppError):
        return error
    if (known := model_fault(error) or explain(error)) is not None:
        return known
    text = msg("{name}: {error}", type(error).__name__, error) if str(error) else type(error).__name__
    return AppError(msg("Internal error ({text}).", text), hint)
