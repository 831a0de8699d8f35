"""PaintedWindow: the part of a segment that is held in memory to be painted on, and which part that should be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from volumen.windows import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from volumen.sources.labels.painted import Patch

SIDE = 2048
"""Side of the window in pixels: a dab's cost does not depend on it, a move's does."""

LIMIT = 4096
"""The longest side a window grows to when the view is wide; a wider view is for looking, not for painting."""


@dataclass(frozen=True)
class Grid:
    """How pixels of a segment lie in the world that napari shows.

    Parameters
    ----------
    scale, translate
        Of the segment's Y and X axes: edge of a pixel, and centre of the first one.
    """

    scale: tuple[float, float]
    translate: tuple[float, float]

    @classmethod
    def of(cls, layer: Any) -> Grid:
        """Take the grid of a segment's layer, so that what is painted lies on it whatever its scale."""
        (sy, sx), (ty, tx) = layer.scale[-2:], layer.translate[-2:]
        return cls((float(sy), float(sx)), (float(ty), float(tx)))

    def corner(self, window: Window) -> tuple[float, float]:
        """Return the world position of a window's first pixel."""
        return (
            self.translate[0] + window.y[0] * self.scale[0],
            self.translate[1] + window.x[0] * self.scale[1],
        )

    def view(self, viewer: Any) -> Window | None:
        """Return the pixels that a viewer shows, which may lie outside the segment; None in 3D or on other axes."""
        last = viewer.dims.ndim - 2
        if viewer.dims.ndisplay != 2 or tuple(viewer.dims.displayed) != (last, last + 1):
            return None
        zoom = float(viewer.scene.camera.zoom)
        ranges = []
        for axis in (0, 1):
            centre = float(viewer.scene.camera.center[axis - 2])
            half = float(viewer.canvas.size[axis]) / zoom / 2
            low, high = ((centre + end - self.translate[axis]) / self.scale[axis] for end in (-half, half))
            ranges.append((int(np.floor(low)), int(np.ceil(high)) + 1))
        return Window((0, 1), ranges[0], ranges[1])


def window_around(view: Window, shape: tuple[int, int], chunk: int) -> Window | None:
    """Return the window to paint in for a view, on the grid of chunks; None where the view is too wide.

    Examples
    --------
    >>> window_around(Window((0, 1), (9000, 9900), (0, 1500)), (20000, 20000), 512).box
    (8192, 10240, 0, 2048)
    >>> window_around(Window((0, 1), (0, 20000), (0, 20000)), (20000, 20000), 512) is None
    True
    """
    seen = view.clip((1, *shape))
    need = max(seen.shape[1:])
    side = next((side for side in (SIDE, LIMIT) if need + chunk <= side or max(shape) <= side), None)
    if side is None or seen.empty:
        return None
    ranges = []
    for (start, stop), length in ((seen.y, shape[0]), (seen.x, shape[1])):
        last = max(0, (length - side) // chunk * chunk)
        first = min(max(0, round(((start + stop) / 2 - side / 2) / chunk) * chunk), last)
        # the last window takes what is left beside it, so that the view at the edge is covered too
        ranges.append((first, length if first == last else first + side))
    return Window((0, 1), ranges[0], ranges[1])


def first_window(view: Window | None, shape: tuple[int, int], chunk: int) -> Window:
    """Return the window to begin in: around the view, or around its centre where it is too wide to paint in."""
    seen = (view or Window.whole((1, *shape))).clip((1, *shape))
    seen = Window.whole((1, *shape)) if seen.empty else seen
    y, x = sum(seen.y) // 2, sum(seen.x) // 2
    centre = Window((0, 1), (y, y + 1), (x, x + 1))
    return window_around(seen, shape, chunk) or window_around(centre, shape, chunk) or seen


class PaintedWindow:
    """Pixels in memory: what was read, what is on the screen, and what of it is on disk already.

    Parameters
    ----------
    window
        Where it lies in the segment.
    patch
        The rasters as they were read there: soft values come back when a stroke is undone.
    """

    def __init__(self, window: Window, patch: Patch) -> None:
        self.window = window
        self.patch = patch
        self.classes: NDArray[np.uint8] = patch.classes
        self.saved: NDArray[np.uint8] = self.classes.copy()

    @property
    def unsaved(self) -> bool:
        """Whether any pixel differs from the disk's."""
        return not np.array_equal(self.classes, self.saved)
