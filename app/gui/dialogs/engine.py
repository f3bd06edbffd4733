"""Choose engine and device, with the findings of `animate doctor` below."""

from __future__ import annotations

from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QColor, QGuiApplication
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialogButtonBox,
    QFormLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from app.doctor import Finding, examine
from app.gui import icons
from app.gui.dialogs.base import Dialog
from app.gui.localize import localized, tooltip_text
from app.gui.threads import Background
from app.gui.translate import tr
from app.gui.widgets.basic import ComboBox, colours
from liveportrait.engines import ENGINES

MARKS = {"ok": ("check", "ok"), "info": ("info", "muted"), "warning": ("warning", "warning"),
         "missing": ("remove", "faint")}  # fmt: skip


class EngineDialog(Dialog):
    """Chooses engine and device.

    Args:
        engine: Engine in use ("auto" or a name).
        device: Device in use.
        background: Runs the checks.
        parent: Window.
    """

    def __init__(self, engine: str, device: str, background: Background, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Engine and device"))
        self.resize(820, 620)
        self.engine = ComboBox()
        self.engine.setAccessibleName(tr("Engine"))
        self.engine.setToolTip(tr("Engine that renders the portrait"))
        self.engine.addItem(tr("Automatic: the best one that works here"), "auto")
        for spec in ENGINES:
            self.engine.addItem(f"{spec.name} – {tr(spec.summary)}", spec.name)
        self.device = ComboBox()
        self.device.setAccessibleName(tr("Device"))
        self.device.setToolTip(tr("Device that the engine runs on"))
        self.engine.currentIndexChanged.connect(self._list_devices)
        self.engine.setCurrentIndex(max(0, self.engine.findData(engine)))
        self._list_devices()
        self.device.setCurrentIndex(max(0, self.device.findData(device)))
        form = QFormLayout()
        form.setSpacing(10)
        form.addRow(tr("Engine"), self.engine)
        form.addRow(tr("Device"), self.device)
        self.table = QTableWidget(0, 3)
        self.table.setHorizontalHeaderLabels([tr("Part"), tr("What was found"), tr("What to do")])
        self.table.verticalHeader().hide()
        self.table.setShowGrid(False)
        self.table.setWordWrap(True)
        self.table.setTextElideMode(Qt.TextElideMode.ElideNone)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setTabKeyNavigation(False)
        self.table.setAccessibleName(tr("What is installed and what can run"))
        header = self.table.horizontalHeader()
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(2, QHeaderView.ResizeMode.Stretch)
        header.sectionResized.connect(lambda *_: self._fit_rows())
        self.state = QLabel(tr("Checking what is installed…"))
        self.state.setObjectName("muted")
        kinds = QDialogButtonBox.StandardButton
        buttons = QDialogButtonBox(kinds.Ok | kinds.Cancel)
        buttons.button(kinds.Ok).setObjectName("primary")
        copy = QPushButton(tr("Copy report"))
        copy.clicked.connect(self._copy)
        buttons.addButton(copy, QDialogButtonBox.ButtonRole.ResetRole)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        box = QVBoxLayout(self)
        box.setContentsMargins(24, 24, 24, 20)
        box.setSpacing(14)
        box.addLayout(form)
        box.addWidget(self.state)
        box.addWidget(self.table, 1)
        box.addWidget(buttons)
        self.findings: list[Finding] = []
        background.run(examine, self._show, lambda error, _: self.state.setText(str(error)))

    @property
    def choice(self) -> tuple[str, str]:
        """The selected engine and device."""
        return self.engine.currentData(), self.device.currentData()

    def _list_devices(self) -> None:
        chosen = self.device.currentData()
        self.device.clear()
        name = self.engine.currentData()
        known = {d for spec in ENGINES if name in ("auto", spec.name) for d in spec.devices} - {"auto"}
        self.device.addItem(tr("automatic"), "auto")
        for device in sorted(known):
            self.device.addItem(device, device)
        self.device.setCurrentIndex(max(0, self.device.findData(chosen)))

    def _show(self, findings: list[Finding]) -> None:
        self.findings = findings
        c = colours()
        self.state.hide()
        section = ""
        for finding in sorted(findings, key=lambda f: f.section != "Engines"):  # the others keep their order
            if finding.section != section:
                section = finding.section
                row = self._row()
                head = QTableWidgetItem(tr(section))
                font = head.font()
                font.setBold(True)
                head.setFont(font)
                head.setForeground(QColor(c.muted))
                self.table.setItem(row, 0, head)
                self.table.setSpan(row, 0, 1, 3)
            row = self._row()
            icon, colour = MARKS[finding.status]
            name = QTableWidgetItem(localized(finding.name))
            name.setIcon(icons.icon(icon, getattr(c, colour)))
            name.setData(Qt.ItemDataRole.AccessibleDescriptionRole, finding.status)
            hint = QTableWidgetItem(localized(finding.hint))
            hint.setForeground(QColor(c.muted))
            for column, item in enumerate((name, QTableWidgetItem(localized(finding.value)), hint)):
                item.setToolTip(tooltip_text(item.text()))
                self.table.setItem(row, column, item)
        self._fit_rows()

    def _fit_rows(self) -> None:
        """Set each row's height for its wrapped texts; Qt's own calculation ignores the padding."""
        metrics = self.table.fontMetrics()
        for row in range(self.table.rowCount()):
            lines = 1
            for column in range(3):
                item = self.table.item(row, column)
                if item is not None and column:
                    room = QRect(0, 0, max(40, self.table.columnWidth(column) - 34), 10_000)
                    height = metrics.boundingRect(room, Qt.TextFlag.TextWordWrap, item.text()).height()
                    lines = max(lines, round(height / metrics.lineSpacing()))
            self.table.setRowHeight(row, lines * metrics.lineSpacing() + 20)

    def _row(self) -> int:
        row = self.table.rowCount()
        self.table.insertRow(row)
        return row

    def _copy(self) -> None:
        lines = [f"{f.section} | {f.name} | {f.status} | {f.value} | {f.hint}" for f in self.findings]
        QGuiApplication.clipboard().setText("\n".join(lines))
