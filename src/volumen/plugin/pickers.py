"""Pickers: segments to work on, one or several, chosen among layers or by path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QSizePolicy, QWidget

from volumen.plugin.choice_box import choice_box, choose, in_a_row
from volumen.plugin.editors import browse_button
from volumen.plugin.layers import origin_of

if TYPE_CHECKING:
    from collections.abc import Callable

_PATH = Qt.ItemDataRole.UserRole
_ROWS = 3


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
        in_a_row(self, self._list, browse_button(self, self.add))
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
        self._box = choice_box("The segment to read; those that are open in napari are listed")
        self._box.setPlaceholderText("none open")
        self._box.currentIndexChanged.connect(lambda _: self.changed.emit())
        in_a_row(self, self._box, browse_button(self, self.add))
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
        choose(self._box, path, path)

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


def _path(item: QListWidgetItem) -> str:
    return str(item.data(_PATH))


def _follow_layers(viewer: Any, widget: QWidget, refresh: Callable[[], None]) -> None:
    """Refresh a widget whenever layers come or go, for as long as it is there."""
    events = viewer.layers.events

    def heard(event: Any = None) -> None:
        refresh()

    for signal in (events.inserted, events.removed, events.reordered):
        signal.connect(heard)
        widget.destroyed.connect(lambda _=None, signal=signal: signal.disconnect(heard))
