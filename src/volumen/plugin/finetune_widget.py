"""FinetuneWidget: learn from painted or given labels, beginning at random, at an encoder or at a former run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from volumen.errors import LabelError, SettingsError
from volumen.plugin.layers import rasters_in, rasters_of
from volumen.plugin.painting import painting_of
from volumen.plugin.pickers import SegmentList, segment_layers
from volumen.plugin.preferences import preferences
from volumen.plugin.task_widget import TaskWidget
from volumen.plugin.trained import FINETUNED, PRETRAINED, propose
from volumen.plugin.weights_choice import WeightsChoice
from volumen.sources.location import Location
from volumen.sources.open import open_segment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from volumen.plugin.painting import Painting

    Found = tuple[str, Mapping[str, str]]
    """A segment's name, and where its rasters are."""

PRESETS: dict[str, dict[str, Any]] = {
    "Quick look": {
        "window": 160,
        "input_size": 128,
        "resized_crop": False,
        "views": "flips",
        "encoder_name": "resnet18",
        "epochs": 20,
        "batch": 8,
        "learning_rate": 2e-3,
    },
}
"""Settings that belong together; "Quick look" is what `volumen demo` trains with, minutes on a CPU."""

_FROM_RUN = {FINETUNED: "go on from ", PRETRAINED: "encoder of "}


class FinetuneWidget(TaskWidget):
    """Fine-tune a model on segments with labels.

    Parameters
    ----------
    napari_viewer
        The viewer.
    """

    def __init__(self, napari_viewer: Any) -> None:
        self.segments = SegmentList(napari_viewer)
        self.weights = WeightsChoice(
            lambda: preferences().runs, FINETUNED, PRETRAINED, none="random weights", words=_FROM_RUN
        )
        super().__init__(
            napari_viewer,
            verb="finetune",
            about="Learn to tell ink from papyrus. The labels are what you painted, else those found with the segment; "
            "pixels without a label are not learned from.",
            inputs={"Learn from": self.segments, "Start from": self.weights},
            basic=("layers", "epochs", "learning_rate", "batch", "freeze"),
            hidden=("segments", "encoder", "start"),
            presets=PRESETS,
        )
        self.segments.changed.connect(self.propose_out)

    def given(self) -> dict[str, Any]:
        """Return segments, their painted labels and the weights to start from; strokes are written to disk first."""
        paths = self.segments.paths()
        if not paths:
            raise SettingsError(
                "Tick a segment to learn from. Open one first, or add one by its path with the … button."
            )
        weights = self.weights.path()
        goes_on = weights is not None and self.weights.verb() == FINETUNED
        return {
            "segments": tuple(paths),
            "start": weights if goes_on else None,
            "encoder": None if goes_on else weights,
            **painted_labels(self.viewer, paths, self.read or {}),
        }

    def ahead(self) -> tuple[Any, ...] | None:
        """Return what looks for the labels of segments that are not painted, where another is."""
        unknown = unknown_labels(self.viewer, self.segments.paths())
        return (find_labels, unknown) if unknown else None

    def proposed_out(self) -> Path:
        """Return a free run folder, named after the segment and the day."""
        return propose(preferences().runs, *_names(self.viewer, self.segments.paths()[:1]), "finetune")

    def layer(self) -> Any:
        """Return the layer of the first ticked segment that is open."""
        return self.segments.layer()


def unknown_labels(viewer: Any, paths: Sequence[str]) -> tuple[str, ...]:
    """Return the segments whose labels have to be looked for, since another is being painted; none where none is.

    Of a remote one that is open they are known, as they were when it was opened.
    """
    paintings, layers = _paintings(viewer), segment_layers(viewer)
    if not any(path in paintings for path in paths):
        return ()
    return tuple(path for path in paths if path not in paintings and (path not in layers or Location.of(path).local))


def find_labels(paths: Sequence[str]) -> dict[str, Found]:
    """Open segments, and return the name of each with where its rasters are now; for a thread."""
    segments = {path: open_segment(path) for path in paths}
    return {path: (segment.name, rasters_in(segment)) for path, segment in segments.items()}


def painted_labels(viewer: Any, paths: Sequence[str], found: Mapping[str, Found]) -> dict[str, tuple[str, ...]]:
    """Return the labels to learn from where some segment is being painted; nothing where none is.

    Each painting's strokes are written, and its present version is kept, so that the job's labels never change.

    Parameters
    ----------
    viewer, paths
        The viewer, and the segments to learn from.
    found
        Of `find_labels`, for those of `unknown_labels`.

    Raises
    ------
    LabelError
        Another segment has no labels of its own to stand beside the painted ones.
    """
    paintings, layers = _paintings(viewer), segment_layers(viewer)
    if not any(path in paintings for path in paths):
        return {}
    labels = [_frozen(paintings[path]) if path in paintings else _own(path, layers.get(path), found) for path in paths]
    return {"ink": tuple(ink for ink, _ in labels), "supervision": tuple(trusted for _, trusted in labels)}


def _paintings(viewer: Any) -> dict[str, Painting]:
    """Return the paintings by their segment's path."""
    paintings = (painting_of(layer) for layer in viewer.layers)
    return {painting.origin.path: painting for painting in paintings if painting is not None}


def _frozen(painting: Painting) -> tuple[str, str]:
    labels = painting.freeze()
    return (str(labels.ink), str(labels.supervision))


def _own(path: str, layer: Any, found: Mapping[str, Found]) -> tuple[str, str]:
    """Return a segment's own ink and supervision: as they were found, else as they were when it was opened."""
    if path not in found and layer is None:
        raise SettingsError(f"The labels of {path} were not looked for yet. Start again.")
    name, rasters = found[path] if path in found else (str(layer.name), rasters_of(layer))
    ink, trusted = rasters.get("ink"), rasters.get("supervision") or rasters.get("mask")
    if ink is None or trusted is None:
        raise LabelError(
            f"{name} has no ink label with its supervision, while another segment is painted. Paint on it too, "
            "or untick it."
        )
    return (ink, trusted)


def _names(viewer: Any, paths: Sequence[str]) -> list[str]:
    """Return what segments are called, open or not."""
    layers = segment_layers(viewer)
    return [str(layers[path].name) if path in layers else path.rstrip("/").rsplit("/", 1)[-1] for path in paths]
