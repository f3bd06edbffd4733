"""Fill the gallery of drivers: recent ones, the sample clip, cameras; thumbnails are made in the background."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QObject, QPoint
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QWidget

from app.gui import qt_images
from app.gui.localize import localized
from app.gui.session import Driver, DriverKind, sample_driver
from app.gui.translate import mark, tr
from app.gui.widgets.driver import driver_kind
from app.gui.widgets.gallery import TILE, Choice, Gallery
from app.media.cameras import list_cameras

if TYPE_CHECKING:
    from app.gui.studio import Studio
    from app.media.cameras import CameraDevice

GROUPS: Final[tuple[tuple[DriverKind, str], ...]] = (
    ("file", mark("Clips")), ("template", mark("Voices and templates")), ("still", mark("Images")),
)  # fmt: skip


def known_files(recent: list[str], kinds: tuple[DriverKind, ...]) -> list[Driver]:
    """Recently used drivers that still exist, newest first, and the sample clip."""
    paths = [path for path in recent if Path(path).exists()]
    shipped = str(sample_driver())
    paths += [] if shipped in paths else [shipped]
    return [driver for path in paths if (driver := Driver(driver_kind(path), path)).kind in kinds]


def driver_picture(driver: Driver, ratio: float) -> QImage:
    """Thumbnail of a driving file.

    Raises:
        AppError: It can't be read.
    """
    size = round(TILE.width() * ratio), round(TILE.height() * ratio)
    if driver.kind == "template":
        return qt_images.motion_picture(Path(driver.source), *size)
    return qt_images.to_image(qt_images.covering(qt_images.first_frame(Path(driver.source), 2 * max(size)), *size))


class Galleries(QObject):
    """Opens galleries.

    Args:
        studio: Holds the list of recent drivers.
        browse: Asks for a file.
        parent: Owner.
    """

    def __init__(self, studio: Studio, parent: QObject) -> None:
        super().__init__(parent)
        self._studio = studio
        self._kept: dict[str, QImage] = {}
        self.gallery: Gallery | None = None
        self.snapshot: Callable[[CameraDevice], qt_images.Pixels] | None = None  # replaced in tests

    def open(
        self,
        button: QWidget,
        kinds: tuple[DriverKind, ...],
        chosen: Callable[[Driver], None],
        browse: Callable[[], None],
    ) -> Gallery:
        """Open the gallery beside a widget.

        Args:
            button: The widget.
            kinds: Kinds of drivers to show.
            chosen: Receives the choice.
            browse: Opens a file dialog instead.
        """
        gallery = Gallery(button.window())
        self.gallery = gallery
        gallery.chosen.connect(chosen)
        gallery.browse_requested.connect(browse)
        gallery.browse.setVisible(kinds != ("camera",))
        gallery.destroyed.connect(lambda: setattr(self, "gallery", None))
        recent, ratio = self._studio.recent("drivers"), button.devicePixelRatioF()
        corner = button.mapToGlobal(QPoint(button.width() + 8, -180))

        def look() -> tuple[list[Driver], list[CameraDevice]]:
            return known_files(recent, kinds), list_cameras() if "camera" in kinds else []

        def show(found: tuple[list[Driver], list[CameraDevice]]) -> None:
            if self.gallery is not gallery:
                return
            drivers, cameras = found
            for kind, title in GROUPS:
                gallery.add_group(tr(title), [Choice(d, Path(d.source).name) for d in drivers if d.kind == kind])
            gallery.add_group(tr("Cameras"), [Choice(Driver("camera", c.name), c.name) for c in cameras])
            gallery.pictures_requested.connect(lambda: self._shoot(gallery, cameras, ratio))
            gallery.open_at(corner)
            for driver in drivers:
                self._picture(gallery, driver, ratio)
            self._running_camera(gallery)

        self._studio.background.run(look, show, self._studio.failed.emit)
        return gallery

    def _picture(self, gallery: Gallery, driver: Driver, ratio: float) -> None:
        key = f"{driver.source} {ratio}"
        if key in self._kept:
            gallery.set_picture(driver, self._kept[key])
            return

        def done(image: QImage) -> None:
            self._kept[key] = image
            if self.gallery is gallery:
                gallery.set_picture(driver, image)

        def failed(error: Exception, _: str) -> None:
            if self.gallery is gallery:
                gallery.set_picture(driver, None, localized(str(error)))

        self._studio.background.run(partial(driver_picture, driver, ratio), done, failed)

    # ---- cameras --------------------------------------------------------------------------------------------------
    def _running_camera(self, gallery: Gallery) -> None:
        """Show the current frame of the driving camera, which must not be opened twice."""
        driver, shown = self._studio.session.driver, self._studio.shown
        if driver.kind == "camera" and shown is not None and shown.thumb is not None:
            gallery.set_picture(driver, shown.thumb)

    def _shoot(self, gallery: Gallery, cameras: list[CameraDevice], ratio: float) -> None:
        """Capture one frame of each camera in turn; each is closed again."""
        from app.media.camera import snapshot

        take = self.snapshot or snapshot
        busy = self._studio.session.driver
        waiting = [c for c in cameras if Driver("camera", c.name) != busy]
        size = round(TILE.width() * ratio), round(TILE.height() * ratio)

        def following() -> None:
            if not waiting or self.gallery is not gallery:
                return
            camera = waiting.pop(0)
            driver = Driver("camera", camera.name)

            def done(image: QImage) -> None:
                if self.gallery is gallery:
                    gallery.set_picture(driver, image)
                following()

            def failed(error: Exception, _: str) -> None:
                if self.gallery is gallery:
                    gallery.set_picture(driver, None, localized(str(error)))
                following()

            self._studio.background.run(
                lambda: qt_images.to_image(qt_images.covering(take(camera), *size)), done, failed
            )  # fmt: skip

        following()
