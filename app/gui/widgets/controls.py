"""The control panel: a widget for every option and slider, built from the declarations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QColor
from PySide6.QtWidgets import (
    QAbstractButton,
    QColorDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from app.errors import AppError
from app.gui.localize import localized, menu_text, tooltip_text
from app.gui.session import Session, panel_live_options, panel_options
from app.gui.titles import choice_title
from app.gui.translate import mark, tr
from app.gui.widgets.background_choice import BackgroundChoice
from app.gui.widgets.basic import (
    ComboBox,
    ElidedLabel,
    Section,
    SliderRow,
    Switch,
    ValueSlider,
    scrolled,
    tool_button,
)
from app.gui.widgets.keys import FieldKeys
from app.gui.widgets.part_drivers import PartDriversEditor
from app.gui.widgets.streams import StreamsEditor
from app.live_options import live_options
from app.options import OptionInfo, find_option, idle_options
from liveportrait.expression import SLIDERS, Slider

GROUPS: Final = (
    ("Expression", True),
    ("Pose", True),
    ("Motion", False),
    ("Speech and idle motion", False),
    ("Drivers", False),
    ("Stitching and retargeting", False),
    ("Crop", False),
    ("Part of a clip", False),
    ("Output", False),
    ("Live", False),
    ("Program", False),
)
TITLES: Final = {"Drivers": mark("Drivers for parts of the face")}
PLACE: Final = {"Input": "Output"}  # group of an option -> section that shows it
OPENINGS: Final = (
    (
        "eye_left",
        mark("Left eye"),
        mark("Hold the eye on the left of the image open by a fixed amount; 0 is closed."),
        0.5,
        0.3,
    ),
    (
        "eye_right",
        mark("Right eye"),
        mark("Hold the eye on the right of the image open by a fixed amount; 0 is closed."),
        0.5,
        0.3,
    ),
    ("lips", mark("Lips"), mark("Hold the lips open by a fixed amount; 0 is closed."), 0.8, 0.0),
)
LIVE_PARTS: Final = {"Live": mark("Quality"), "Camera": mark("Camera"), "Virtual camera": mark("Virtual camera"),
                     "Streams": mark("Streams"), "Recording": mark("Recording")}  # fmt: skip


def subhead(text: str) -> QLabel:
    """A heading within a section."""
    label = QLabel(text.upper())
    label.setObjectName("subhead")
    label.setIndent(0)
    return label


class OptionEditor(QWidget):
    """Widget of one option.

    Args:
        info: Declaration.
    """

    changed = Signal(object)

    def __init__(self, info: OptionInfo) -> None:
        super().__init__()
        self.info = info
        self.title, self.help = tr(info.title), localized(info.help)
        self._box = QVBoxLayout(self)
        self._box.setContentsMargins(0, 0, 0, 0)
        self._box.setSpacing(4)
        if info.kind is bool:
            self._make_switch()
        elif info.kind in (int, float) and info.minimum is not None and info.maximum is not None:
            self._make_slider()
        elif info.choices:
            self._make_choice()
        elif info.name == "background":
            self._make_ground()
        else:
            self._make_text()
        self.show_hint("")

    def show_hint(self, more: str) -> None:
        """Set the tool tip to the option's help and more text; also on the inner controls, which would hide it."""
        text = f"{self.help}\n{more}" if more else self.help
        self.main.setAccessibleDescription(" ".join(text.split("\n")))
        if isinstance(self.main, ValueSlider) and not more:
            text += "\n" + tr("Double-click resets it.")
        for widget in (self, *self.findChildren(QWidget)):
            if widget is self or (widget.toolTip() and not isinstance(widget, QAbstractButton)) or widget is self.main:
                widget.setToolTip(tooltip_text(text))

    def show_value(self, value: Any) -> None:
        """Show a value without a signal."""
        self._show(value)

    def show_idle(self, reason: str) -> None:
        """Disable the widget while the option has no effect, and show the reason; empty enables it."""
        if self.isEnabled() != (not reason):
            self.setEnabled(not reason)
            self.show_hint(reason)

    def _make_switch(self) -> None:
        switch = Switch(self.title, self.help)
        switch.setChecked(self.info.default)
        switch.clicked.connect(lambda on: self.changed.emit(bool(on)))  # emit itself would get no argument
        self._show: Callable[[Any], None] = switch.setChecked
        self.main: QWidget = switch
        self._box.addWidget(switch)

    def _make_slider(self) -> None:
        low, high = float(self.info.minimum or 0), float(self.info.maximum or 1)
        step = self.info.step or (high - low) / 100
        row = SliderRow(self.title, self.help, low, high, step, float(self.info.default), self.info.unit)
        kind = self.info.kind
        row.changed.connect(lambda value: self.changed.emit(kind(round(value) if kind is int else value)))
        self._show = row.show_value
        self.main = row.slider
        self._box.addWidget(row)

    def _make_choice(self) -> None:
        combo = ComboBox()
        for word in self.info.choices:
            combo.addItem(choice_title(word), word)
        combo.activated.connect(lambda _: self.changed.emit(combo.currentData()))
        self._show = lambda value: combo.setCurrentIndex(max(0, combo.findData(value)))
        self._beside(combo)

    def _make_ground(self) -> None:
        combo = BackgroundChoice(self.title)
        combo.chosen.connect(self.changed.emit)
        self._show = combo.show_value
        self._beside(combo)

    def _make_text(self) -> None:
        edit = QLineEdit()
        empty = tr("none") if self.info.name == "midi" else tr("automatic")
        edit.setPlaceholderText(empty if self.info.default == "" else str(self.info.default))
        edit.editingFinished.connect(lambda: self._take_text(edit))
        self._value: Any = self.info.default
        self._show = lambda value: self._show_text(edit, value)
        FieldKeys(edit, lambda: self._show_text(edit, self._value, typing=False))
        self._beside(edit)
        self.fault = QLabel()
        self.fault.setObjectName("error")
        self.fault.setTextFormat(Qt.TextFormat.PlainText)
        self.fault.setWordWrap(True)
        self.fault.hide()
        self._box.addWidget(self.fault)
        if self.info.name == "fill":
            pick = tool_button("image", tr("Choose a colour"), 16)
            pick.clicked.connect(lambda: self._pick_colour(edit))
            self._line.addWidget(pick)

    def _beside(self, widget: QWidget) -> None:
        label = ElidedLabel("rowTitle", self.title)
        label.setBuddy(widget)
        widget.setAccessibleName(self.title)
        widget.setAccessibleDescription(self.help)
        widget.setMinimumWidth(60)
        widget.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._line = QHBoxLayout()
        self._line.setSpacing(8)
        self._line.addWidget(label, 1)
        self._line.addWidget(widget, 1)
        self._box.addLayout(self._line)
        self.main = widget

    def _show_text(self, edit: QLineEdit, value: Any, *, typing: bool = True) -> None:
        """Show a value, but don't overwrite text being typed."""
        self._value = value
        if typing and edit.hasFocus() and edit.isModified():
            return
        edit.setText(str(value))
        self._mark(edit, "")

    def _take_text(self, edit: QLineEdit) -> None:
        text = edit.text().strip()
        try:
            self.info.check(text)
        except AppError as error:
            self._mark(edit, localized(str(error)))
            return
        self._mark(edit, "")
        edit.setModified(False)
        self.changed.emit(text)

    def _mark(self, edit: QLineEdit, fault: str) -> None:
        """Show below the field what is wrong with its text; empty if nothing."""
        if self.fault.text() == fault:
            return
        edit.setProperty("wrong", bool(fault))
        self.fault.setText(fault)
        self.fault.setVisible(bool(fault))
        edit.setAccessibleDescription(fault or self.help)
        edit.style().unpolish(edit)
        edit.style().polish(edit)

    def _pick_colour(self, edit: QLineEdit) -> None:
        colour = QColorDialog.getColor(QColor(edit.text()), self, self.title)
        if colour.isValid():
            edit.setText(colour.name())
            self._take_text(edit)


