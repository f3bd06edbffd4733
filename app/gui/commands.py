"""Handlers of the window's commands: file dialogs, saving, rendering. The studio does the rest."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QMimeData, QObject, QStandardPaths
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog, QMenu, QWidget

from app.errors import AppError
from app.gui import qt_images, store
from app.gui.dialogs.about import AboutDialog
from app.gui.dialogs.address import AddressDialog
from app.gui.dialogs.crop import CropDialog
from app.gui.dialogs.engine import EngineDialog
from app.gui.dialogs.log import LogDialog
from app.gui.dialogs.messages import show_error
from app.gui.dialogs.shortcuts import ShortcutsDialog
from app.gui.dialogs.weights import WeightsDialog
from app.gui.galleries import Galleries
from app.gui.intake import VIDEO_ENDINGS, Intake
from app.gui.jobs import make_entry
from app.gui.live_outputs import recording_suffix
from app.gui.localize import localized, menu_text, tooltip_text
from app.gui.project_commands import ProjectCommands
from app.gui.prompts import Prompts
from app.gui.saved_commands import SavedCommands
from app.gui.session import LIVE_ONLY, Driver, DriverKind, Session, View, panel_live_options
from app.gui.studio import Studio
from app.gui.telling import SOUND as END_SOUND
from app.gui.translate import tr
from app.gui.widgets.driver import CLIPS, SOUNDS, STILLS, TEMPLATES, TRACKS, is_sound
from app.gui.widgets.portrait_list import SIDE
from app.media.cameras import list_cameras
from app.options import find_option
from app.render.job import stem_of
from liveportrait.expression import SLIDERS, Expression

if TYPE_CHECKING:
    from app.gui.window import MainWindow

FILTERS = {"file": f"{CLIPS} {SOUNDS}", "still": STILLS, "template": f"{SOUNDS} {TEMPLATES} {TRACKS}"}
RECORDINGS = (".mp4", ".m4v", ".mkv", ".mov", ".webm")
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
RESULTS = (*RECORDINGS, ".gif", *PICTURES)


def _live_at_rest(session: Session) -> Session:
    """The session with the panel's live options at their defaults."""
    kept = {name: value for name, value in session.live.items() if name not in panel_live_options()}
    return replace(session, live=kept)


