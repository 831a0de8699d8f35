"""Layers of a painting: the window that is painted on, and the rest of the segment's labels beneath it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.colormaps import DirectLabelColormap

from volumen.plugin.layers import LayerOrigin
from volumen.sources.labels.painted import BACKGROUND, INK

if TYPE_CHECKING:
    from volumen.plugin.overview import Overview
    from volumen.plugin.painted_window import Grid, PaintedWindow

COLORS: dict[int | None, str] = {BACKGROUND: "#2f7fd6", INK: "#ff5a1f"}
"""What the classes look like; not labelled is clear, so that it cannot be mistaken for background."""

_BRUSH = 40  # px
_OPACITY = 0.5


def add_overview_layer(viewer: Any, overview: Overview, grid: Grid, segment_layer: Any, name: str) -> Any:
    """Add the labels of the whole segment, read-only: napari cannot paint on levels."""
    return viewer.add_labels(
        overview.levels,
        name=f"{name} labels",
        multiscale=len(overview.levels) > 1,
        translate=grid.translate,
        **_look(grid, segment_layer),
    )


def add_paint_layer(viewer: Any, window: PaintedWindow, grid: Grid, segment_layer: Any, origin: LayerOrigin) -> Any:
    """Add the window that is painted on, with the brush ready to paint ink."""
    layer = viewer.add_labels(
        window.classes,
        name=f"{origin.name} painting",
        translate=grid.corner(window.window),
        metadata=LayerOrigin("paint", origin.path, origin.name).metadata,
        **_look(grid, segment_layer),
    )
    layer.selected_label = INK
    layer.brush_size = _BRUSH
    return layer


def hide_drawn_labels(viewer: Any, origin: LayerOrigin) -> None:
    """Hide the segment's own layers of ink and supervision: they show the labels as they were when it was opened."""
    for layer in viewer.layers:
        found = layer.metadata.get("volumen")
        if isinstance(found, dict) and found.get("kind") in ("ink", "supervision") and found.get("path") == origin.path:
            layer.visible = False


def class_colormap() -> DirectLabelColormap:
    """Return the colours of the classes.

    The first use in a process compiles napari's mapping, for seconds; use it once in a thread before the window does.
    """
    return DirectLabelColormap(color_dict={None: "transparent", 0: "transparent", **COLORS})


def _look(grid: Grid, segment_layer: Any) -> dict[str, Any]:
    return {
        "colormap": class_colormap(),
        "opacity": _OPACITY,
        "scale": grid.scale,
        "units": tuple(segment_layer.units[-2:]),
        "axis_labels": ("y", "x"),
    }