class OpeningEditor(QWidget):
    """Ratio of an eye or the lips: follows the driver, or is fixed."""

    changed = Signal(object)

    def __init__(self, title: str, help_text: str, maximum: float, start: float) -> None:
        super().__init__()
        self._start = start
        self.switch = Switch(tr("{part}: fixed amount", part=title), help_text)
        self.row = SliderRow(title, help_text, 0.0, maximum, 0.01, start)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(0)
        box.addWidget(self.switch)
        box.addWidget(self.row)
        self.row.setVisible(False)
        self.switch.clicked.connect(lambda on: self.changed.emit(self._start if on else None))
        self.row.changed.connect(lambda value: self.changed.emit(float(value)))

    def show_value(self, value: float | None) -> None:
        """Show a value; None follows the driver."""
        self.switch.setChecked(value is not None)
        self.row.setVisible(value is not None)
        self.row.show_value(self._start if value is None else value)


class ControlPanel(QWidget):
    """All controls in groups.

    Signals:
        option_changed: Name and value of an option.
        slider_changed: Name and value of a slider.
        live_changed: Name and value of a live option.
        opening_changed: Name (eye_left, eye_right, lips) and value or None.
        reset_requested: Name of a section whose controls are to be reset.
    """

    option_changed = Signal(str, object)
    live_changed = Signal(str, object)
    slider_changed = Signal(str, float)
    opening_changed = Signal(str, object)
    reset_requested = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("controlPanel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.editors: dict[str, OptionEditor] = {}
        self.live_editors: dict[str, OptionEditor] = {}
        self.sliders: dict[str, SliderRow] = {}
        self.openings: dict[str, OpeningEditor] = {}
        self.sections: dict[str, Section] = {}
        self.names: dict[str, list[str]] = {}
        self.streams = StreamsEditor()
        content = QWidget()
        self._column = QVBoxLayout(content)
        self._column.setContentsMargins(10, 6, 10, 16)
        self._column.setSpacing(2)
        self.top = QVBoxLayout()
        self._column.addLayout(self.top)
        for group, is_open in GROUPS:
            self._add_section(group, is_open)
        self._column.addStretch(1)
        self._advanced = Switch(tr("Show advanced options"), tr("Shows options that are seldom needed."))
        self._advanced.clicked.connect(self.show_advanced)
        row = QHBoxLayout()
        row.setContentsMargins(10, 8, 10, 0)
        row.addWidget(self._advanced)
        self._column.insertLayout(self._column.count() - 1, row)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(scrolled(content))
        self.show_advanced(False)

    @property
    def advanced(self) -> bool:
        """Whether advanced options are shown."""
        return self._advanced.isChecked()

    def show_advanced(self, shown: bool) -> None:
        """Show or hide advanced options."""
        self._advanced.setChecked(shown)
        for editor in (*self.editors.values(), *self.live_editors.values()):
            editor.setVisible(shown or not editor.info.advanced)
        for name in ("Program",):
            members = [self.editors[n] for n in self.names[name]]
            self.sections[name].setVisible(shown or not all(e.info.advanced for e in members))

    def show_session(self, session: Session) -> None:
        """Show the values of a session."""
        idle = idle_options(session.options())
        for name, editor in self.editors.items():
            editor.show_value(session.value(name))
            editor.show_idle(localized(idle.get(name, "")))
        for name, editor in self.live_editors.items():
            editor.show_value(session.live_value(name))
        for name, row in self.sliders.items():
            row.show_value(session.sliders.get(name, SLIDERS[name].default))
        self.parts.show_session(session)
        self.streams.show_session(session)
        for name, opening in self.openings.items():
            opening.show_value(getattr(session, name))

    def _add_section(self, group: str, is_open: bool) -> None:
        section = Section(group, tr(TITLES.get(group, group)), is_open)
        self.sections[group] = section
        self.names[group] = []
        reset = tool_button("reset", tr("Reset {section}", section=tr(TITLES.get(group, group))), 14)
        reset.clicked.connect(lambda _=False, name=group: self.reset_requested.emit(name))
        section.extra.addWidget(reset)
        for name in panel_options():
            info = find_option(name)
            if PLACE.get(info.group, info.group) == group:
                self._add_option(section, info)
        if group == "Drivers":
            self.parts = PartDriversEditor()
            self.names[group] = list(self.parts.rows)
            section.body.addWidget(self.parts)
        if group == "Live":
            known = {info.name: info for info in live_options()}
            part = ""
            for name in panel_live_options():
                if known[name].group != part:
                    part = known[name].group
                    section.body.addWidget(subhead(tr(LIVE_PARTS.get(part, part))))
                    if part == "Streams":
                        section.body.addWidget(self.streams)
                editor = OptionEditor(known[name])
                editor.changed.connect(lambda value, key=name: self.live_changed.emit(key, value))
                self.live_editors[name] = editor
                section.body.addWidget(editor)
        if group == "Stitching and retargeting":
            for name, title, text, high, start in OPENINGS:
                opening = OpeningEditor(tr(title), tr(text), high, start)
                opening.changed.connect(lambda value, key=name: self.opening_changed.emit(key, value))
                self.openings[name] = opening
                section.body.addWidget(opening)
        if group == "Pose":
            self._add_sliders(section, [s for s in SLIDERS.values() if s.group == "Head"])
        if group == "Expression":
            for part in ("Eyes", "Brows", "Mouth"):
                section.body.addWidget(subhead(tr(part)))
                self._add_sliders(section, [s for s in SLIDERS.values() if s.group == part])
        self._column.addWidget(section)

    def _add_option(self, section: Section, info: OptionInfo) -> None:
        editor = OptionEditor(info)
        editor.changed.connect(lambda value, name=info.name: self.option_changed.emit(name, value))
        self.editors[info.name] = editor
        self.names[section.key].append(info.name)
        section.body.addWidget(editor)

    def _add_sliders(self, section: Section, sliders: list[Slider]) -> None:
        for s in sliders:
            row = SliderRow(tr(s.title), tr(s.help), s.minimum, s.maximum, s.step, s.default, s.unit)
            row.changed.connect(lambda value, name=s.name: self.slider_changed.emit(name, value))
            self.sliders[s.name] = row
            self.names[section.key].append(s.name)
            section.body.addWidget(row)


class ExpressionBar(QWidget):
    """Saved expressions as chips; a click applies one."""

    chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        from app.gui.widgets.basic import FlowLayout

        self._host = QWidget()
        self._flow = FlowLayout(6)
        self._host.setLayout(self._flow)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 4)
        box.addWidget(self._host)
        self.buttons: list[QPushButton] = []

    def show_names(self, names: list[str]) -> None:
        """Show these names."""
        for old in self.buttons:
            old.setParent(None)
            old.deleteLater()
        while self._flow.count():
            self._flow.takeAt(0)
        self.buttons = []
        for name in names:
            chip = QPushButton(menu_text(tr(name)))
            chip.setToolTip(tooltip_text(tr("Use the expression {name}", name=tr(name))))
            chip.setObjectName("chip")
            chip.setAccessibleName(tr("Expression {name}", name=tr(name)))
            chip.clicked.connect(lambda _=False, key=name: self.chosen.emit(key))
            self._flow.addWidget(chip)
            self.buttons.append(chip)
        self._flow.invalidate()
        self._host.updateGeometry()
