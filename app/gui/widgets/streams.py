"""Destinations of the live result: address, switch and state of each stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QFocusEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from app.gui.localize import localized, tooltip_text
from app.gui.session import Session
from app.gui.translate import mark, tr
from app.gui.widgets.basic import Switch, tool_button
from app.stream_targets import StreamTarget

if TYPE_CHECKING:
    from app.live.stats import SinkInfo

EXAMPLE: Final = "mjpeg://127.0.0.1:8090"
STATES: Final = {"waiting": mark("Waits for the animation to run"), "running": mark("On"), "failed": mark("Failed")}
HELP: Final = mark(
    "mjpeg://127.0.0.1:8090 shows the result to browsers and OBS on this computer; srt, rtmp, udp and rtp addresses "
    "send it to a receiver; ndi, spout and syphon names show it to programs that support them."
)


class AddressEdit(QLineEdit):
    """An address field; secrets in it are visible only while it is edited."""

    taken = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.address = ""
        self.setPlaceholderText(EXAMPLE)
        self.editingFinished.connect(self._take)

    def show_address(self, address: str) -> None:
        """Show an address, unless another one is being typed."""
        self.address = address
        if not self.hasFocus():
            self._hide()

    def focusInEvent(self, event: QFocusEvent) -> None:  # noqa: N802
        """Show the whole address."""
        if not self.isReadOnly():
            self.setText(self.address)
        super().focusInEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:  # noqa: N802
        """Hide possible secrets."""
        super().focusOutEvent(event)
        self._hide()

    def _hide(self) -> None:
        self.setText(_shown(self.address))
        self.setCursorPosition(0)  # what is too long is cut off at its end

    def _take(self) -> None:
        text = self.text().strip()
        if text not in (self.address, _shown(self.address)):
            self.address = text
            self.taken.emit(text)


def _shown(address: str) -> str:
    """An address without its secrets; an invalid text is shown unchanged, to be corrected."""
    try:
        shown = StreamTarget.parse(address).shown
    except ValueError:
        return address
    return shown if shown == address.rstrip("/") else f"{shown}/\N{HORIZONTAL ELLIPSIS}"


class StreamRow(QWidget):
    """One stream.

    Signals:
        changed: The address was changed.
        switched: It was switched on or off.
        removed: It is to be removed.
    """

    changed = Signal(str)
    switched = Signal(bool)
    removed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.edit = AddressEdit()
        self.edit.setAccessibleName(tr("Stream address"))
        self.edit.setToolTip(tooltip_text(tr(HELP)))
        self.edit.taken.connect(self.changed)
        self.switch = Switch("", tr("Send the live result to this address"))
        self.switch.setAccessibleName(tr("Send the live result to this address"))
        self.switch.clicked.connect(lambda on: self.switched.emit(bool(on)))
        remove = tool_button("close", tr("Remove the stream"), 14)
        remove.clicked.connect(self.removed.emit)
        self.state = QLabel()
        self.state.setObjectName("faint")
        self.state.setTextFormat(Qt.TextFormat.PlainText)
        self.state.setWordWrap(True)
        self.state.hide()
        line = QHBoxLayout()
        line.setSpacing(4)
        line.addWidget(self.edit, 1)
        line.addWidget(self.switch)
        line.addWidget(remove)
        self.switch.setFixedWidth(46)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(2)
        box.addLayout(line)
        box.addWidget(self.state)

    def show_state(self, info: SinkInfo | None) -> None:
        """Show whether it is being sent; None if it is off."""
        self.switch.setChecked(info is not None)
        self.edit.setReadOnly(info is not None)
        text = "" if info is None else localized(info.message) or tr(STATES[info.status])
        self.state.setText(text)
        self.state.setVisible(bool(text))

    def show_fault(self, text: str) -> None:
        """Show what is wrong with the address, or nothing if empty."""
        self.state.setText(text)
        self.state.setVisible(bool(text))
        self.switch.setEnabled(not text and bool(self.edit.address))


class StreamsEditor(QWidget):
    """All streams.

    Signals:
        changed: The addresses, one per line.
        switched: An address, and whether to switch it on.
    """

    changed = Signal(str)
    switched = Signal(str, bool)

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[StreamRow] = []
        self._addresses: list[str] = []
        self._box = QVBoxLayout()
        self._box.setSpacing(6)
        self.add = QPushButton(tr("Add a stream"))
        self.add.setToolTip(tooltip_text(tr(HELP)))
        self.add.clicked.connect(self._add)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(6)
        box.addLayout(self._box)
        box.addWidget(self.add, alignment=Qt.AlignmentFlag.AlignLeft)

    def show_session(self, session: Session) -> None:
        """Show the addresses of a session; a row whose address is still being typed is kept."""
        addresses = [line for line in str(session.live_value("stream")).splitlines() if line]
        if addresses == self._addresses:
            return
        self._addresses = addresses
        while len(self.rows) < len(addresses):
            self._add_row()
        while len(self.rows) > len(addresses):
            self._drop(self.rows[-1])
        for row, address in zip(self.rows, addresses, strict=True):
            row.edit.show_address(address)
            row.show_fault("")

    def show_states(self, infos: Mapping[str, SinkInfo]) -> None:
        """Show which streams are on.

        Args:
            infos: Address -> its sink, for those that are on.
        """
        for row in self.rows:
            if row.edit.address in self._addresses:
                row.show_state(infos.get(row.edit.address))

    def _add(self) -> None:
        row = self.rows[-1] if self.rows and not self.rows[-1].edit.address else self._add_row()
        row.edit.setFocus()

    def _add_row(self) -> StreamRow:
        row = StreamRow()
        row.switch.setEnabled(False)
        row.changed.connect(lambda text: self._take(row, text))
        row.switched.connect(lambda on: self.switched.emit(row.edit.address, on))
        row.removed.connect(lambda: self._remove(row))
        self.rows.append(row)
        self._box.addWidget(row)
        return row

    def _drop(self, row: StreamRow) -> None:
        self.rows.remove(row)
        self._box.removeWidget(row)
        row.hide()
        row.deleteLater()

    def _remove(self, row: StreamRow) -> None:
        if row.switch.isChecked():
            self.switched.emit(row.edit.address, False)
        self._drop(row)
        self._tell()

    def _take(self, row: StreamRow, text: str) -> None:
        """Accept a typed address if it is valid."""
        fault = ""
        try:
            StreamTarget.parse(text)
        except ValueError as error:
            fault = localized(str(error))
        if [one.edit.address for one in self.rows].count(text) > 1:
            fault = tr("This address is already in the list.")
        row.show_fault(fault[:1].upper() + fault[1:])
        if not fault:
            self._tell()

    def _tell(self) -> None:
        valid = [row.edit.address for row in self.rows if row.switch.isEnabled() and row.edit.address]
        self._addresses = list(dict.fromkeys(valid))
        self.changed.emit("\n".join(self._addresses))
