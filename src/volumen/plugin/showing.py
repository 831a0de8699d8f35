"""Showing: a segment is read away from the window, then put into the viewer at its writing surface, with a scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Layer

from volumen.plugin.layers import LayerData, origin_of, segment_data
from volumen.sources.location import Location
from volumen.sources.open import open_segment
from volumen.sources.segment import RASTERS

if TYPE_CHECKING:
    from volumen.sources.labels.rasters import Raster
    from volumen.sources.segment import Segment

_AHEAD = 2048  # px: longer side of the levels whose surface is read ahead, over a network


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A segment whose layers are ready to be shown without waiting."""

    segment: Segment
    layers: list[LayerData]


def open_ahead(path: str) -> Opened:
    """Open a segment and read what the first view needs; for a thread, since pictures and networks take their time.

    Raises
    ------
    SourceNotFoundError, SourceError, LabelError
        When it cannot be opened, or one of its rasters cannot be decoded.
    """
    segment = open_segment(path)
    for name in RASTERS:
        raster: Raster | None = getattr(segment, name)
        if raster is not None:
            _ = raster.pixels  # decodes a picture; of a store of ours it reads nothing
    layers = segment_data(segment)
    data, options, _ = layers[0]
    remote = not Location.of(path).local
    for index, level in enumerate(reversed(data if options["multiscale"] else [data])):
        if index == 0 or (remote and max(level.shape[1:]) <= _AHEAD):
            np.asarray(level[segment.surface_index])
    return Opened(segment=segment, layers=layers)


def show(viewer: Any, opened: Opened, *, instead_of: str | None = None) -> None:
    """Add a segment's layers to a viewer, in the place of those that show it already, and go to its surface.

    Parameters
    ----------
    viewer
        A napari viewer, or its model.
    opened
        From `open_ahead`.
    instead_of
        Path of another segment whose place it takes, such as the source of a conversion.
    """
    first = not viewer.layers
    place = _remove(viewer, {opened.segment.source, instead_of})
    layers = [Layer.create(*data) for data in opened.layers]
    for index, layer in enumerate(layers):
        viewer.layers.insert(place + index, layer)
    viewer.layers.selection.active = layers[0]
    go_to_surface(viewer, opened.segment)
    show_scale_bar(viewer)
    if first:
        viewer.reset_view()


def go_to_surface(viewer: Any, segment: Segment) -> None:
    """Put the layer slider on the writing surface."""
    if viewer.dims.ndim >= 3:
        viewer.dims.set_point(viewer.dims.ndim - 3, segment.surface_index * (segment.voxel_um or 1.0))


def show_scale_bar(viewer: Any) -> None:
    """Show a scale bar, in the unit of the layers: µm where the edge of a voxel is known."""
    viewer.canvas.overlays.scale_bar.visible = True


def _remove(viewer: Any, paths: set[str | None]) -> int:
    """Take segments out of a viewer, but not what is painted or predicted; return where the first of them was."""
    kinds = ("segment", *RASTERS)
    place = len(viewer.layers)
    for layer in list(viewer.layers):
        origin = origin_of(layer)
        if origin is not None and origin.path in paths and origin.kind in kinds:
            place = min(place, viewer.layers.index(layer))
            viewer.layers.remove(layer)
    return min(place, len(viewer.layers))
