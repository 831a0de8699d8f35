"""PredictWidget: an ink map of a segment, of what is on the screen or of a drawn box, that fills in as it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QComboBox

from volumen.errors import SettingsError, VolumenError
from volumen.events import Started, TileWritten
from volumen.plugin.editors import leave_the_wheel_alone
from volumen.plugin.live_map import LiveMap, MapWatch, show_map, unfinished_layers
from volumen.plugin.pickers import SegmentChoice
from volumen.plugin.places import as_text, centre, seen
from volumen.plugin.preferences import preferences
from volumen.plugin.task_widget import NOT_DRAWN, OF_TRAINING, TaskWidget
from volumen.plugin.trained import FINETUNED, propose
from volumen.plugin.weights_choice import WeightsChoice

if TYPE_CHECKING:
    from pathlib import Path

    from volumen.events import Event
    from volumen.plugin.jobs import Job
    from volumen.windows import Window

WHOLE, SEEN, DRAWN = "The whole segment", "What I see", "A drawn rectangle"

PRESETS: dict[str, dict[str, Any]] = {"Careful (4 times as slow)": {"mirror": True}}
"""Settings that belong together."""


class PredictWidget(TaskWidget):
    """Predict ink with a trained model.

    Parameters
    ----------
    napari_viewer
        The viewer.
    """

    def __init__(self, napari_viewer: Any) -> None:
        self.weights = WeightsChoice(lambda: preferences().runs, FINETUNED)
        self.segment = SegmentChoice(napari_viewer)
        self.where = QComboBox()
        self.where.addItems([WHOLE, SEEN, DRAWN])
        self.where.setToolTip(
            "Where to predict: everywhere, beginning with what you see; only what is on the screen; or only inside the "
            "rectangle that is selected in a Shapes layer, or the last one drawn"
        )
        leave_the_wheel_alone(self.where)
        self._live: LiveMap | None = None
        self._watches: list[MapWatch] = []
        super().__init__(
            napari_viewer,
            verb="predict",
            about="Find ink with a model that you fine-tuned. The ink map fills in while it is computed, first where "
            "you look.",
            inputs={"Model": self.weights, "Segment": self.segment, "Where": self.where},
            basic=("direction", "mirror"),
            hidden=("checkpoint", "segment", "region", "near", *OF_TRAINING),
            presets=PRESETS,
        )
        self.segment.changed.connect(self.propose_out)
        napari_viewer.layers.events.inserted.connect(self._watch_unfinished)
        self._watch_unfinished()

    def given(self) -> dict[str, Any]:
        """Return model, segment, where to predict and where to begin."""
        weights = self.weights.needed(
            "There is no model yet. Fine-tune one first, or choose a checkpoint with the … button."
        )
        path = self.segment.path()
        if path is None:
            raise SettingsError("Choose a segment. Open one first, or give its path with the … button.")
        view = self._view()
        return {
            "checkpoint": weights,
            "segment": path,
            "region": self._region(view),
            "near": None if view is None else centre(view),
        }

    def proposed_out(self) -> Path:
        """Return a free path for a map, named after the segment and the day."""
        layer = self.layer()
        return propose(preferences().runs, "" if layer is None else str(layer.name), "ink", ending=".zarr")

    def layer(self) -> Any:
        """Return the segment's layer, None where it is not open."""
        return self.segment.layer()

    def hear(self, event: Event) -> None:
        """Show the map as soon as it is there, and what is written of it."""
        job = self.panel.job
        if job is None or job.out is None or job.verb != self.verb:
            return
        if isinstance(event, Started) and event.work == "predict":
            self._show_map(job.out)
        elif isinstance(event, TileWritten) and self._live is not None:
            self._live.written(event.box)

    def _ended(self, job: Job) -> None:
        super()._ended(job)
        if self._live is not None:
            self._live.end()

    def _show_map(self, path: Path) -> None:
        self._live = None  # what is written from now on is of no former map
        try:
            self._live = show_map(self.viewer, path)
        except VolumenError as error:  # moved or deleted meanwhile; the job will say so too
            self._say(str(error), wrong=True)
            return
        self._stop_watching(self._live.layer)

    def _view(self) -> Window | None:
        layer = self.layer()
        return None if layer is None else seen(self.viewer, layer)

    def _region(self, view: Window | None) -> str | None:
        """Return the box to predict as the settings read it, None for everywhere."""
        where = self.where.currentText()
        if where == WHOLE:
            return None
        if where == SEEN:
            if view is None:
                raise SettingsError("The segment is not on the screen. Show it in 2D, or choose another place.")
            return as_text(view)
        drawn_box = self.pick_region()
        if drawn_box is None:
            raise SettingsError(NOT_DRAWN)
        return drawn_box

    def _watch_unfinished(self, event: Any = None) -> None:
        """Follow maps that are loaded while another process makes them; of each layer that comes it is asked once."""
        self._watches = [watch for watch in self._watches if watch.watching]
        for layer in unfinished_layers(list(self.viewer.layers) if event is None else [event.value]):
            self._watches.append(MapWatch(self.viewer, layer))

    def _stop_watching(self, layer: Any) -> None:
        """Leave a map of which this widget's job tells itself; those of other processes are followed on."""
        for watch in self._watches:
            if watch.live.layer is layer:
                watch.stop()
        self._watches = [watch for watch in self._watches if watch.watching]
