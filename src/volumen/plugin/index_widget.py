"""IndexWidget: an index of a segment's windows, so that places that look alike are found with one click."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from volumen.errors import SettingsError
from volumen.plugin.pickers import SegmentList
from volumen.plugin.preferences import preferences
from volumen.plugin.task_widget import OF_TRAINING, TaskWidget
from volumen.plugin.trained import FINETUNED, PRETRAINED, propose
from volumen.plugin.weights_choice import WeightsChoice

if TYPE_CHECKING:
    from pathlib import Path

PRESETS: dict[str, dict[str, Any]] = {
    "Small marks (32 px)": {"window": 32},
    "Finer grid (4 times as slow)": {"window": 64, "stride": 16},
}
"""Settings that belong together."""

_WORDS = {PRETRAINED: "encoder: ", FINETUNED: "model: "}


class IndexWidget(TaskWidget):
    """Index segments with an encoder.

    Parameters
    ----------
    napari_viewer
        The viewer.
    """

    def __init__(self, napari_viewer: Any) -> None:
        self.weights = WeightsChoice(lambda: preferences().runs, PRETRAINED, FINETUNED, words=_WORDS)
        self.segments = SegmentList(napari_viewer)
        super().__init__(
            napari_viewer,
            verb="index",
            about="Note what an encoder sees in every window of a segment, once. Then the Search widget finds places "
            "that look like the one that you click on.",
            inputs={"Encoder": self.weights, "Segments": self.segments},
            basic=("window", "stride"),
            hidden=("segments", "encoder", *OF_TRAINING),
            presets=PRESETS,
        )

    def given(self) -> dict[str, Any]:
        """Return encoder and segments."""
        weights = self.weights.needed(
            "There is no encoder yet. Pretrain one first, or choose a file with the … button."
        )
        paths = self.segments.paths()
        if not paths:
            raise SettingsError("Tick a segment. Open one first, or add its path with the … button.")
        return {"encoder": weights, "segments": tuple(paths)}

    def proposed_out(self) -> Path:
        """Return a free path for an index."""
        return propose(preferences().runs, "index")

    def layer(self) -> Any:
        """Return the layer of the first ticked segment that is open."""
        return self.segments.layer()
