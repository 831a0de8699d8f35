"""PaintWidget: paint ink, background and nothing at all on a segment of any size; strokes save themselves."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.notifications import show_error
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication, QComboBox, QLabel, QPushButton, QVBoxLayout, QWidget

from volumen.errors import VolumenError
from volumen.plugin.asking import Asking
from volumen.plugin.beginning import Beginning
from volumen.plugin.colors import BAD, DOUBTFUL
from volumen.plugin.field_names import for_forms
from volumen.plugin.layers import origin_of
from volumen.plugin.paint_layers import class_colormap
from volumen.plugin.paint_tools import KEYS, PaintTools
from volumen.plugin.painted_window import Grid
from volumen.plugin.painting import Painting, painting_of
from volumen.plugin.pickers import segment_layers
from volumen.plugin.preferences import preferences
from volumen.sources.labels.painted import INK, open_painted
from volumen.sources.open import open_segment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from volumen.windows import Window

_TICK = 100  # ms
_ONE = threading.Lock()  # two that begin the same version at once would clear each other's drafts


class PaintWidget(QWidget):
    """Begin to paint on a segment, choose what to paint, and see that it is saved.

    Parameters
    ----------
    napari_viewer
        Whose segments can be painted on.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._asking = Asking(self, self._opened)
        self._said = ""  # of a segment that is not painted on: what goes on, or went wrong
        self._lay_out()
        layers = napari_viewer.layers.events
        for event in (layers.inserted, layers.removed, layers.reordered):
            event.connect(self._list_segments)
        napari_viewer.layers.selection.events.active.connect(self._follow_selection)
        self._list_segments()
        self._shown = QTimer(self)
        self._shown.timeout.connect(self._tell)
        self._shown.start(3 * _TICK)
        self._follow_selection()

    @property
    def painting(self) -> Painting | None:
        """What is painted on: the selected layer's, else that of the segment that is chosen."""
        active = painting_of(self._viewer.layers.selection.active)
        if active is not None and not active.closed:
            return active
        return self._painting_on(self._segments.currentData())

    @property
    def words(self) -> str:
        """What is said, as it is shown."""
        said = (self._state.text(), self._hindrance.text(), self._tools.words)
        return "\n".join(text for text in said if text)

    def start(self) -> None:
        """Begin to paint on the segment that is chosen, or go on; labels are read away from the window."""
        painting = self.painting
        path = self._segments.currentData()
        if painting is not None and painting.origin.path == path:
            self._take_up(painting)
            return
        layer = self._layer(path)
        if layer is None or self._asking.waiting:
            return
        cache = preferences().cache
        self._asking.ask(
            _read,
            path,
            Grid.of(layer).view(self._viewer),
            cache,
            then=lambda beginning: self._begin(path, beginning, cache),
            words="Reading the labels",
        )
        self._start.setEnabled(False)
        self._said = "Reading the labels …"
        self._tell()

    def keep(self) -> None:
        """Keep this version as it is, and let later strokes go to the next."""
        painting = self.painting
        if painting is not None:
            self._try(painting.freeze)
            self._tell()

    def label_view_as_background(self) -> None:
        """Make all that the view shows and nobody has labelled background."""
        painting = self.painting
        if painting is not None:
            painting.label_view_as_background()

    def choose(self, label: int) -> None:
        """Choose what to paint, and take up the brush unless a tool that paints is in the hand."""
        painting = self.painting
        if painting is not None and not painting.status.hindrance:
            self._viewer.layers.selection.active = painting.layer
            _choose(painting, label)

    def hideEvent(self, event: Any) -> None:
        """Write what is not saved yet: napari hides its docks when it closes."""
        for painting in self._paintings():
            self._try(painting.flush)
        super().hideEvent(event)

    def _painting_on(self, path: str | None) -> Painting | None:
        return next((found for found in self._paintings() if found.origin.path == path), None)

    def _paintings(self) -> list[Painting]:
        every = [painting_of(layer) for layer in self._viewer.layers]
        return [found for found in every if found is not None and not found.closed]

    def _begin(self, path: str, beginning: Beginning, cache: Path) -> None:
        self._opened("")
        if self._segments.currentData() != path:
            return  # another was chosen meanwhile
        begun = self._painting_on(path)  # by another widget, in the meantime
        if begun is not None:
            self._take_up(begun)
            return
        layer = self._layer(path)
        origin = origin_of(layer)
        if layer is None or origin is None:
            return  # it was removed in the meantime
        painting = self._try(lambda: Painting(self._viewer, beginning, layer, origin, rescued=cache))
        if painting is not None:
            _keep_ticking(painting, _main_window(self))
            self._bind_keys(painting)
            self._take_up(painting)

    def _layer(self, path: str | None) -> Any:
        """Return the layer of a segment, None where it is not open."""
        return segment_layers(self._viewer).get(path or "")

    def _take_up(self, painting: Painting) -> None:
        self._viewer.layers.selection.active = painting.layer
        painting.tick()
        self.choose(INK)
        self._tell()

    def _opened(self, words: str) -> None:
        self._start.setEnabled(self._segments.count() > 0)
        self._said = for_forms(words)
        self._tell()

    def _bind_keys(self, painting: Painting) -> None:
        """Let keys choose classes while the painting is selected; elsewhere they keep their meaning."""
        for key, label in KEYS.items():
            painting.layer.bind_key(key, _chooser(painting, label), overwrite=True)

    def _try(self, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except (VolumenError, OSError) as error:
            show_error(str(error))
            return None

    def _list_segments(self, _event: Any = None) -> None:
        """Offer the segments that are open, each once."""
        before = self._segments.currentData()
        self._segments.clear()
        for path, layer in segment_layers(self._viewer).items():
            self._segments.addItem(layer.name, path)
        self._segments.setCurrentIndex(max(0, self._segments.findData(before)))
        self._start.setEnabled(self._segments.count() > 0 and not self._asking.waiting)
        self._tell()

    def _follow_selection(self, _event: Any = None) -> None:
        origin = origin_of(self._viewer.layers.selection.active)
        index = -1 if origin is None else self._segments.findData(origin.path)
        if index >= 0:
            self._segments.setCurrentIndex(index)
        self._tell()

    def _tell(self) -> None:
        """Say how things stand."""
        painting = self.painting
        self._tools.setVisible(painting is not None)
        self._start.setVisible(painting is None)
        if painting is None:
            none = self._segments.count() == 0 and not self._asking.waiting
            self._state.setText("Open a segment first, with the Segment widget or File > Open." if none else self._said)
            wrong = bool(self._said) and not self._asking.waiting
            self._state.setStyleSheet(f"color: {BAD}" if wrong else "")
            self._hindrance.setText("")
        else:
            status = painting.status
            self._state.setText(status.saved)
            self._state.setStyleSheet(f"color: {BAD}" if status.error else "")
            self._hindrance.setText(status.hindrance)
            self._tools.tell(painting)
        self._hindrance.setVisible(bool(self._hindrance.text()))

    def _resize_brush(self, pixels: int) -> None:
        painting = self.painting
        if painting is not None:
            painting.layer.brush_size = pixels

    def _lay_out(self) -> None:
        self._segments = QComboBox()
        self._segments.setPlaceholderText("none open")
        self._segments.setToolTip("The segment to paint on")
        self._start = QPushButton("Start painting")
        self._start.setToolTip("Paint on this segment, from the labels it has; their files stay as they are")
        self._start.clicked.connect(lambda _checked=False: self.start())
        self._state, self._hindrance = _words(), _words()
        self._hindrance.setStyleSheet(f"color: {DOUBTFUL}")
        self._segments.currentIndexChanged.connect(lambda _index: self._tell())
        self._tools = PaintTools()
        self._tools.chosen.connect(self.choose)
        self._tools.resized.connect(self._resize_brush)
        self._tools.view_is_background.connect(self.label_view_as_background)
        self._tools.kept.connect(self.keep)
        column = QVBoxLayout(self)
        column.setAlignment(Qt.AlignmentFlag.AlignTop)
        for part in (self._segments, self._start, self._tools, self._hindrance, self._state):
            column.addWidget(part)


def _read(path: str, view: Window | None, cache: Path) -> Beginning:
    """Open the labels of a segment, and read what the first view needs."""
    class_colormap().map(np.arange(INK + 1, dtype=np.uint8))  # compiles, which would hold the window up later
    with _ONE:
        labels = open_painted(open_segment(path), elsewhere=cache / "labels")
        return Beginning.read(labels, view, source=path, rescued=cache)


def _main_window(widget: QWidget) -> QWidget | None:
    """Return the window that a widget is docked in, also where its dock floats."""
    above = widget.parentWidget()
    while above is not None and above.parentWidget() is not None:
        above = above.parentWidget()
    return above


def _keep_ticking(painting: Painting, window: QWidget | None) -> None:
    """Let a painting save and follow the view until it or the window is closed, also without the widget."""
    application = QApplication.instance()
    timer = QTimer(application)

    def tick() -> None:
        if not painting.closed:
            painting.tick()
            return
        timer.stop()
        timer.deleteLater()
        if application is not None:
            application.aboutToQuit.disconnect(painting.close)

    timer.timeout.connect(tick)
    timer.start(_TICK)
    if application is not None:
        application.aboutToQuit.connect(painting.close)
    if window is not None:  # the application may live on
        window.destroyed.connect(painting.close)


def _choose(painting: Painting, label: int) -> None:
    layer = painting.layer
    layer.selected_label = label
    if str(layer.mode) not in ("paint", "fill", "polygon") and not painting.status.hindrance:
        layer.mode = "paint"


def _chooser(painting: Painting, label: int) -> Callable[[Any], None]:
    return lambda _layer: _choose(painting, label)


def _words() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    return label
