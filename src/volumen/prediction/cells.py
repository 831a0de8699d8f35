"""Cells: the source in square pieces, each read once and kept for as long as a tile still needs it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from volumen.errors import SourceError
from volumen.windows import Window, grid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from volumen.prediction.plan import Tile


_LEAST = 256  # px; smaller pieces cost more in calls than in decoding
_MOST = 1024  # px; larger ones would hold more of the source in memory than a row of tiles needs


def cell_side(chunk: tuple[int, int] | None) -> int:
    """Return the side in pixels of cells for a source whose chunks are ``chunk`` (h, w) px; None if unknown.

    It is a multiple of both where that stays small, so that each chunk is decoded once.

    Examples
    --------
    >>> cell_side((128, 128)), cell_side((192, 192)), cell_side((1, 4000)), cell_side(None)
    (256, 384, 1024, 256)
    """
    if chunk is None:
        return _LEAST
    common = math.lcm(*chunk)
    return min(-(-_LEAST // common) * common, _MOST)


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
        Every tile that will be asked for, in order.
    side
        Side of a cell in pixels: a multiple of the source's chunk, so that a chunk belongs to one cell.
    """

    def __init__(
        self,
        read: Callable[[Window], NDArray[Any]],
        *,
        volume: tuple[int, int, int],
        tiles: Iterable[Tile],
        side: int,
    ) -> None:
        self._read = read
        self._volume = volume
        self._side = side
        self._held: dict[Window, NDArray[Any]] = {}
        self._last_use = {cell: index for index, tile in enumerate(tiles) for cell in self._cells(tile)}
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
            if cell not in self._held:
                self._held[cell] = self._checked(cell)
            if voxels is None:
                voxels = np.empty(inside.shape, self._held[cell].dtype)
            common = cell & inside
            voxels[(slice(None), *common.inside(inside).yx)] = self._held[cell][(slice(None), *common.inside(cell).yx)]
            if self._last_use[cell] == self._index:
                del self._held[cell]
        self._index += 1
        if voxels is None:
            raise SourceError(f"{tile.window} lies outside the volume of shape {self._volume}.")
        _, down, right = (wanted - got for wanted, got in zip(tile.window.shape, inside.shape, strict=True))
        return np.pad(voxels, ((0, 0), (0, down), (0, right)), mode="reflect") if down or right else voxels

    def _cells(self, tile: Tile) -> Iterator[Window]:
        inside, side = tile.window.clip(self._volume), self._side
        top, left = inside.y[0] // side * side, inside.x[0] // side * side
        for cell in grid(Window(inside.z, (top, inside.y[1]), (left, inside.x[1])), side, side):
            yield cell.clip(self._volume)

    def _checked(self, cell: Window) -> NDArray[Any]:
        voxels = self._read(cell)
        if voxels.shape != cell.shape:
            raise SourceError(f"Reading {cell} must give shape {cell.shape}; got {voxels.shape}.")
        if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
            raise SourceError(f"{cell} holds NaN or infinity; repair the volume, or leave that region out.")
        return voxels
