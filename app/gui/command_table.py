"""The commands of the window: name, text, keys, icon, handler, and when each is enabled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.gui.session import Driver
from app.gui.translate import mark
from app.gui.whole_outputs import copy_picture, render_all

if TYPE_CHECKING:
    from app.gui.studio import Studio
    from app.gui.window import MainWindow


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        name: Key in the settings.
        text: Title.
        keys: Default keys in Qt's portable form, may be empty.
        icon: Key of ``icons.LINES``, may be empty.
        group: Heading in the list of shortcuts.
        run: Handler; receives whether the command is now checked.
        enabled: Whether it can currently be used.
        checkable: Whether it can be switched on and off.
    """

    name: str
    text: str
    keys: str
    icon: str
    group: str
    run: Callable[[MainWindow, bool], object]
    enabled: Callable[[Studio], bool] = lambda _: True
    checkable: bool = False


def some(studio: Studio) -> bool:
    """Whether there is a portrait."""
    return bool(studio.session.portraits)


def several(studio: Studio) -> bool:
    """Whether there is more than one portrait."""
    return len(studio.session.portraits) > 1


def seekable(studio: Studio) -> bool:
    """Whether the driver is a clip with a timeline."""
    return studio.timeline is not None


def cuttable(studio: Studio) -> bool:
    """Whether the time line is that of a clip, of which a part can be used."""
    return seekable(studio) and not (studio.session.keyed and studio.session.driver.kind == "sliders")


def moves(studio: Studio) -> bool:
    """Whether the driver moves, so that a new neutral pose can be captured."""
    return studio.session.driver.kind in ("file", "camera", "tracking")


def can_record(studio: Studio) -> bool:
    """Whether a recording can be started or stopped."""
    return some(studio) or studio.outputs.recording


def can_feed(studio: Studio) -> bool:
    """Whether the virtual camera can be started or stopped."""
    return some(studio) or studio.outputs.camera


