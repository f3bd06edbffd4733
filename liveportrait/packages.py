"""Makes sure that our packages are imported, even if folders and environments contain others of the same name.

The names app, models and assets are common. Imports of them must find our packages, in this process (:func:`check`) and
in every process that it starts (:func:`python_command`).
"""

from __future__ import annotations

import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
"""Folder of the packages: the checkout, or site-packages."""
NAMES: Final = ("app", "liveportrait", "models", "assets")


class ForeignPackageError(ImportError):
    """Another package has the name of one of ours and takes precedence."""

    foreign = True


def check(names: Iterable[str] = NAMES) -> None:
    """Make sure that packages of these names are ours, without importing them.

    Raises:
        ForeignPackageError: One is not; the text names it and says what to do.
    """
    if getattr(sys, "frozen", False):  # a built app contains no other packages
        return
    for name in names:
        found = _place(name)
        if found is not None and os.path.realpath(found) != os.path.realpath(ROOT / name):  # a link to ours is fine
            raise ForeignPackageError(_conflict(name, found), name=name)


def _place(name: str) -> Path | None:
    """Folder or file from which a top-level name is, or would be, imported; None if there is none."""
    module = sys.modules.get(name)
    try:
        spec = getattr(module, "__spec__", None) or importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(os.path.abspath(next(iter(spec.submodule_search_locations))))
    return Path(os.path.abspath(spec.origin)) if spec.origin else None


def _conflict(name: str, found: Path) -> str:
    what = f"Python finds another package named {name}, {found}, before the one of this program, {ROOT / name}."
    owners = [owner for owner in other_owners([name]) if owner]
    if owners and found.parent != Path(os.getcwd()):
        return (
            f"{what} It belongs to {owners[0]}: install portrait-animate into an environment of its own, or "
            f"uninstall {owners[0]}."
        )
    if found.parent == Path(os.getcwd()):
        return f"{what} Run from another folder, or rename {found.name}."
    return f"{what} Rename {found.name}, or remove its folder from PYTHONPATH and sys.path."


def other_owners(names: Iterable[str] = NAMES) -> list[str]:
    """Names of other installed distributions with top-level packages of these names; reads all metadata."""
    from importlib import metadata

    owned = metadata.packages_distributions()
    wanted = {owner for name in names for owner in owned.get(name, ())}
    return sorted(owner for owner in wanted if owner.replace("_", "-").lower() != "portrait-animate")


def safe_path() -> list[str]:
    """sys.path without the current folder, unless our packages or the installed ones are in it.

    The current folder is on it as an empty entry (``python -c``), as the first one (``python -m``, a script that lies
    there), or by an empty entry of PYTHONPATH.
    """
    try:
        here = os.path.realpath(os.getcwd())
    except OSError:  # it has been removed
        here = ""
    installed = {os.path.realpath(sysconfig.get_path(kind)) for kind in ("purelib", "platlib", "stdlib")}
    kept = {os.path.realpath(ROOT), *installed}
    holes = os.environ.get("PYTHONPATH") is not None and "" in os.environ["PYTHONPATH"].split(os.pathsep)
    paths = []
    for number, entry in enumerate(sys.path):
        current = not entry or ((number == 0 or holes) and os.path.realpath(entry) == here)
        if not current:
            paths.append(os.path.abspath(entry))
        elif here in kept:
            paths.append(here)
    if os.path.realpath(ROOT) not in {os.path.realpath(path) for path in paths}:
        paths.insert(0, str(ROOT))
    return list(dict.fromkeys(paths))


def make_path_safe() -> None:
    """Remove the current folder from sys.path, see safe_path."""
    sys.path[:] = safe_path()


def python_command(module: str, *arguments: str) -> list[str]:
    """Command that runs a module of ours in a new process as ``python -m`` does, but never imports from the current
    folder: imports resolve as in this process. A built app starts itself.

    Args:
        module: Name of the module.
        arguments: Arguments for the module.
    """  # noqa: D205
    if getattr(sys, "frozen", False):
        return [sys.executable, "-m", module, *arguments]
    wished = [os.path.abspath(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    paths = list(dict.fromkeys([*(path for path in wished if path not in sys.path), *safe_path()]))
    # python -c also has the current folder on its path, so only sys may be imported before the path is replaced
    code = (
        f"import sys; sys.path[:] = {paths!a}; import runpy; "
        f"runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    )
    flags = ["-P"] if sys.version_info >= (3, 11) else []
    return [sys.executable, *flags, "-c", code, *arguments]


def python_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Environment for python_command: PYTHONPATH without the empty entries, which mean the current folder.

    Args:
        environment: Environment to start from; that of this process by default.
    """
    values = dict(os.environ if environment is None else environment)
    entries = [entry for entry in values.pop("PYTHONPATH", "").split(os.pathsep) if entry]
    return values | ({"PYTHONPATH": os.pathsep.join(entries)} if entries else {})
