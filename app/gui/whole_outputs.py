"""Commands that need no dialog for each file: render all portraits, copy the image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog

from app.gui import qt_images
from app.gui.translate import tr

if TYPE_CHECKING:
    from app.gui.window import MainWindow


def copy_picture(window: MainWindow) -> None:
    """Copy what the preview shows to the clipboard, at full size."""
    shown = window.studio.visible
    if shown is not None:
        QGuiApplication.clipboard().setImage(qt_images.to_image(shown.frame.picture).copy())
        window.toast.say(tr("The image was copied."))


def render_all(window: MainWindow) -> None:
    """Ask for a folder and queue a render of every portrait with the current settings, under free names."""
    session, commands = window.studio.session, window.commands
    name = QFileDialog.getExistingDirectory(window, tr("Render all portraits"), commands.prompts.folder("output"))
    if not name:
        return
    window.studio.settings.setValue("folders/output", name)
    taken: set[Path] = set()
    for index in range(len(session.portraits)):
        own = session.with_current(index)
        path = commands.default_output(own, taken)
        taken.add(path)
        if not commands.queue_render(path, overwrite=False, session=own):
            return  # the user was told why
