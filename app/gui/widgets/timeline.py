"""The time line: the position in a clip, over the waveform of its sound."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QSlider

from app.gui.translate import tr
from app.gui.widgets.basic import colours

if TYPE_CHECKING:
    from app.media.waveform import Peaks

LOW, HIGH = 20, 40
"""Height of the line in pixels, without and with a waveform."""
SIDE: Final = 6
"""Pixels left and right of the line, room for the handle at both ends."""
BAR: Final = 3
"""Pixels from one bar of a waveform to the next."""


class TimeSlider(QSlider):
    """Position in a clip, in milliseconds, over the waveform of its sound; a click jumps, a drag follows the mouse.

    Signals:
        sought: Milliseconds that the user seeks to.
    """

    sought = Signal(int)

    def __init__(self) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self.setFixedHeight(LOW)
        self.setMinimumWidth(80)
        self._wave: Peaks | None = None
        self.setSingleStep(200)
        self.setPageStep(1000)
        self.setAccessibleName(tr("Position in the clip"))
        self.setToolTip(tr("Position in the clip"))
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.actionTriggered.connect(lambda _: self.sought.emit(self.sliderPosition()))

    def show_wave(self, wave: Peaks | None) -> None:
        """Show a waveform (N,), 0..1, along the whole line; None for none."""
        self._wave = wave
        self.setFixedHeight(LOW if wave is None else HIGH)
        self.update()

    @property
    def wave(self) -> Peaks | None:
        """The waveform shown, or None."""
        return self._wave

    def show_place(self, position: int, duration: int) -> None:
        """Show a position without a signal; ignored while the user drags."""
        if self.isSliderDown():
            return
        before = self.blockSignals(True)
        self.setRange(0, max(1, duration))
        self.setValue(position)
        self.blockSignals(before)
        self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Jump to the mouse position, then follow it."""
        if event.button() == Qt.MouseButton.LeftButton:
            self.setSliderDown(True)
            self._follow(event.position().x())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Follow the mouse."""
        if self.isSliderDown():
            self._follow(event.position().x())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Stop following the mouse."""
        self.setSliderDown(False)

    def _follow(self, x: float) -> None:
        share = min(max((x - SIDE) / max(1.0, self.width() - 2.0 * SIDE), 0.0), 1.0)
        self.setSliderPosition(round(share * self.maximum()))
        self.sought.emit(self.sliderPosition())
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Draw the track, the part played and the handle."""
        c = colours()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        middle, span = self.height() / 2, self.width() - 2.0 * SIDE
        at = SIDE + span * self.sliderPosition() / max(1, self.maximum())
        if self._wave is None:
            painter.setBrush(QColor(c.line))
            painter.drawRoundedRect(QRectF(SIDE, middle - 2, span, 4), 2, 2)
            painter.setBrush(QColor(c.accent))
            painter.drawRoundedRect(QRectF(SIDE, middle - 2, at - SIDE, 4), 2, 2)
        else:
            self._draw_wave(painter, self._wave, at)
        if self.hasFocus():
            halo = QColor(c.accent)
            halo.setAlpha(80)
            painter.setBrush(halo)
            painter.drawEllipse(QPointF(at, middle), 9, 9)
        painter.setBrush(QColor(c.text))
        if self._wave is not None:
            painter.drawRect(QRectF(at - 0.75, 0, 1.5, self.height()))
        painter.drawEllipse(QPointF(at, middle), 5.5, 5.5)

    def _draw_wave(self, painter: QPainter, wave: Peaks, at: float) -> None:
        """Draw one bar for each few pixels; those before the play head in the accent colour."""
        c, middle, count = colours(), self.height() / 2, max(1, (self.width() - 2 * SIDE) // BAR)
        edges = np.linspace(0, len(wave), count + 1).astype(int)
        for number, (first, last) in enumerate(pairwise(edges)):
            x = SIDE + number * BAR
            half = max(0.75, (middle - 2) * float(wave[first : max(last, first + 1)].max()))
            painter.setBrush(QColor(c.accent if x < at else c.faint))
            painter.drawRect(QRectF(x, middle - half, BAR - 1, 2 * half))
