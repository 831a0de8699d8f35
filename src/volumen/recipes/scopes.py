"""Scopes: which pixels of a segment an ink map is scored on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from volumen.errors import LabelError
from volumen.evaluation.counts import INK
from volumen.windows import Window

if TYPE_CHECKING:
    from volumen.recipes.ink_map import InkMap
    from volumen.sources.segment import Segment

Where = Callable[[Window], NDArray[np.bool_]]
"""Says which pixels of a window inside the segment are of a scope, bool YX."""


def scored_pixels(segment: Segment, ink_map: InkMap, window: Window) -> NDArray[np.bool_]:
    """Return which pixels of a window can be scored at all: supervised papyrus that was predicted, YX."""
    counted = segment.supervised(window) & segment.raster("ink").covered(window) & ink_map.predicted_pixels(window)
    if segment.mask is not None:
        counted &= segment.mask.read(window) > INK
    return counted


def held_out_pixels(region: tuple[int, int, int, int] | None, segment: Segment, ink_map: InkMap) -> Where | None:
    """Say which pixels are held out: the region given, else the segment's raster, else what training recorded.

    Raises
    ------
    LabelError
        Nothing was predicted in the region.
    """
    if region is not None:
        box = Window((0, 1), region[:2], region[2:])
        if (box & ink_map.predicted).empty:
            raise LabelError(
                f"Nothing was predicted in the region {_text(box)}; "
                f"{ink_map.raster.source} covers {_text(ink_map.predicted)}."
            )
        return lambda window: box_pixels((box,), window)
    raster = segment.held_out
    if raster is not None:
        return lambda window: raster.read(window) > INK
    boxes = ink_map.held_out(segment.name)
    return (lambda window: box_pixels(boxes, window)) if boxes else None


def ink_tiles(segment: Segment, within: Window, *, side: int, min_ink: float) -> Where:
    """Say which pixels lie in a tile with enough ink, of a grid of whole tiles from the segment's top left corner.

    Parameters
    ----------
    segment
        With an ink label.
    within
        Box that tiles must touch.
    side
        Side of a tile in px.
    min_ink
        Least share of pixels above one half in a tile, in [0, 1].
    """
    height, width = segment.shape[1:]
    chosen = np.zeros((-(-height // side), -(-width // side)), dtype=np.bool_)
    down, across = height // side, width // side
    for row in range(within.y[0] // side, min(down, -(-within.y[1] // side))):
        strip = Window((0, 1), (row * side, (row + 1) * side), (0, across * side))
        inked = segment.raster("ink").read(strip) > INK
        share = inked.reshape(side, across, side).mean(axis=(0, 2))  # side (across side) -> across
        chosen[row, :across] = share >= min_ink

    def where(window: Window) -> NDArray[np.bool_]:
        rows, columns = (np.arange(*span) // side for span in (window.y, window.x))
        return chosen[np.ix_(rows, columns)]

    return where


def box_pixels(boxes: tuple[Window, ...], window: Window) -> NDArray[np.bool_]:
    """Return which pixels of a window lie in one of the boxes, YX."""
    inside = np.zeros(window.shape[1:], dtype=np.bool_)
    for box in boxes:
        inside[(box.layers(*window.z) & window).inside(window).yx] = True
    return inside


def _text(window: Window) -> str:
    return ",".join(f"{start}:{stop}" for start, stop in (window.y, window.x))
