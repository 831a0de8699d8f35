"""SearchWidget: click on a place, and the places that look most like it are marked, to step through."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QPushButton

from volumen.errors import SettingsError
from volumen.events import Finished
from volumen.plugin.editors import PathLine
from volumen.plugin.layers import origin_of
from volumen.plugin.painted_window import Grid
from volumen.plugin.pickers import segment_layers
from volumen.plugin.place_steps import PlaceOnLayer, PlaceSteps
from volumen.plugin.places import extent
from volumen.plugin.preferences import preferences
from volumen.plugin.task_widget import TaskWidget
from volumen.plugin.trained import propose
from volumen.sources.index.window_index import find_indices

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from qtpy.QtGui import QHideEvent

    from volumen.events import Event

LAYER = "places alike"
_FAINTEST = 0.2  # opacity of a frame, at least
_CLICK = 4.0  # px of the screen: a mouse that moved further was dragging
_WAITING = "Click on a place…"
_PICK = "Find what looks like…"


class SearchWidget(TaskWidget):
    """Find places that look like one that is clicked on.

    Parameters
    ----------
    napari_viewer
        The viewer.
    """

    def __init__(self, napari_viewer: Any) -> None:
        self.index = PathLine("folder of an index")
        self.pick = QPushButton(_PICK)
        self.pick.setCheckable(True)
        self.pick.setToolTip("Press, then click on a segment: the places that look most like that one are searched for")
        self.steps = PlaceSteps(napari_viewer, "Nothing was searched for yet.")
        self._spot: tuple[str, int, int] | None = None
        self._segment: Any = None
        super().__init__(
            napari_viewer,
            verb="search",
            about="Find places that look alike. Press the button, click on a place, and go through what was found.",
            inputs={"Index": self.index, "Place": self.pick, "Found": self.steps},
            basic=("k", "comparison"),
            hidden=("index", "at"),
            presets={},
        )
        self.pick.toggled.connect(self._wait_for_click)
        self._asking.ask(find_indices, preferences().runs, then=self._looked)

    def given(self) -> dict[str, Any]:
        """Return the index and the place."""
        self._propose_index(self.read or [])
        index = self.index.value()
        if not index:
            raise SettingsError("There is no index yet. Make one with the Index widget, or choose its folder.")
        if self._spot is None:
            raise SettingsError(f"Which place? Press “{_PICK}” and click on a segment.")
        return {"index": str(index), "at": (self._spot,)}

    def ahead(self) -> tuple[Any, ...] | None:
        """Return what looks for an index, where none was given."""
        return None if self.index.value() else (find_indices, preferences().runs)

    def proposed_out(self) -> Path:
        """Return a free path for what is found."""
        return propose(preferences().runs, "search")

    def search_at(self, layer: Any, y: int, x: int) -> None:
        """Search for what looks like a pixel of a segment's layer."""
        origin = origin_of(layer)
        if origin is not None:
            self._spot, self._segment = (origin.path, y, x), layer
            self.start()

    def hear(self, event: Event) -> None:
        """Show what was found."""
        if isinstance(event, Finished) and "places" in event.result:
            self._show(event.result)

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Wait for no click any more: nobody would see what for."""
        super().hideEvent(event)
        self.pick.setChecked(False)

    def _wait_for_click(self, on: bool) -> None:
        """Say that a click is waited for, listen for it, and put brushes away: that click is not to paint."""
        self.pick.setText(_WAITING if on else _PICK)
        heard = self.viewer.mouse_drag_callbacks
        if on:
            heard.append(self._clicked)
        elif self._clicked in heard:
            heard.remove(self._clicked)  # the viewer holds on to the widget for no longer than that
        active = self.viewer.layers.selection.active
        if on and active is not None:
            active.mode = "pan_zoom"

    def _show(self, result: Any) -> None:
        """Mark the places that lie on the segment that was clicked on; others are counted."""
        layer = self._segment
        origin = origin_of(layer)
        if origin is None or layer not in self.viewer.layers:
            return
        mine = [place for place in result["places"] if place["segment"] == origin.name]
        places = [PlaceOnLayer.of(place) for place in mine]
        elsewhere = len(result["places"]) - len(places)
        if elsewhere:
            self._say(f"{elsewhere} of the places are on other segments; open the results folder to see them.")
        for former in [each for each in self.viewer.layers if each.name == LAYER]:
            self.viewer.layers.remove(former)
        grid = Grid.of(layer)
        marks = None
        if places:
            marks = self.viewer.add_points(
                [place.centre for place in places],
                name=LAYER,
                size=places[0].side,
                symbol="square",
                face_color="transparent",
                border_color=[_orange(place, places[0]) for place in places],
                border_width=0.04,
                scale=grid.scale,
                translate=grid.translate,
                units=tuple(layer.units[-2:]),
                features={"rank": [place.rank for place in places]},
                text={"string": "{rank}", "size": 10, "color": "orange", "anchor": "upper_left"},
            )
        self.steps.set_places(places, grid, marks)

    def _clicked(self, viewer: Any, event: Any) -> Generator[None, None, None]:
        """Take a click, and leave a drag to napari."""
        start = tuple(event.pos) if getattr(event, "pos", None) is not None else (0.0, 0.0)
        yield
        while event.type == "mouse_move":
            yield
        end = tuple(event.pos) if getattr(event, "pos", None) is not None else (0.0, 0.0)
        if self.pick.isChecked() and math.dist(start[:2], end[:2]) <= _CLICK:
            self._take(tuple(event.position))

    def _take(self, position: tuple[float, ...]) -> None:
        """Search at a point of the world, on the segment that lies there, the selected one before others."""
        layers = list(segment_layers(self.viewer).values())
        active = self.viewer.layers.selection.active
        for layer in sorted(layers, key=lambda each: each is not active):
            grid = Grid.of(layer)
            y, x = (
                round((place - start) / edge)
                for place, start, edge in zip(position[-2:], grid.translate, grid.scale, strict=True)
            )
            height, width = extent(layer)
            if 0 <= y < height and 0 <= x < width:
                self.pick.setChecked(False)
                self.search_at(layer, y, x)
                return
        self._say("There is no segment under that click. Click on one, or open one first.", wrong=True)

    def _looked(self, found: Sequence[Path]) -> None:
        self._propose_index(found)
        self._look_busy()

    def _propose_index(self, found: Sequence[Path]) -> None:
        """Take the first of the indices that were found, the latest, where none was given."""
        if found and not self.index.value():
            self.index.set_value(str(found[0]))


def _orange(place: PlaceOnLayer, best: PlaceOnLayer) -> tuple[float, float, float, float]:
    """Return the colour of a place's frame, RGBA: fainter, the less alike it is beside the best one."""
    most, mine = best.scores.get("score", 0.0), place.scores.get("score", 0.0)
    return (1.0, 0.65, 0.0, max(_FAINTEST, min(1.0, mine / most)) if most > 0 else 1.0)
