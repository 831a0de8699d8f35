"""SuggestWidget: where to label next, as boxes on the segment to step through and paint in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from volumen.errors import SettingsError
from volumen.events import Finished
from volumen.plugin.painted_window import Grid
from volumen.plugin.pickers import SegmentChoice, segment_layers
from volumen.plugin.place_steps import PlaceOnLayer, PlaceSteps
from volumen.plugin.preferences import preferences
from volumen.plugin.task_widget import TaskWidget
from volumen.plugin.trained import FINETUNED, propose
from volumen.plugin.weights_choice import WeightsChoice
from volumen.settings.command import full_path

if TYPE_CHECKING:
    from pathlib import Path

    from volumen.events import Event

LAYER = "label next"
_PX = 3  # width of an outline on the screen, about
PRESETS: dict[str, dict[str, Any]] = {"Careful (4 times as slow)": {"mirror": True}}
"""Settings that belong together."""


class SuggestWidget(TaskWidget):
    """Say which windows of a segment to label next.

    Parameters
    ----------
    napari_viewer
        The viewer.
    """

    def __init__(self, napari_viewer: Any) -> None:
        self.weights = WeightsChoice(lambda: preferences().runs, FINETUNED)
        self.segment = SegmentChoice(napari_viewer)
        self.steps = PlaceSteps(napari_viewer, "Nothing was suggested yet.")
        super().__init__(
            napari_viewer,
            verb="suggest",
            about="Where would labels teach your model most? It looks for windows that it is unsure of and that are "
            "unlike what is labelled. Go through them, and paint with the Paint widget.",
            inputs={"Model": self.weights, "Segment": self.segment, "Suggested": self.steps},
            basic=("n", "window"),
            hidden=("checkpoint", "segment"),
            presets=PRESETS,
        )
        self.segment.changed.connect(self.propose_out)

    def given(self) -> dict[str, Any]:
        """Return model and segment."""
        weights = self.weights.needed(
            "There is no model yet. Fine-tune one first, or choose a checkpoint with the … button."
        )
        path = self.segment.path()
        if path is None:
            raise SettingsError("Choose a segment. Open one first, or give its path with the … button.")
        return {"checkpoint": weights, "segment": path}

    def proposed_out(self) -> Path:
        """Return a free path for the suggestions."""
        layer = self.layer()
        return propose(preferences().runs, "" if layer is None else str(layer.name), "suggestions")

    def layer(self) -> Any:
        """Return the segment's layer, None where it is not open."""
        return self.segment.layer()

    def hear(self, event: Event) -> None:
        """Show the suggestions."""
        if isinstance(event, Finished) and "suggestions" in event.result:
            self._show([PlaceOnLayer.of(place) for place in event.result["suggestions"]])

    def _show(self, places: list[PlaceOnLayer]) -> None:
        """Draw the boxes on the job's segment, if it is open; another may be chosen by now."""
        job = self.panel.job
        wanted = None if job is None else getattr(job.settings, "segment", None)
        shown = segment_layers(self.viewer).items()
        layer = next((layer for path, layer in shown if full_path(path) == wanted), None)
        if layer is None:
            self._say("The suggestions are written; open the segment to see them on it.")
            return
        for former in [each for each in self.viewer.layers if each.name == LAYER]:
            self.viewer.layers.remove(former)
        grid = Grid.of(layer)
        boxes = self.viewer.add_shapes(
            [place.corners for place in places],
            shape_type="rectangle",
            name=LAYER,
            edge_color="yellow",
            face_color="transparent",
            edge_width=_PX,
            scale=grid.scale,
            translate=grid.translate,
            units=tuple(layer.units[-2:]),
            features={"rank": [place.rank for place in places]},
            text={"string": "{rank}", "size": 10, "color": "yellow", "anchor": "upper_left"},
        )
        self.steps.set_places(places, grid, boxes)
