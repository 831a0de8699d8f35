"""PlaceSteps: places of a segment as a layer, one of them chosen; previous and next go there."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from volumen.plugin.parts import button, prose

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from volumen.plugin.painted_window import Grid

_SHARE = 0.25  # of the view's shorter side, which a place takes up where it was too small or too large to see
_LEAST_PX, _MOST_SHARE = 30, 0.6  # of the screen: what is too small, and too large


@dataclass(frozen=True)
class PlaceOnLayer:
    """A box (y0, y1, x0, x1) in pixels of what a layer shows, with its rank and scores.

    Examples
    --------
    >>> place = PlaceOnLayer.of({"rank": 2, "box": [0, 64, 32, 96], "scores": {"score": 0.5}})
    >>> place.centre, place.in_words
    ((31.5, 63.5), 'score 0.5')
    """

    rank: int
    box: tuple[int, int, int, int]
    scores: Mapping[str, float]

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> PlaceOnLayer:
        """Read a place as a job's result holds it; a score that is no number is left out."""
        scores = {name: float(value) for name, value in told["scores"].items() if isinstance(value, int | float)}
        y0, y1, x0, x1 = (int(edge) for edge in told["box"])
        return cls(int(told["rank"]), (y0, y1, x0, x1), scores)

    @property
    def centre(self) -> tuple[float, float]:
        """Y and x of its middle, where whole numbers are middles of pixels, as napari counts."""
        y0, y1, x0, x1 = self.box
        return ((y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2)

    @property
    def corners(self) -> NDArray[np.float64]:
        """Its four corners, (4, 2), as napari counts."""
        y0, y1, x0, x1 = self.box
        return np.array([[y0, x0], [y0, x1], [y1, x1], [y1, x0]]) - 0.5

    @property
    def side(self) -> int:
        """The longer side in pixels."""
        y0, y1, x0, x1 = self.box
        return max(y1 - y0, x1 - x0)

    @property
    def in_words(self) -> str:
        """Its scores, as a person reads them."""
        return ", ".join(f"{name} {value:.3g}" for name, value in self.scores.items())


class PlaceSteps(QWidget):
    """Go from place to place.

    Parameters
    ----------
    viewer
        The viewer.
    none
        Words for when there are no places yet.
    """

    stepped = Signal(int)

    def __init__(self, viewer: Any, none: str) -> None:
        super().__init__()
        self._viewer, self._none = viewer, none
        self._places: tuple[PlaceOnLayer, ...] = ()
        self._layer: Any = None
        self._grid: Grid | None = None
        self._at = -1
        self._words = prose()
        self.previous = button("◀ Previous", "Go to the place before this one", lambda: self.step(-1))
        self.next = button("Next ▶", "Go to the next place", lambda: self.step(1))
        buttons = QHBoxLayout()
        buttons.addWidget(self.previous)
        buttons.addWidget(self.next)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._words)
        column.addLayout(buttons)
        self._say()

    @property
    def place(self) -> PlaceOnLayer | None:
        """Where it stands; None before the first step."""
        return self._places[self._at] if self._at >= 0 else None

    @property
    def words(self) -> str:
        """What it says of where it stands."""
        return str(self._words.text())

    def set_places(self, places: Sequence[PlaceOnLayer], grid: Grid, layer: Any) -> None:
        """Step through other places.

        Parameters
        ----------
        places
            Best first.
        grid
            How their pixels lie in the world.
        layer
            Points or Shapes layer that shows them in the same order; the chosen one is selected in it.
        """
        self._places, self._grid, self._layer, self._at = tuple(places), grid, layer, -1
        self._say()

    def step(self, by: int) -> None:
        """Go on by some places, round and round; the first step leads to the best, or back to the last."""
        count = len(self._places)
        if count:
            self.go(((0 if by > 0 else count - 1) if self._at < 0 else self._at + by) % count)

    def go(self, number: int) -> None:
        """Go to one of the places, counted from 0, and bring it into sight."""
        self._at = number
        place, grid = self._places[number], self._grid
        if grid is not None:
            show_place(self._viewer, place, grid)
        if self._layer is not None and self._layer in self._viewer.layers:
            with suppress(ValueError, IndexError, KeyError):  # a person may have removed some
                self._layer.selected_data = {number}
        self._say()
        self.stepped.emit(number)

    def _say(self) -> None:
        count = len(self._places)
        for each in (self.previous, self.next):
            each.setEnabled(count > 0)
        if self.place is not None:
            self._words.setText(f"{self._at + 1} of {count}: {self.place.in_words}")
        else:
            self._words.setText(f"{count} places; Next goes to the best." if count else self._none)


def show_place(viewer: Any, place: PlaceOnLayer, grid: Grid) -> None:
    """Move the camera to a place; the zoom changes only where the place would be too small or too large to see."""
    world = [start + pixel * edge for start, pixel, edge in zip(grid.translate, place.centre, grid.scale, strict=True)]
    camera = viewer.scene.camera
    camera.center = (*tuple(camera.center)[:-2], *world)
    shorter = float(min(viewer.canvas.size))
    on_screen = place.side * grid.scale[0] * float(camera.zoom)
    if not _LEAST_PX <= on_screen <= _MOST_SHARE * shorter:
        camera.zoom = _SHARE * shorter / (place.side * grid.scale[0])
