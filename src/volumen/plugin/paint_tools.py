"""PaintTools: the buttons of one painting: what to paint, how broad, and what to do with what is painted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QButtonGroup, QGroupBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout
from superqt import QLabeledSlider

from volumen.plugin.paint_layers import COLORS
from volumen.sources.labels.painted import BACKGROUND, INK, UNLABELLED

if TYPE_CHECKING:
    from volumen.plugin.painting import Painting

KEYS = {"2": INK, "1": BACKGROUND, "0": UNLABELLED, "E": UNLABELLED}
"""Which key chooses which class."""

_CLASSES = {
    INK: ("Ink [2]", "Paint where there is ink"),
    BACKGROUND: ("Background [1]", "Paint where there is certainly no ink; what is not labelled teaches nothing"),
    UNLABELLED: ("Not labelled [0]", "Take labels away; also E. Neither ink nor background, so not learned from"),
}
_LARGEST_BRUSH = 1000  # px
_NO_COLOR = "#808080"


class PaintTools(QGroupBox):
    """Buttons that say what was asked for; what they show is told to them by `tell`.

    ``chosen`` carries a class, ``resized`` the brush's diameter in pixels.
    """

    chosen = Signal(int)
    resized = Signal(int)
    view_is_background = Signal()
    kept = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._classes = QButtonGroup(self)
        row = QHBoxLayout()
        row.setSpacing(2)
        for label, (name, tip) in _CLASSES.items():
            button = QPushButton(name)
            button.setToolTip(tip)
            button.setCheckable(True)
            button.setStyleSheet(f"border-bottom: 4px solid {COLORS.get(label, _NO_COLOR)}; padding: 5px 3px")
            self._classes.addButton(button, label)
            row.addWidget(button)
        self._classes.idClicked.connect(self.chosen.emit)
        self._brush = QLabeledSlider(Qt.Orientation.Horizontal)
        self._brush.setRange(1, _LARGEST_BRUSH)
        self._brush.setToolTip("Diameter of the brush, in pixels of the segment; also the keys [ and ]")
        self._brush.valueChanged.connect(self.resized.emit)
        size = QHBoxLayout()
        size.addWidget(QLabel("Brush"))
        size.addWidget(self._brush)
        self._background = QPushButton("Whole view is background")
        self._background.setToolTip(
            "Label all that you see and have not labelled as background. Unlabelled is not background: training "
            "learns from labelled pixels only, and needs both classes. Ctrl+Z takes it back."
        )
        self._background.clicked.connect(lambda _checked=False: self.view_is_background.emit())
        self._version = QLabel()
        self._version.setWordWrap(True)
        self._keep = QPushButton("Keep this version")
        self._keep.setToolTip(
            "Leave the labels as they are now for ever; your next stroke begins another version. "
            "Training does this by itself."
        )
        self._keep.clicked.connect(lambda _checked=False: self.kept.emit())
        column = QVBoxLayout(self)
        column.addLayout(row)
        column.addLayout(size)
        for part in (self._background, self._version, self._keep):
            column.addWidget(part)

    def tell(self, painting: Painting) -> None:
        """Show the class and brush that are in the hand, and the version that is painted on."""
        label = UNLABELLED if str(painting.layer.mode) == "erase" else int(painting.layer.selected_label)
        button = self._classes.button(label)
        if button is not None:
            button.setChecked(True)
        self._brush.blockSignals(True)  # showing a size must not set it: a larger one would be cut
        self._brush.setValue(int(painting.layer.brush_size))
        self._brush.blockSignals(False)
        status = painting.status
        self._version.setText(status.shown_version)
        self._keep.setEnabled(not status.kept)
        for each in (self._background, *self._classes.buttons()):
            each.setEnabled(not status.hindrance)

    @property
    def words(self) -> str:
        """What is said of the version, as it is shown."""
        return self._version.text()
