"""LiveMap: the layer of an ink map that fills in while the map is being predicted, at every zoom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer

from volumen.errors import VolumenError
from volumen.plugin.asking import Asking
from volumen.plugin.layers import LayerOrigin, origin_of, prediction_data
from volumen.plugin.lazy import reload
from volumen.plugin.painted_window import Grid
from volumen.plugin.places import meets
from volumen.sources.pyramids.probability_map import open_map

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from volumen.windows import Window

Box = tuple[int, int, int, int]

_EVERY = 250  # ms between refreshes: at 100 ms napari spends half of its time on them
_LOOK = 1000  # ms between looks at the disk


class LiveMap(QObject):
    """Show what is written of a map, at most four times a second, and only where it is on the screen.

    Parameters
    ----------
    viewer
        The napari viewer.
    layer
        A layer of `prediction_data`.
    """

    def __init__(self, viewer: Any, layer: Any) -> None:
        super().__init__()
        self.layer = layer
        self._viewer = viewer
        self._boxes: list[Box] = []
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_EVERY)
        self._timer.timeout.connect(self.show)

    def written(self, box: Box) -> None:
        """Hear that a box (y0, y1, x0, x1) of the map, in pixels, is on disk at every level."""
        self._boxes.append(box)
        if not self._timer.isActive():
            self._timer.start()

    def show(self) -> None:
        """Read again what changed, and draw it if it can be seen."""
        boxes, self._boxes = self._boxes, []
        if self.layer not in self._viewer.layers:
            return
        if self.layer.multiscale:
            reload(self.layer.data)
        if self.layer.visible and meets(Grid.of(self.layer).view(self._viewer), boxes):
            self.layer.refresh(thumbnail=False, highlight=False, extent=False)

    def end(self) -> None:
        """Show the map as it is at last, its thumbnail too."""
        self._timer.stop()
        self._boxes = []
        if self.layer in self._viewer.layers:
            if self.layer.multiscale:
                reload(self.layer.data)
            self.layer.refresh()


class MapWatch(QObject):
    """Follow a map that somebody else is predicting, by looking at what is done of it on disk.

    Parameters
    ----------
    viewer
        The napari viewer.
    layer
        A layer of `prediction_data`.
    """

    def __init__(self, viewer: Any, layer: Any) -> None:
        super().__init__()
        self.live = LiveMap(viewer, layer)
        self._viewer = viewer
        self._path = _map_path(layer)
        self._done: frozenset[Window] = frozenset()
        self._asking = Asking(self, lambda _words: self.stop())  # the map is being replaced or was deleted
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOK)
        self._timer.timeout.connect(self.look)
        self._timer.start()

    @property
    def watching(self) -> bool:
        """Whether it still looks."""
        return self._timer.isActive()

    def look(self) -> None:
        """Let a thread see what came; stop where the map is finished, or its layer or its files are gone."""
        if not self._asking.waiting:
            self._asking.ask(_done, self._path, then=self._take)

    def _take(self, found: tuple[frozenset[Window], bool]) -> None:
        done, finished = found
        for block in done - self._done:
            self.live.written(block.box)
        self._done = done
        if finished:
            self.stop()
            self.live.end()
        elif self.live.layer not in self._viewer.layers:
            self.stop()

    def stop(self) -> None:
        """Look no more."""
        self._timer.stop()
        self._asking.drop()


def show_map(viewer: Any, path: Path) -> LiveMap:
    """Add the layer of a map, finished or not, above the others, or in the place of an older one of the same path."""
    data, options, _ = prediction_data(path)
    for layer in list(viewer.layers):
        if _is_of(layer, path):
            viewer.layers.remove(layer)
    return LiveMap(viewer, viewer.add_image(data, cache=False, **options))


def unfinished_layers(layers: Iterable[Any]) -> Iterator[Any]:
    """Yield those of some layers that show a map that is not finished."""
    for layer in layers:
        origin = origin_of(layer)
        if origin is not None and origin.kind == "prediction" and _unfinished(origin):
            yield layer


def _unfinished(origin: LayerOrigin) -> bool:
    try:
        return not open_map(origin.path).finished
    except (VolumenError, OSError, KeyError):
        return False


def _done(path: str) -> tuple[frozenset[Window], bool]:
    """Return the blocks of a map that are done, and whether it is finished."""
    found = open_map(path)
    return found.done(), found.finished


def _is_of(layer: Any, path: Path) -> bool:
    origin = origin_of(layer)
    return origin is not None and origin.kind == "prediction" and origin.path == str(path)


def _map_path(layer: Any) -> str:
    origin = origin_of(layer)
    return "" if origin is None else origin.path
