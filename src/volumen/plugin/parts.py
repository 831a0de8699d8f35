"""Parts: the buttons, words and columns that widgets are put together from."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLayout, QPushButton, QScrollArea, QVBoxLayout, QWidget
from superqt import QCollapsible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def prose() -> QLabel:
    """Return a label for sentences: it wraps, and can be copied from."""
    label = QLabel()
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def button(text: str, tip: str, clicked: Callable[[], object]) -> QPushButton:
    """Return a button that says what it does."""
    made = QPushButton(text)
    made.setToolTip(tip)
    made.clicked.connect(lambda _checked=False: clicked())
    return made


def collapsible(title: str, *contents: QWidget) -> QCollapsible:
    """Return a part that a click on its title opens."""
    part = QCollapsible()
    part.setExpandedIcon(QIcon())  # superqt draws its signs in black, which napari's dark theme swallows
    part.setCollapsedIcon(QIcon())

    def show(is_open: bool) -> None:
        part.setText(f"{'▼' if is_open else '▶'} {title}")
        part.content().setEnabled(is_open)  # else the Tab key would go through what nobody sees

    part.toggled.connect(show)
    show(False)
    for content in contents:
        part.addWidget(content)
    return part


def tab_through(parts: Iterable[QWidget]) -> None:
    """Let the Tab key go through parts in this order; by itself it goes in the order in which they were made."""
    within = (each for part in parts for each in (part, *part.findChildren(QWidget)) if each.window() is part.window())
    stops = [each for each in within if each.focusPolicy() != Qt.FocusPolicy.NoFocus and each.focusProxy() is None]
    for one, other in pairwise(stops):
        QWidget.setTabOrder(one, other)


def scrolling(widget: QWidget, *parts: QWidget | QLayout) -> None:
    """Lay parts out in a widget from top to bottom, with a scroll bar where the window is too low for them."""
    inside = QWidget()
    column = QVBoxLayout(inside)
    for part in parts:
        if isinstance(part, QWidget):
            column.addWidget(part)
        else:
            column.addLayout(part)
    column.addStretch(1)
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setFrameShape(QScrollArea.Shape.NoFrame)
    area.setWidget(inside)
    outer = QHBoxLayout(widget)
    outer.setContentsMargins(0, 0, 0, 0)
    outer.addWidget(area)
