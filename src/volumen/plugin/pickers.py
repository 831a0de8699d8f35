"""Pickers: segments to work on and weights to begin with, chosen among layers and runs, or by path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Qt, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QWidget,
)

from volumen.errors import SettingsError
from volumen.plugin.asking import Asking
from volumen.plugin.editors import browse_button, leave_the_wheel_alone
from volumen.plugin.layers import origin_of
from volumen.plugin.trained import Trained, find_trained, weights_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from qtpy.QtGui import QHideEvent, QPaintEvent, QShowEvent

_PATH = Qt.ItemDataRole.UserRole
_ROWS = 3
_MARGIN = 8  # px beside a name
_LOOK = 1500  # ms between looks for weights that came
_LOOKING, _NONE = "looking for runs…", "none yet"


def segment_layers(viewer: Any) -> dict[str, Any]:
    """Return the layers that show a segment, by the path that it was opened from."""
    layers: dict[str, Any] = {}
    for layer in viewer.layers:
        origin = origin_of(layer)
        if origin is not None and origin.kind == "segment":
            layers.setdefault(origin.path, layer)
    return layers


class SegmentList(QWidget):
    """Any number of segments: those that are open, ticked or not, and others by path."""

    changed = Signal()

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._list = QListWidget()
        self._list.setFixedHeight(_ROWS * (self._list.fontMetrics().lineSpacing() + 8) + 8)
        self._list.setToolTip("Tick the segments to use; those that are open in napari are listed")
        self._list.itemChanged.connect(lambda _: self.changed.emit())
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        _in_a_row(self, self._list, browse_button(self, self.add))
        _follow_layers(viewer, self, self._refresh)
        self._refresh()

    def paths(self) -> list[str]:
        """Return the paths of the segments that are ticked."""
        return [_path(item) for item in self._items() if item.checkState() == Qt.CheckState.Checked]

    def add(self, path: str) -> None:
        """List a segment that is not open, ticked; one that is listed is ticked."""
        if path in map(_path, self._items()):
            self.tick(path)
            return
        self._append(path, path, ticked=True)
        self.changed.emit()

    def layer(self) -> Any:
        """Return the layer of the first ticked segment that is open, None where none is."""
        layers = segment_layers(self._viewer)
        return next((layers[path] for path in self.paths() if path in layers), None)

    def tick(self, path: str, ticked: bool = True) -> None:
        """Tick a segment that is listed, or untick it."""
        for item in self._items():
            if _path(item) == path:
                item.setCheckState(Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked)

    def _refresh(self) -> None:
        """List what is open; ticks and added paths stay, and the first segment comes ticked."""
        layers = segment_layers(self._viewer)
        with QSignalBlocker(self._list):
            for item in self._items():
                gone = item.data(_PATH + 1) and _path(item) not in layers
                if gone:
                    self._list.takeItem(self._list.row(item))
            for path, layer in layers.items():
                if path not in map(_path, self._items()):
                    self._append(layer.name, path, ticked=self._list.count() == 0, layer=True)
        self.changed.emit()

    def _append(self, words: str, path: str, *, ticked: bool, layer: bool = False) -> None:
        item = QListWidgetItem(words)
        item.setData(_PATH, path)
        item.setData(_PATH + 1, layer)
        item.setToolTip(path)
        item.setCheckState(Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked)
        self._list.addItem(item)

    def _items(self) -> list[QListWidgetItem]:
        found = (self._list.item(row) for row in range(self._list.count()))
        return [item for item in found if item is not None]


class SegmentChoice(QWidget):
    """One segment: an open one, or another by path."""

    changed = Signal()

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._box = _combo("The segment to read; those that are open in napari are listed")
        self._box.setPlaceholderText("none open")
        self._box.currentIndexChanged.connect(lambda _: self.changed.emit())
        _in_a_row(self, self._box, browse_button(self, self.add))
        _follow_layers(viewer, self, self._refresh)
        self._refresh()

    def path(self) -> str | None:
        """Return the segment's path, None where there is none to choose."""
        path: str | None = self._box.currentData()
        return path

    def layer(self) -> Any:
        """Return the segment's layer, None where it is not open."""
        return segment_layers(self._viewer).get(self.path() or "")

    def add(self, path: str) -> None:
        """Choose a segment by its path, open or not."""
        _choose(self._box, path, path)

    def _refresh(self) -> None:
        chosen = self.path()
        layers = segment_layers(self._viewer)
        rows = range(self._box.count())
        others = [str(self._box.itemData(row)) for row in rows if self._box.itemText(row) == self._box.itemData(row)]
        with QSignalBlocker(self._box):
            self._box.clear()
            for path, layer in layers.items():
                self._box.addItem(layer.name, path)
            for path in others:
                if path not in layers:
                    self._box.addItem(path, path)
            self._box.setCurrentIndex(max(0, self._box.findData(chosen)))
        self.changed.emit()


