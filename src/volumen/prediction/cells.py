"""Cells: the source in pieces, each read once and kept for as long as a tile still needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from volumen.errors import SourceError
from volumen.windows import Window, grid, height_width

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from volumen.prediction.plan import Tile
    from volumen.windows import Size


_LEAST = 256  # px; smaller pieces cost more in calls than in decoding
_HIGHEST = 1024  # px; higher ones would hold more of the source in memory than a row of tiles needs


def cell_size(decoded: tuple[int, int]) -> tuple[int, int]:
    """Return height and width in pixels of cells for a source that decodes ``decoded`` (h, w) px at once.

    They are multiples of it, so that each chunk or strip is decoded once. What is higher than 1024 px, such as a
    picture that is decoded whole, is decoded once for every 1024 rows or fewer.

    Examples
    --------
    >>> cell_size((1, 1)), cell_size((192, 192)), cell_size((1, 4000)), cell_size((9000, 4000))
    ((256, 256), (384, 384), (256, 4000), (1024, 4000))
    """
    height, width = (-(-_LEAST // side) * side for side in decoded)
    return (min(height, _HIGHEST), width)


class Cells:
    """Assemble tiles from cells of the source that lie on a grid, so that no chunk is decoded twice.

    Tiles must be asked for in the order in which they were given. What lies between two rows of tiles is kept:
    memory grows with the width of the volume, not with its area; see `near_first` for tiles that do not come
    row by row.

    Parameters
    ----------
    read
        Reads a window that lies inside the volume; returns (layers, h, w) in the source's type.
    volume
        Extent (Z, Y, X) of the volume.
    tiles
        Every tile that will be asked for, in order. Nothing is read beyond the box around them.
    size
        Of a cell in pixels, (H, W) or one number for both: see `cell_size`.
    """

    def __init__(
        self,
        read: Callable[[Window], NDArray[Any]],
        *,
        volume: tuple[int, int, int],
        tiles: Iterable[Tile],
        size: Size,
    ) -> None:
        self._read = read
        self._volume = volume
        self._size = height_width(size)
        self._held: dict[Window, NDArray[Any]] = {}
        self._last_use: dict[Window, int] = {}
        around: Window | None = None
        for index, tile in enumerate(tiles):
            around = tile.window if around is None else around | tile.window
            self._last_use.update(dict.fromkeys(self._cells(tile), index))
        self._within = Window.whole(volume) if around is None else around
        self._index = 0

    @property
    def held_bytes(self) -> int:
        """Bytes of the source that are kept for later tiles."""
        return sum(voxels.nbytes for voxels in self._held.values())

    def tile(self, tile: Tile) -> NDArray[Any]:
        """Return the voxels of the next tile, (layers, h, w); mirrored past the end of the volume."""
        inside = tile.window.clip(self._volume)
        voxels: NDArray[Any] | None = None
        for cell in self._cells(tile):
            wanted = cell & self._within
            if cell not in self._held:
                self._held[cell] = self._checked(wanted)
            if voxels is None:
                voxels = np.empty(inside.shape, self._held[cell].dtype)
            common = cell & inside
            to, at = common.inside(inside), common.inside(wanted)
            voxels[(slice(None), *to.yx)] = self._held[cell][(slice(None), *at.yx)]
            if self._last_use[cell] == self._index:
                del self._held[cell]
        self._index += 1
        if voxels is None:
            raise SourceError(f"{tile.window} lies outside the volume of shape {self._volume}.")
        _, down, right = (asked - got for asked, got in zip(tile.window.shape, inside.shape, strict=True))
        return np.pad(voxels, ((0, 0), (0, down), (0, right)), mode="reflect") if down or right else voxels

    def _cells(self, tile: Tile) -> Iterator[Window]:
        inside, (height, width) = tile.window.clip(self._volume), self._size
        top, left = inside.y[0] // height * height, inside.x[0] // width * width
        for cell in grid(Window(inside.z, (top, inside.y[1]), (left, inside.x[1])), self._size, self._size):
            yield cell.clip(self._volume)

    def _checked(self, cell: Window) -> NDArray[Any]:
        voxels = self._read(cell)
        if voxels.shape != cell.shape:
            raise SourceError(f"Reading {cell} must give shape {cell.shape}; got {voxels.shape}.")
        if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
            raise SourceError(f"{cell} holds NaN or infinity; repair the volume, or leave that region out.")
        return voxels
