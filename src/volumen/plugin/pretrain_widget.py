"""PretrainWidget: learn an encoder from segments without labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from volumen.errors import SettingsError
from volumen.plugin.pickers import SegmentList, segment_layers
from volumen.plugin.preferences import preferences
from volumen.plugin.task_widget import TaskWidget
from volumen.plugin.trained import FINETUNED, PRETRAINED, propose
from volumen.plugin.weights_choice import WeightsChoice

if TYPE_CHECKING:
    from pathlib import Path

PRESETS: dict[str, dict[str, Any]] = {
    "Quick look": {"window": "160", "input_size": "128", "encoder_name": "resnet18", "epochs": 20, "batch": 16},
    "As published (SparK)": {"mode": "paper"},
}
"""Settings that belong together."""


class PretrainWidget(TaskWidget):
    """Pretrain an encoder on any number of segments.

    Parameters
    ----------
    napari_viewer
        The viewer.
    """

    def __init__(self, napari_viewer: Any) -> None:
        self.segments = SegmentList(napari_viewer)
        self.weights = WeightsChoice(
            lambda: preferences().runs,
            PRETRAINED,
            FINETUNED,
            none="random weights",
            words={FINETUNED: "encoder of ", PRETRAINED: "encoder of "},
        )
        super().__init__(
            napari_viewer,
            verb="pretrain spark",
            about="Learn what papyrus looks like without labels: parts are hidden, and the encoder learns to fill them "
            "in. Fine-tuning can then begin with it and needs fewer labels.",
            inputs={"Learn from": self.segments, "Start from": self.weights},
            basic=("mode", "layers", "epochs", "learning_rate", "batch"),
            hidden=("segments", "encoder"),
            presets=PRESETS,
        )
        self.segments.changed.connect(self.propose_out)

    def given(self) -> dict[str, Any]:
        """Return segments and the weights to start from."""
        paths = self.segments.paths()
        if not paths:
            raise SettingsError(
                "Tick a segment to learn from. Open one first, or add one by its path with the … button."
            )
        return {"segments": tuple(paths), "encoder": self.weights.path()}

    def proposed_out(self) -> Path:
        """Return a free run folder, named after the segments and the day."""
        paths = self.segments.paths()
        layers = segment_layers(self.viewer)
        names = [str(layers[path].name) for path in paths if path in layers]
        return propose(preferences().runs, names[0] if len(paths) == len(names) == 1 else "", "pretrain")

    def layer(self) -> Any:
        """Return the layer of the first ticked segment that is open."""
        return self.segments.layer()