class WeightsChoice(QWidget):
    """Weights: nothing, those of a run, or a file.

    Parameters
    ----------
    runs
        Returns the folder to look for runs in.
    verbs
        What runs may have been made by.
    none
        Words for no weights; without them some must be chosen, and the latest run comes chosen.
    words
        What to call a run, by its verb.
    """

    changed = Signal()

    def __init__(
        self, runs: Callable[[], Path], *verbs: str, none: str | None = None, words: dict[str, str] | None = None
    ) -> None:
        super().__init__()
        self._runs, self._verbs, self._none, self._words = runs, verbs, none, words or {}
        self._picked = False
        self._seen: _Weights | None = None
        self._asking = Asking(self, lambda _words: None)
        self._box = _combo("Weights of a run in the runs folder, the latest first, or of a file")
        self._box.activated.connect(lambda _: self._pick())
        self._box.currentIndexChanged.connect(lambda _: self.changed.emit())
        _in_a_row(self, self._box, browse_button(self, self.add))
        self._clock = QTimer(self)
        self._clock.setInterval(_LOOK)
        self._clock.timeout.connect(self._look)
        self._fill(None)
        self.refresh()

    @property
    def looking(self) -> bool:
        """Whether the runs are about to be listed."""
        return self._seen is None

    def path(self) -> str | None:
        """Return the file of the weights, None for none."""
        data = self._box.currentData()
        return data[0] if data else None

    def needed(self, otherwise: str) -> str:
        """Return the file of the weights.

        Raises
        ------
        SettingsError
            There is none to choose, which ``otherwise`` says, or it is not known yet whether there is.
        """
        path = self.path()
        if path is None and self.looking:
            raise SettingsError(
                "The runs folder is still being looked through. Try again in a moment, or choose a file with the "
                "… button."
            )
        if path is None:
            raise SettingsError(otherwise)
        return path

    def verb(self) -> str:
        """Return what made the weights, empty for a file, whose maker is not known."""
        data = self._box.currentData()
        return data[1] if data else ""

    def add(self, path: str) -> None:
        """Choose weights by path: a file or a run folder."""
        self._picked = True
        _choose(self._box, path, (path, ""))

    def choose(self, run: Path) -> None:
        """Choose a run of the list."""
        wanted = str(Trained(run, "").weights)
        for row in range(self._box.count()):
            data = self._box.itemData(row)
            if data and data[0] == wanted:
                self._picked = True
                self._box.setCurrentIndex(row)

    def refresh(self) -> None:
        """List the runs again, as a thread finds them."""
        self._seen = None
        self._ask()

    def showEvent(self, event: QShowEvent | None) -> None:
        """Look for runs that come, from now on."""
        super().showEvent(event)
        self._look()
        self._clock.start()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Look no more."""
        super().hideEvent(event)
        self._clock.stop()

    def _look(self) -> None:
        """List runs that came meanwhile; a widget behind a tab, or beside the others, is not shown anew for them."""
        if not self._asking.waiting:  # a slow folder is looked through once after the other
            self._ask()

    def _ask(self) -> None:
        self._asking.ask(_look_through, self._runs(), self._verbs, self._seen, then=self._take)

    def _take(self, found: tuple[_Weights, list[Trained]] | None) -> None:
        """List what was found; None where nothing changed."""
        if found is None or found[0].runs != self._runs():
            return  # of a folder that is preferred no more: the next look is at the other
        popup = self._box.view()
        if popup is not None and popup.isVisible():
            return  # a person chooses from it just now: the next look finds it again
        self._seen, trained = found
        self._fill(trained)

    def _fill(self, trained: Sequence[Trained] | None) -> None:
        """List runs; what a person chose stays, else the latest is chosen where something must be."""
        before = self._box.currentData() if self._picked else None
        with QSignalBlocker(self._box):
            self._box.clear()
            self._box.setPlaceholderText(_NONE if trained is not None else _LOOKING)
            if self._none is not None:
                self._box.addItem(self._none, None)
                if trained is None:
                    self._box.addItem(_LOOKING, None)
                    self._box.setItemData(1, 0, Qt.ItemDataRole.UserRole - 1)  # how Qt says that it cannot be chosen
            for run in trained or ():
                self._box.addItem(f"{self._words.get(run.verb, '')}{run.name}", (str(run.weights), run.verb))
                self._box.setItemData(self._box.count() - 1, str(run.path), Qt.ItemDataRole.ToolTipRole)
            self._box.setCurrentIndex(0)  # a box with a placeholder does not do so by itself
        if before:
            rows = [row for row in range(self._box.count()) if self._box.itemData(row) == before]
            if rows:
                self._box.setCurrentIndex(rows[0])
            else:
                _choose(self._box, str(before[0]), before)
        self.changed.emit()

    def _pick(self) -> None:
        self._picked = True


@dataclass(frozen=True)
class _Weights:
    """Which weights there are in a runs folder, and when each was written."""

    runs: Path
    written: frozenset[tuple[str, float]]


def _look_through(runs: Path, verbs: Sequence[str], before: _Weights | None) -> tuple[_Weights, list[Trained]] | None:
    """Find the runs that have weights; None where nothing changed since another look."""
    now = _Weights(runs, weights_in(runs))
    return None if now == before else (now, find_trained(runs, *verbs))


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


def _combo(tip: str) -> QComboBox:
    box = _Combo()
    box.setToolTip(tip)
    box.setMinimumContentsLength(12)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    leave_the_wheel_alone(box)
    return box


def _choose(box: QComboBox, words: str, data: Any) -> None:
    """Choose what has these data, adding it where it is not listed."""
    row = next((row for row in range(box.count()) if box.itemData(row) == data), -1)
    if row < 0:
        box.addItem(words, data)
        row = box.count() - 1
    box.setCurrentIndex(row)


def _path(item: QListWidgetItem) -> str:
    return str(item.data(_PATH))


def _in_a_row(widget: QWidget, main: QWidget, button: QWidget) -> None:
    row = QHBoxLayout(widget)
    row.setContentsMargins(0, 0, 0, 0)
    row.addWidget(main, stretch=1)
    row.addWidget(button)


def _follow_layers(viewer: Any, widget: QWidget, refresh: Callable[[], None]) -> None:
    """Refresh a widget whenever layers come or go, for as long as it is there."""
    events = viewer.layers.events

    def heard(event: Any = None) -> None:
        refresh()

    for signal in (events.inserted, events.removed, events.reordered):
        signal.connect(heard)
        widget.destroyed.connect(lambda _=None, signal=signal: signal.disconnect(heard))
