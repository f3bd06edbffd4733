"""Settings of a face tracker as the driver: protocol, port, and whether a phone may send."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QIntValidator
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QVBoxLayout, QWidget

from app.choices import EVERYWHERE, LOOPBACK, PORTS, SENDERS, TrackingAddress
from app.gui.localize import tooltip_text
from app.gui.translate import mark, tr
from app.gui.widgets.basic import ComboBox, Switch
from app.sources.sensors.receiver import own_address

HELP: Final = {
    "osc": mark("VSeeFace, Waidayo, VMagicMirror and others that send the VMC protocol"),
    "livelink": mark("Live Link Face on an iPhone, in its ARKit mode"),
    "ifacialmocap": mark("iFacialMocap on an iPhone, and apps that send the same"),
}


class TrackerPage(QWidget):
    """Settings of the address at which packets of a face tracker are received.

    Signals:
        address_chosen: The address as text.
        mirror_changed: Whether left and right are swapped.
    """

    address_chosen = Signal(str)
    mirror_changed = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        self.address = TrackingAddress("osc")
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(4)
        line = QHBoxLayout()
        line.setSpacing(6)
        self.protocol = ComboBox()
        self.protocol.setAccessibleName(tr("Protocol"))
        for protocol, title in SENDERS.items():
            self.protocol.addItem(title, protocol)
            self.protocol.setItemData(self.protocol.count() - 1, tr(HELP[protocol]), Qt.ItemDataRole.ToolTipRole)
        self.protocol.activated.connect(self._protocol_chosen)
        self.port = QLineEdit()
        self.port.setValidator(QIntValidator(1, 65535, self))
        self.port.setFixedWidth(68)
        self.port.setAccessibleName(tr("Port"))
        self.port.setToolTip(tr("Port that the app sends to"))
        self.port.editingFinished.connect(self._port_chosen)
        line.addWidget(self.protocol, 1)
        line.addWidget(self.port)
        box.addLayout(line)
        self.phone = Switch(
            tr("From a phone"),
            tr("Opens the port to the network; without it, only programs on this computer can send."),
        )
        self.phone.clicked.connect(self._phone_chosen)
        self.mirror = Switch(tr("Mirror"), tr("Left and right are swapped as in a mirror."))
        self.mirror.clicked.connect(self.mirror_changed)
        self.hint = QLabel()
        self.hint.setObjectName("muted")
        self.hint.setWordWrap(True)
        for widget in (self.phone, self.mirror, self.hint):
            box.addWidget(widget)
        self.show_address(self.address)

    def show_address(self, address: TrackingAddress) -> None:
        """Show the current address."""
        self.address = address
        self.protocol.setCurrentIndex(self.protocol.findData(address.protocol))
        self.protocol.setToolTip(tooltip_text(tr(HELP[address.protocol])))
        self.port.setText(str(address.port))
        self.phone.setChecked(address.is_open)
        host = (own_address() or tr("this computer's address")) if address.host == EVERYWHERE else address.host
        self.hint.setText(tr("In the app, send to {host}, port {port}.", host=host, port=address.port))

    def _protocol_chosen(self) -> None:
        protocol = self.protocol.currentData()
        self._choose(replace(self.address, protocol=protocol, port=PORTS[protocol]))

    def _port_chosen(self) -> None:
        port = int(self.port.text() or self.address.port)
        if port != self.address.port:
            self._choose(replace(self.address, port=port))

    def _phone_chosen(self, on: bool) -> None:
        self._choose(replace(self.address, host=EVERYWHERE if on else LOOPBACK))

    def _choose(self, address: TrackingAddress) -> None:
        self.show_address(address)
        self.address_chosen.emit(str(address))