COMMANDS: Final = (
    Command("new_project", mark("New project"), "Ctrl+N", "", mark("File"), lambda w, _: w.commands.projects.new()),
    Command("open_project", mark("Open a project…"), "Ctrl+Shift+O", "folder", mark("File"),
            lambda w, _: w.commands.projects.browse()),
    Command("save_project", mark("Save the project"), "Ctrl+Shift+S", "save", mark("File"),
            lambda w, _: w.commands.projects.save()),
    Command("save_project_as", mark("Save the project as…"), "", "", mark("File"),
            lambda w, _: w.commands.projects.save_as()),
    Command("add_portrait", mark("Add portraits…"), "Ctrl+O", "add", mark("Portraits"),
            lambda w, _: w.commands.browse_portraits()),
    Command("paste", mark("Paste"), "Ctrl+V", "", mark("Portraits"), lambda w, _: w.commands.paste()),
    Command("next_portrait", mark("Next portrait"), "Ctrl+Right", "", mark("Portraits"),
            lambda w, _: w.commands.choose_portrait(w.studio.session.current + 1), enabled=several),
    Command("previous_portrait", mark("Previous portrait"), "Ctrl+Left", "", mark("Portraits"),
            lambda w, _: w.commands.choose_portrait(w.studio.session.current - 1), enabled=several),
    Command("edit_crop", mark("Crop and face…"), "Ctrl+K", "crop", mark("Portraits"),
            lambda w, _: w.commands.edit_crop_of(w.studio.session.current), enabled=some),
    Command("driver_sliders", mark("Sliders only"), "Ctrl+1", "sliders", mark("Driver"),
            lambda w, _: w.studio.set_driver(Driver())),
    Command("driver_file", mark("Choose a clip…"), "Ctrl+2", "film", mark("Driver"),
            lambda w, _: w.commands.browse_driver("file")),
    Command("driver_camera", mark("Camera"), "Ctrl+3", "camera", mark("Driver"),
            lambda w, _: w.commands.use_camera()),
    Command("driver_still", mark("Choose an image…"), "Ctrl+4", "image", mark("Driver"),
            lambda w, _: w.commands.browse_driver("still")),
    Command("driver_template", mark("Choose a voice or template…"), "Ctrl+5", "motion", mark("Driver"),
            lambda w, _: w.commands.browse_driver("template")),
    Command("driver_tracking", mark("Phone or tracking app"), "Ctrl+6", "face", mark("Driver"),
            lambda w, _: w.commands.use_tracker()),
    Command("driver_stream", mark("Network camera…"), "", "broadcast", mark("Driver"),
            lambda w, _: w.commands.ask_for_stream()),
    Command("play", mark("Play or pause"), "Space", "pause", mark("Driver"), lambda w, _: w.commands.toggle_play()),
    Command("step_back", mark("One frame back"), ",", "step-back", mark("Driver"),
            lambda w, _: w.studio.step(-1), enabled=seekable),
    Command("step_forward", mark("One frame forward"), ".", "step-forward", mark("Driver"),
            lambda w, _: w.studio.step(1), enabled=seekable),
    Command("to_start", mark("To the beginning"), "Home", "to-start", mark("Driver"),
            lambda w, _: w.studio.seek(0.0), enabled=seekable),
    Command("in_point", mark("Begin the part here"), "I", "", mark("Driver"),
            lambda w, _: w.live_view.set_edge("start"), enabled=cuttable),
    Command("out_point", mark("End the part here"), "O", "", mark("Driver"),
            lambda w, _: w.live_view.set_edge("end"), enabled=cuttable),
    Command("whole_clip", mark("Use the whole clip"), "Shift+I", "", mark("Driver"),
            lambda w, _: w.live_view.use_whole(), enabled=cuttable),
    Command("loop", mark("Repeat in a loop"), "L", "loop", mark("Driver"),
            lambda w, on: w.studio.set_loop(on), checkable=True),
    Command("mute", mark("Sound off"), "M", "sound", mark("Driver"),
            lambda w, on: w.studio.sound.mute(on), enabled=lambda studio: not studio.sound.problem, checkable=True),
    Command("recentre", mark("New neutral pose"), "C", "centre", mark("Driver"),
            lambda w, _: w.commands.recentre(), enabled=moves),
    Command("undo", mark("Undo"), "Ctrl+Z", "undo", mark("Edit"),
            lambda w, _: w.studio.undo(), enabled=lambda studio: bool(studio.history.undo_text)),
    Command("redo", mark("Redo"), "Ctrl+Shift+Z", "redo", mark("Edit"),
            lambda w, _: w.studio.redo(), enabled=lambda studio: bool(studio.history.redo_text)),
    Command("reset_sliders", mark("Reset pose and expression"), "Ctrl+R", "reset", mark("Edit"),
            lambda w, _: w.commands.reset_sliders()),
    Command("reset_all", mark("Reset all controls"), "Ctrl+Shift+R", "", mark("Edit"),
            lambda w, _: w.commands.reset_all()),
    Command("save_expression", mark("Save expression…"), "Ctrl+E", "face", mark("Edit"),
            lambda w, _: w.commands.saved.save_expression()),
    Command("save_preset", mark("Save preset…"), "Ctrl+P", "star", mark("Edit"),
            lambda w, _: w.commands.saved.save_preset()),
    Command("view_result", mark("Result"), "F2", "result", mark("View"),
            lambda w, _: w.commands.set_view("result"), checkable=True),
    Command("view_side", mark("Side by side"), "F3", "side", mark("View"),
            lambda w, _: w.commands.set_view("side"), checkable=True),
    Command("view_over", mark("Result over source"), "F4", "over", mark("View"),
            lambda w, _: w.commands.set_view("over"), checkable=True),
    Command("fit", mark("Fit"), "Ctrl+0", "fit", mark("View"), lambda w, _: w.preview.fit()),
    Command("actual_size", mark("Single pixels (1:1)"), "Ctrl+Shift+0", "", mark("View"),
            lambda w, _: w.preview.actual_size()),
    Command("zoom_in", mark("Zoom in"), "Ctrl++", "", mark("View"), lambda w, _: w.preview.zoom_by(1.25)),
    Command("zoom_out", mark("Zoom out"), "Ctrl+-", "", mark("View"), lambda w, _: w.preview.zoom_by(0.8)),
    Command("full_screen", mark("Full screen"), "F11", "", mark("View"),
            lambda w, on: w.showFullScreen() if on else w.showNormal(), checkable=True),
    Command("clean_view", mark("Image alone on the screen"), "Shift+F11", "", mark("View"),
            lambda w, on: w.show_alone(on), checkable=True),
    Command("render", mark("Render to file…"), "Ctrl+Return", "render", mark("Output"),
            lambda w, _: w.commands.render_to_file(), enabled=some),
    Command("copy_picture", mark("Copy this image"), "Ctrl+C", "", mark("Output"),
            lambda w, _: copy_picture(w), enabled=some),
    Command("render_all", mark("Render all portraits…"), "Ctrl+Alt+Return", "", mark("Output"),
            lambda w, _: render_all(w), enabled=several),
    Command("save_picture", mark("Save this image…"), "Ctrl+S", "save", mark("Output"),
            lambda w, _: w.commands.save_picture(), enabled=some),
    Command("show_queue", mark("Render queue"), "Ctrl+J", "", mark("Output"),
            lambda w, on: w.show_queue(on), checkable=True),
    Command("record", mark("Record live"), "Ctrl+Shift+Return", "record", mark("Output"),
            lambda w, on: w.commands.record(on), enabled=can_record, checkable=True),
    Command("virtual_camera", mark("Virtual camera"), "Ctrl+Shift+V", "broadcast", mark("Output"),
            lambda w, on: w.commands.virtual_camera(on), enabled=can_feed, checkable=True),
    Command("engine", mark("Engine and device…"), "", "chip", mark("Program"),
            lambda w, _: w.commands.choose_engine()),
    Command("models", mark("Model weights…"), "", "download", mark("Program"),
            lambda w, _: w.commands.show_weights()),
    Command("messages", mark("Messages…"), "Ctrl+L", "info", mark("Program"), lambda w, _: w.commands.show_log()),
    Command("end_sound", mark("Sound at the end of renders"), "", "", mark("Program"),
            lambda w, on: w.commands.switch_end_sound(on), checkable=True),
    Command("shortcuts", mark("Keyboard shortcuts…"), "F1", "keyboard", mark("Program"),
            lambda w, _: w.commands.edit_shortcuts()),
    Command("help", mark("Help"), "Shift+F1", "", mark("Program"), lambda w, _: w.commands.show_about("help")),
    Command("about", mark("About Portrait Animate"), "", "", mark("Program"),
            lambda w, _: w.commands.show_about("about")),
    Command("quit", mark("Quit"), "Ctrl+Q", "", mark("Program"), lambda w, _: w.close()),
)  # fmt: skip
