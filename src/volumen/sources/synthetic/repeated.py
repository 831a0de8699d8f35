"""Repeated: a raster continued over the whole plane, from where it holds most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from volumen.errors import LabelError
from volumen.windows import Window, starts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from volumen.sources.labels.rasters import Raster
    from volumen.windows import Range


@dataclass(frozen=True, kw_only=True)
class Repeated:
    """A raster repeated endlessly along Y and X.

    Parameters
    ----------
    raster
        What to repeat.
    corner
        (y, x) in pixels of the raster that comes to lie at (0, 0).

    Examples
    --------
    >>> from volumen.sources.labels.rasters import Raster
    >>> plane = Repeated(raster=Raster.of(np.eye(3)), corner=(0, 1))
    >>> plane.read(Window((0, 1), (0, 2), (-1, 4))).tolist()
    [[1.0, 0.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0, 1.0]]
    """

    raster: Raster
    corner: tuple[int, int]

    @classmethod
    def richest(cls, raster: Raster, size: tuple[int, int]) -> Repeated:
        """Start where a box of ``size`` (H, W) holds most, so that a small cut of a real label is not empty.

        Raises
        ------
        LabelError
            When the raster holds nothing anywhere.
        """
        height, width = raster.extent
        best, corner = 0.0, (0, 0)
        step_y, step_x = (max(1, length // 2) for length in size)
        for y in starts(height, min(size[0], height), step_y):
            for x in starts(width, min(size[1], width), step_x):
                box = Window((0, 1), (y, y + size[0]), (x, x + size[1])).clip((1, height, width))
                held = float(np.sum(raster.pixels[box.yx], dtype=np.float64))
                if held > best:
                    best, corner = held, (y, x)
        if best == 0:
            raise LabelError(f"{raster.source} is empty; a phantom needs a label with ink in it.")
        return cls(raster=raster, corner=corner)

    def read(self, window: Window) -> NDArray[np.float32]:
        """Return values in [0, 1], YX; the window may lie anywhere."""
        rows = _wrapped(window.y, self.corner[0], self.raster.extent[0])
        columns = _wrapped(window.x, self.corner[1], self.raster.extent[1])
        top, left = int(rows.min()), int(columns.min())
        # a lazy raster is decoded anew for each window, so no more of it than that
        pixels = self.raster.pixels[top : int(rows.max()) + 1, left : int(columns.max()) + 1]
        return np.asarray(pixels)[np.ix_(rows - top, columns - left)].astype(np.float32) / np.float32(255)


def _wrapped(pixels: Range, corner: int, length: int) -> NDArray[np.intp]:
    return np.asarray((np.arange(*pixels) + corner) % length, dtype=np.intp)
