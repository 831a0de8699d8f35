"""Choice box: a drop-down for long names with a button beside it, as every picker shows one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QStyle, QStyleOptionComboBox, QStylePainter, QWidget

from volumen.plugin.editors import leave_the_wheel_alone

if TYPE_CHECKING:
    from qtpy.QtGui import QPaintEvent

_MARGIN = 8  # px beside a name


class _Combo(QComboBox):
    """A box that shortens a long name in its middle: names of runs differ at their ends."""

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw the box and as much of the name as fits."""
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        if self.currentIndex() < 0:
            option.currentText = self.placeholderText()
        style = self.style()
        painter = QStylePainter(self)
        if style is not None:
            field = QStyle.SubControl.SC_ComboBoxEditField
            room = style.subControlRect(QStyle.ComplexControl.CC_ComboBox, option, field, self).width() - _MARGIN
            middle = Qt.TextElideMode.ElideMiddle
            option.currentText = self.fontMetrics().elidedText(option.currentText, middle, room)
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)


def choice_box(tip: str) -> QComboBox:
    """Make an empty one."""
    box = _Combo()
    box.setToolTip(tip)
    box.setMinimumContentsLength(12)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    leave_the_wheel_alone(box)
    return box


def choose(box: QComboBox, words: str, data: Any) -> None:
    """Choose what has these data, adding it where it is not listed."""
    row = next((row for row in range(box.count()) if box.itemData(row) == data), -1)
    if row < 0:
        box.addItem(words, data)
        row = box.count() - 1
    box.setCurrentIndex(row)


def in_a_row(widget: QWidget, main: QWidget, button: QWidget) -> None:
    """Lay out a widget as a picker with its button."""
    row = QHBoxLayout(widget)
    row.setContentsMargins(0, 0, 0, 0)
    row.addWidget(main, stretch=1)
    row.addWidget(button)
