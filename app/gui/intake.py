"""Files and images that come into the window: dropped, pasted, chosen; what can't be read is refused, not kept."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QMimeData, QObject, QStandardPaths
from PySide6.QtGui import QImage

from app.addresses import address_error, is_address
from app.errors import AppError, UsageError
from app.gui import store
from app.gui.dialogs.folder import FolderDialog
from app.gui.projects import SUFFIX as PROJECT
from app.gui.session import Driver
from app.gui.translate import tr
from app.gui.widgets.driver import CLIPS, SOUNDS, STILLS, TEMPLATES, TRACKS, driver_kind
from models.messages import msg

if TYPE_CHECKING:
    from app.gui.prompts import Prompts
    from app.gui.window import MainWindow

VIDEO_ENDINGS: Final = tuple(ending.lstrip("*") for ending in CLIPS.split() if ending != "*.gif")
KNOWN: Final = frozenset(
    ending.lstrip("*") for endings in (CLIPS, STILLS, SOUNDS, TEMPLATES, TRACKS) for ending in endings.split()
)
"""File name extensions that are taken without a look into the file."""


def members(folder: Path) -> tuple[list[str], bool]:
    """Images and clips of a folder by name, and whether its images can be one numbered sequence.

    Raises:
        OSError: It can't be listed.
    """
    from app.media.images import SUFFIXES

    names = sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=lambda path: path.name)
    images = [path for path in names if path.suffix.lower() in SUFFIXES and path.is_file()]
    clips = [path for path in names if path.suffix.lower() in VIDEO_ENDINGS and path.is_file()]
    numbered = len(images) > 1 and all(any(c.isdigit() for c in path.stem) for path in images)
    return [str(path) for path in sorted({*images, *clips}, key=lambda path: path.name)], numbered


def look(files: list[str]) -> tuple[dict[str, str], list[str]]:
    """Read the heads of files with unknown extensions.

    Returns:
        Kind ("video", "image", ...) of those that can be read, and those that can't.
    """
    from app.media.reader import open_clip

    kinds: dict[str, str] = {}
    refused: list[str] = []
    for file in files:
        try:
            with open_clip(file) as clip:
                kinds[file] = clip.info.kind
        except AppError:
            refused.append(file)
    return kinds, refused


class Intake(QObject):
    """Takes files and images.

    Args:
        window: The window.
        prompts: Opens its dialogs.
    """

    def __init__(self, window: MainWindow, prompts: Prompts) -> None:
        super().__init__(window)
        self._window, self._studio, self._prompts = window, window.studio, prompts

    def take_mime(self, data: QMimeData, target: str) -> None:
        """Use dropped or pasted data; target is "driver", "portrait" or empty to decide by the file's type."""
        files = [url.toLocalFile() for url in data.urls() if url.isLocalFile()]
        if files:
            self.take_files(files, target)
        elif data.hasImage():
            image = QImage(data.imageData())
            stamp = datetime.now(timezone.utc).astimezone().strftime("%Y-%m-%d %H.%M.%S")
            folder = Path(QStandardPaths.writableLocation(QStandardPaths.StandardLocation.AppLocalDataLocation))
            path = store.free_name(folder / "pasted", stamp, ".png")

            def keep() -> str:
                path.parent.mkdir(parents=True, exist_ok=True)
                if not image.save(str(path)):
                    raise UsageError(msg("{path} can't be written.", path))
                return str(path)

            self._studio.background.run(keep, lambda name: self.take_files([name], target), self._studio.failed.emit)
        elif web := next((name for name in (url.toString() for url in data.urls()) if is_address(name)), ""):
            self._studio.failed.emit(address_error(web), "")
        else:
            self._window.toast.say(tr("There is no image in the clipboard."), "info")

    def take_files(self, files: list[str], target: str) -> None:
        """Use files as portraits or drivers; folders are asked about, and unknown files looked into first."""
        folders = [file for file in files if Path(file).is_dir()]
        rest = [file for file in files if file not in folders]
        if target == "driver":
            rest, folders = files, []  # images of a folder are a clip there
        strange = [file for file in rest if Path(file).suffix.lower() not in KNOWN and not Path(file).is_dir()]
        projects = [file for file in strange if Path(file).suffix.lower() == PROJECT]
        strange = [file for file in strange if file not in projects]
        for file in projects[:1]:
            self._window.commands.projects.open(Path(file))
        self._take([file for file in rest if file not in (*strange, *projects)], target, {})
        if strange:
            self._studio.background.run(
                partial(look, strange), lambda found: self._looked(found, target), self._studio.failed.emit
            )
        for folder in folders:
            self._studio.background.run(
                partial(members, Path(folder)), partial(self._ask, folder), self._studio.failed.emit
            )

    def _looked(self, found: tuple[dict[str, str], list[str]], target: str) -> None:
        kinds, refused = found
        self._take(list(kinds), target, kinds)
        if refused:
            names = ", ".join(Path(file).name for file in refused)
            sentence = tr("{names} can't be used: it is no image, clip, sound or template.", names=names)
            self._window.toast.say(sentence, "warning")

    def _ask(self, folder: str, found: tuple[list[str], bool]) -> None:
        """Ask whether the files of a folder are portraits or one sequence."""
        files, numbered = found
        if not files:
            name = Path(folder).name
            self._window.toast.say(tr("The folder {name} holds no images and no clips.", name=name), "warning")
            return
        dialog = FolderDialog(Path(folder).name, len(files), numbered, self._window)

        def accepted() -> None:
            self._studio.add_portraits([folder] if dialog.answer == "sequence" else files)

        dialog.accepted.connect(accepted)
        self._prompts.open(dialog)

    def _take(self, files: list[str], target: str, kinds: dict[str, str]) -> None:
        expressions = [f for f in files if f.lower().endswith(".json") and target != "driver"]
        presets = [f for f in files if f.lower().endswith(".toml") and target != "driver"]
        self._import(expressions, store.import_expression, tr("The expression was imported."))
        self._import(presets, store.import_preset, tr("The preset was imported."))
        rest = [f for f in files if f not in expressions and f not in presets]

        def drives(file: str) -> bool:
            if driver_kind(file) == "template" and file not in kinds:
                return True
            moves = file.lower().endswith(VIDEO_ENDINGS) or kinds.get(file) == "video"
            return target == "driver" if target else moves

        drivers = [f for f in rest if drives(f)]
        self._studio.add_portraits([f for f in rest if f not in drivers])
        for more in reversed(drivers[1:]):
            self._studio.remember("drivers", more)
        if drivers:
            kind = "still" if kinds.get(drivers[0]) == "image" else driver_kind(drivers[0])
            self._studio.set_driver(Driver(kind, drivers[0]))
        if len(drivers) > 1:
            text = tr("{name} is the driver; the others were added to the recent drivers.", name=Path(drivers[0]).name)
            self._window.toast.say(text)

    def _import(self, files: list[str], work: Callable[[Path], Path], done: str) -> None:
        for file in files:
            self._studio.store(partial(work, Path(file)), done)