class Commands(QObject):
    """Handlers of the commands.

    Args:
        window: The window.
        studio: What they act on.
    """

    saved: SavedCommands
    projects: ProjectCommands

    def __init__(self, window: MainWindow, studio: Studio) -> None:
        super().__init__(window)
        self.window, self.studio = window, studio
        self.prompts = Prompts(studio)
        self.intake = Intake(window, self.prompts)
        self.projects = ProjectCommands(window, self.prompts)
        self.saved = SavedCommands(window, studio, self.prompts)
        self.outputs = studio.outputs
        self.galleries = Galleries(studio, self)

    def prepare(self) -> None:
        """Load the contents of the menus."""
        self.saved.list_saved()
        if self.studio.session.driver.kind == "camera":
            self.list_cameras()

    # ---- menus ----------------------------------------------------------------------------------------------------
    def show_recent(self, kind: str, button: QWidget) -> None:
        """Show the menu of recent files."""
        menu = QMenu(button)
        menu.setToolTipsVisible(True)
        for path in self.studio.recent(kind):
            call = partial(self.take_files, [path], "driver" if kind == "drivers" else "portrait")
            menu.addAction(menu_text(Path(path).name), call).setToolTip(tooltip_text(path))
        if menu.isEmpty():
            menu.addAction(tr("Nothing yet")).setEnabled(False)
        self.prompts.popup(menu, button)

    # ---- portraits ------------------------------------------------------------------------------------------------
    def browse_portraits(self) -> None:
        """Ask for portrait files."""
        pattern = f"{tr('Images and clips')} ({STILLS} {CLIPS});;{tr('All files')} (*)"
        names, _ = QFileDialog.getOpenFileNames(
            self.window, tr("Add portraits"), self.prompts.folder("portraits"), pattern
        )
        self.take_files(names, "portrait")

    def choose_portrait(self, index: int) -> None:
        """Show another portrait."""
        session = self.studio.session.with_current(index)
        self.studio.apply(session, tr("choose a portrait"), "portrait")

    def remove_portrait(self, index: int) -> None:
        """Remove a portrait."""
        self.studio.apply(self.studio.session.without_portrait(index), tr("remove a portrait"))

    def make_thumbnail(self, path: str) -> None:
        """Make the thumbnail of a portrait in the background."""
        side = round(SIDE * self.window.devicePixelRatioF())
        portraits = self.window.side.portraits
        self.studio.background.run(
            lambda: qt_images.thumbnail(Path(path), side),
            lambda image: portraits.set_thumbnail(path, image),
            lambda error, _: portraits.set_status(path, "failed", localized(str(error))),
        )

    def edit_crop_of(self, index: int) -> None:
        """Open the crop editor."""
        session = self.studio.session
        if not 0 <= index < len(session.portraits):
            return
        options = session.options()
        dialog = CropDialog(
            session.portraits[index], options.animation, self.studio.background, self.window, options.input.finder
        )

        def accepted() -> None:
            portraits = list(self.studio.session.portraits)
            paths = [item.path for item in portraits]
            if dialog.item.path in paths:
                portraits[paths.index(dialog.item.path)] = dialog.item
                self.studio.apply(replace(self.studio.session, portraits=tuple(portraits)), tr("change the crop"))

        dialog.accepted.connect(accepted)
        dialog.list.driver_requested.connect(partial(self.show_face_gallery, dialog))
        self.prompts.open(dialog)

    def show_face_gallery(self, dialog: CropDialog, number: int, button: QWidget) -> None:
        """Show the drivers for one face of a portrait."""

        def take(path: str) -> None:
            if path:
                self.studio.remember("drivers", path)
                dialog.list.set_driver(number, path)

        def browse() -> None:
            pattern = f"{tr('All drivers')} ({CLIPS} {SOUNDS} {STILLS} {TEMPLATES});;{tr('All files')} (*)"
            file, _ = QFileDialog.getOpenFileName(
                dialog, tr("Choose a driver"), self.prompts.folder("drivers"), pattern
            )
            take(file)

        self.galleries.open(button, ("file", "template", "still"), lambda driver: take(driver.source), browse)

    def paste(self) -> None:
        """Paste files or an image from the clipboard."""
        self.take_mime(QGuiApplication.clipboard().mimeData(), "")

    def take_mime(self, data: QMimeData, target: str) -> None:
        """See Intake.take_mime."""
        self.intake.take_mime(data, target)

    def take_files(self, files: list[str], target: str) -> None:
        """See Intake.take_files."""
        self.intake.take_files(files, target)

    # ---- driver ---------------------------------------------------------------------------------------------------
    def browse_driver(self, kind: DriverKind) -> None:
        """Ask for the driver's file."""
        titles = {
            "file": tr("Choose a clip or a sound"), "still": tr("Choose an image"),
            "template": tr("Choose a voice or template"),
        }  # fmt: skip
        kinds = {"file": tr("Clips and sounds"), "still": tr("Images"), "template": tr("Voices and templates")}
        pattern = f"{kinds[kind]} ({FILTERS[kind]});;{tr('All files')} (*)"
        name, _ = QFileDialog.getOpenFileName(self.window, titles[kind], self.prompts.folder("drivers"), pattern)
        if name:
            self.studio.set_driver(Driver("template" if kind == "file" and is_sound(name) else kind, name))

    def show_gallery(self, button: QWidget) -> None:
        """Show drivers as thumbnails: recently used ones, the sample clip, cameras."""
        kind = self.studio.session.driver.kind
        kinds: tuple[DriverKind, ...] = ("camera",) if kind in LIVE_ONLY else ("file", "template", "still", "camera")
        self.galleries.open(button, kinds, self.studio.set_driver, lambda: self.browse_driver("file"))

    def show_part_gallery(self, name: str, button: QWidget) -> None:
        """Show the drivers for one part of the face."""
        self.galleries.open(
            button, ("file", "template"), lambda driver: self.set_part(name, driver.source),
            lambda: self.browse_part(name),
        )  # fmt: skip

    def browse_part(self, name: str) -> None:
        """Ask for the file that drives a part of the face."""
        pattern = f"{tr('Clips and motion templates')} ({CLIPS} {TEMPLATES});;{tr('All files')} (*)"
        file, _ = QFileDialog.getOpenFileName(self.window, tr("Choose a clip"), self.prompts.folder("drivers"), pattern)
        if file:
            self.set_part(name, file)

    def set_part(self, name: str, path: str) -> None:
        """Let a file drive a part of the face; empty means the main driver."""
        if path:
            self.studio.remember("drivers", path)
        self.studio.set_option(name, path)

    def use_camera(self) -> None:
        """Drive with the chosen camera."""
        self.list_cameras()
        self.studio.set_driver(Driver("camera", self.window.side.driver.cameras.currentData() or ""))

    def use_tracker(self) -> None:
        """Drive with the face tracker chosen last."""
        self.studio.set_driver(Driver("tracking", str(self.window.side.driver.tracker.address)))

    def ask_for_stream(self) -> None:
        """Ask for the address of a camera of the network."""
        dialog = AddressDialog(self.window)
        dialog.accepted.connect(lambda: self.studio.set_driver(Driver("camera", dialog.url)))
        self.prompts.open(dialog)

    def list_cameras(self) -> None:
        """List the cameras."""
        panel = self.window.side.driver

        def done(names: list[str]) -> None:
            panel.show_cameras(names)
            driver = self.studio.session.driver
            there = driver.source in names if driver.source else bool(names)
            if self.studio.missing is not None and driver.kind == "camera" and there:
                self.studio.set_driver(driver)  # it has been connected

        self.studio.background.run(lambda: [device.name for device in list_cameras()], done, self.studio.failed.emit)

    def toggle_play(self) -> None:
        """Pause or resume the driver."""
        self.studio.set_paused(not self.studio.paused)
        self.window.live_view.show_playback()

    def recentre(self) -> None:
        """Capture a new neutral pose after a countdown."""
        self.studio.live.recentre(3.0)

    # ---- controls -------------------------------------------------------------------------------------------------
    def reset_section(self, name: str) -> None:
        """Reset the controls of a section."""
        panel = self.window.controls
        session = self.studio.session
        for key in panel.names[name]:
            if key in SLIDERS:
                session = session.with_slider(key, SLIDERS[key].default)
            else:
                session = session.with_value(key, find_option(key).default)
        if name == "Stitching and retargeting":
            session = replace(session, eye_left=None, eye_right=None, lips=None)
        if name == "Live":
            session = _live_at_rest(session)
        self.studio.apply(session, tr("reset {section}", section=tr(name)))

    def reset_sliders(self) -> None:
        """Reset pose and expression."""
        self.studio.apply(self.studio.session.with_expression(Expression({})), tr("reset pose and expression"))

    def reset_all(self) -> None:
        """Reset all controls; portraits and driver stay."""
        session = _live_at_rest(self.studio.session.with_expression(Expression({})).with_values({}))
        self.studio.apply(session, tr("reset all controls"))

    def set_view(self, view: View) -> None:
        """Choose what the preview shows."""
        self.window.actions_[f"view_{view}"].setChecked(True)
        self.window.preview.set_view(view)

    # ---- output ---------------------------------------------------------------------------------------------------
    def default_output(self, session: Session, others: Collection[Path] = ()) -> Path:
        """Suggested name for a render: an unused one in the folder of the last render or the user's videos folder.

        Args:
            session: What is rendered.
            others: Names that are about to be used.
        """
        assert session.portrait is not None
        source, driver = Path(session.portrait.path), session.driver
        moves = source.suffix.lower() in VIDEO_ENDINGS or source.suffix.lower() == ".gif"
        still = not moves and (driver.kind == "still" or not session.plays)
        name = driver.source or ("" if session.keyed else session.value("voice"))
        alone = "keys" if session.keyed else "alive" if session.plays else "posed"
        stem = f"{stem_of(source)}--{stem_of(Path(name))}" if name else f"{stem_of(source)}-{alone}"
        place = QStandardPaths.StandardLocation
        films = QStandardPaths.writableLocation(place.PicturesLocation if still else place.MoviesLocation)
        folder = Path(str(self.studio.settings.value("folders/output", films)))
        if not folder.is_dir():
            folder = Path.home()
        taken = self.studio.queue.outputs().union(others)
        ending, path, count = ".png" if still else ".mp4", folder / f"{stem}{'.png' if still else '.mp4'}", 2
        while path.exists() or path in taken:
            path, count = folder / f"{stem} {count}{ending}", count + 1
        return path

    def render_to_file(self) -> None:
        """Ask for a name and put the job into the queue."""
        session = self.studio.session
        if session.portrait is None:
            return
        if session.driver.kind in LIVE_ONLY:
            self.queue_render(Path(), overwrite=False)  # reports why it can't be done
            return
        pattern = f"{tr('Clips and images')} ({' '.join(f'*{ending}' for ending in RESULTS)})"
        offered = self.default_output(session)
        name, _ = QFileDialog.getSaveFileName(self.window, tr("Render to file"), str(offered), pattern)
        if name:
            path, asked = store.with_ending(Path(name), RESULTS, offered.suffix)
            self.queue_render(path, overwrite=asked and path.exists())

    def queue_render(self, output: Path, *, overwrite: bool, session: Session | None = None) -> bool:
        """Queue a render.

        Args:
            output: File to write.
            overwrite: Whether it may replace a file.
            session: What is rendered; by default the current session.

        Returns:
            Whether it was queued; if not, the user gets an error.
        """
        try:
            entry = make_entry(session or self.studio.session, output, overwrite=overwrite)
            self._check_folder(output)
        except AppError as error:
            show_error(self.window, error)
            return False
        self.studio.queue.add(entry)
        self.window.show_queue(True)
        return True

    def _check_folder(self, output: Path) -> None:
        """Check that an output can be written where the user wants it, and offer that folder again.

        Raises:
            AppError: It can't.
        """
        from app.media.files import check_output

        check_output(output, True)
        self.studio.settings.setValue("folders/output", str(output.parent))

    def show_job_report(self, number: int) -> None:
        """Show the error of a job."""
        job = self.studio.queue.find(number)
        if job is not None:
            show_error(self.window, AppError(job.error), "\n".join([*job.notes, job.details]))

    def save_picture(self) -> None:
        """Save what the preview shows, at full size."""
        shown = self.studio.visible
        if shown is None:
            return
        picture = shown.frame.picture
        offered = store.free_name(Path(self.prompts.folder("output")), "portrait", ".png")
        name, _ = QFileDialog.getSaveFileName(
            self.window, tr("Save this image"), str(offered),
            f"{tr('Images')} ({' '.join(f'*{ending}' for ending in PICTURES)})",
        )  # fmt: skip
        if name:
            path, _ = store.with_ending(Path(name), PICTURES, ".png")
            if self._try(lambda: self._check_folder(path)):
                self.write_picture(path, picture)

    def write_picture(self, path: Path, picture: qt_images.Pixels) -> None:
        """Write an image in the background; the user has agreed to replace the file, but an input is never replaced."""
        from app.media.images import write_image
        from app.media.outnames import check_not_inputs
        from app.provenance.mark import Marking
        from liveportrait.patched import split

        rgb, alpha = split(picture)
        inputs = self.studio.session.files
        marking = Marking.of(self.studio.session.options().output)

        def write() -> Path:
            check_not_inputs([path], inputs)
            return write_image(path, rgb, alpha, overwrite=True, marking=marking)

        self.studio.background.run(
            write,
            self.window.teller.written,
            self.studio.failed.emit,
        )

    @property
    def recording(self) -> bool:
        """Whether a live recording is running."""
        return self.outputs.recording

    def record(self, on: bool) -> None:
        """Start or stop a live recording."""
        if not on:
            self.outputs.stop_recording()
            return
        stamp = datetime.now(timezone.utc).astimezone().strftime("%Y-%m-%d %H.%M.%S")
        suffix = recording_suffix(self.studio.session.value("codec"))
        name, _ = QFileDialog.getSaveFileName(
            self.window, tr("Record to"), str(Path(self.prompts.folder("output")) / f"live {stamp}{suffix}"),
            f"{tr('Clips')} ({' '.join(f'*{ending}' for ending in RECORDINGS)})",
        )  # fmt: skip
        if name:
            path, _ = store.with_ending(Path(name), RECORDINGS, suffix)
            if self._try(lambda: self._check_folder(path)) and self._try(partial(self.outputs.start_recording, path)):
                self.window.toast.keep(tr("Recording to {name}", name=path.name))
        self.show_sinks()

    def virtual_camera(self, on: bool) -> None:
        """Start or stop the output to a virtual camera."""
        if on:
            self._try(self.outputs.start_camera)
        else:
            self.outputs.stop_camera()
        self.show_sinks()

    def stream(self, address: str, on: bool) -> None:
        """Start or stop sending the live result to an address."""
        if on:
            self.outputs.start_stream(address)
        else:
            self.outputs.stop_stream(address)
        self.show_sinks()

    def _try(self, work: Callable[[], None]) -> bool:
        """Do something; returns whether it was possible. If not, the user gets an error."""
        try:
            work()
        except AppError as error:
            show_error(self.window, error)
            return False
        return True

    def show_sinks(self) -> None:
        """Show which outputs are running, and report failed ones."""
        for text in self.outputs.look():
            self.window.toast.say(localized(text), "error")
        self.window.actions_["record"].setChecked(self.outputs.recording)
        self.window.actions_["virtual_camera"].setChecked(self.outputs.camera)
        self.window.controls.streams.show_states(self.outputs.streams)
        self.window.top.refresh()

    # ---- program --------------------------------------------------------------------------------------------------
    def choose_engine(self) -> None:
        """Open the dialog for engine and device."""
        session = self.studio.session
        dialog = EngineDialog(session.value("engine"), session.value("device"), self.studio.background, self.window)

        def accepted() -> None:
            engine, device = dialog.choice
            self.studio.change(
                lambda s: s.with_value("engine", engine).with_value("device", device), tr("choose an engine")
            )

        dialog.accepted.connect(accepted)
        self.prompts.open(dialog)

    def show_weights(self) -> None:
        """Open the dialog of model weights."""
        self.prompts.open(WeightsDialog(self.studio.background, self.studio.downloads, self.window))

    def show_about(self, page: str) -> None:
        """Open help or the licences."""
        self.prompts.open(AboutDialog(page, self.window))

    def show_log(self) -> None:
        """Open the list of all messages."""
        self.prompts.open(LogDialog(self.window.toast, self.window))

    def switch_end_sound(self, on: bool) -> None:
        """Choose whether the end of the renders is heard."""
        self.studio.settings.setValue(END_SOUND, on)

    def edit_shortcuts(self) -> None:
        """Open the list of keyboard shortcuts."""
        self.prompts.open(ShortcutsDialog(self.window.actions_, self.window))
