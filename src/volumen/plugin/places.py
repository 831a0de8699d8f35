"""Places: what a person sees of a segment or has drawn on it, as boxes of its pixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Shapes

from volumen.plugin.painted_window import Grid
from volumen.windows import Window

if TYPE_CHECKING:
    from collections.abc import Iterable

_DIGITS = 3  # of a pixel: an edge that was drawn on the grid stays on it through µm and back


def extent(layer: Any) -> tuple[int, int]:
    """Return height and width in pixels of what a layer shows, at full size."""
    shape = layer.data[0].shape if layer.multiscale else layer.data.shape
    return (int(shape[-2]), int(shape[-1]))


def seen(viewer: Any, layer: Any) -> Window | None:
    """Return the part of a layer that is on the screen; None in 3D, on other axes, or where it is out of sight."""
    view = Grid.of(layer).view(viewer)
    return None if view is None else _inside(view, layer)


def drawn(viewer: Any, layer: Any) -> Window | None:
    """Return the box around the shape that is selected, or that was drawn last, on a layer; None without one."""
    shapes = _shapes(viewer)
    if shapes is None:
        return None
    chosen = max(shapes.selected_data, default=len(shapes.data) - 1)
    corners = np.asarray(shapes.data[chosen])[:, -2:] * shapes.scale[-2:] + shapes.translate[-2:]
    grid = Grid.of(layer)
    pixels = (corners - grid.translate) / grid.scale + 0.5  # napari puts a pixel's centre on its number
    (top, left), (bottom, right) = pixels.min(axis=0).round(_DIGITS), pixels.max(axis=0).round(_DIGITS)
    box = Window((0, 1), (math.floor(top), math.ceil(bottom)), (math.floor(left), math.ceil(right)))
    return _inside(box, layer)


def centre(window: Window) -> tuple[int, int]:
    """Return the pixel (Y, X) in the middle of a window."""
    return (sum(window.y) // 2, sum(window.x) // 2)


def meets(view: Window | None, boxes: Iterable[tuple[int, int, int, int]]) -> bool:
    """Say whether a view shows any of some boxes (y0, y1, x0, x1); one that is not known shows everything.

    Examples
    --------
    >>> view = Window((0, 1), (0, 100), (0, 100))
    >>> meets(view, [(90, 200, 0, 50)]), meets(view, [(100, 200, 0, 50)])
    (True, False)
    """
    return view is None or any(view.overlaps(Window((0, 1), box[:2], box[2:])) for box in boxes)


def as_text(window: Window) -> str:
    """Write a window's box as the settings read it.

    Examples
    --------
    >>> as_text(Window((0, 1), (0, 400), (320, 640)))
    '0:400,320:640'
    """
    return f"{window.y[0]}:{window.y[1]},{window.x[0]}:{window.x[1]}"


def _inside(window: Window, layer: Any) -> Window | None:
    cut = window.clip((1, *extent(layer)))
    return None if cut.empty else cut


def _shapes(viewer: Any) -> Any:
    """Return the Shapes layer that is selected, or the uppermost one, with something in it."""
    active = viewer.layers.selection.active
    candidates = [active, *reversed(list(viewer.layers))]
    return next((layer for layer in candidates if isinstance(layer, Shapes) and len(layer.data)), None)
