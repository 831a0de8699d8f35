"""BlockCache: decoded voxels and labels of the places that crops are cut from, bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from volumen.windows import Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from volumen.sources.segment import Segment

SIDE = 256
"""Side of a block in pixels: a multiple of the usual chunk sides, so that a chunk is decoded for one block."""


@dataclass(frozen=True, eq=False)
class Cube:
    """Voxels of a window and its labels, as they are stored.

    Parameters
    ----------
    voxels
        (Z, H, W) in the source's dtype.
    ink
        (H, W) float32 in [0, 1].
    supervision
        (H, W) bool.
    """

    voxels: NDArray[Any]
    ink: NDArray[np.float32]
    supervision: NDArray[np.bool_]

    @classmethod
    def zeros(cls, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> Cube:
        """Make a cube of nothing, with nothing supervised."""
        flat = shape[1:]
        return cls(np.zeros(shape, dtype), np.zeros(flat, np.float32), np.zeros(flat, np.bool_))

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        return self.voxels.nbytes + self.ink.nbytes + self.supervision.nbytes


class BlockCache:
    """Read windows of several segments through square blocks that are decoded once while there is room.

    Crops overlap and come back every epoch. A flat cache of the labelled places reads them tens of times as fast
    as the store; what is used longest ago is dropped first. Safe to read from several threads. Segments are told
    apart by identity and must outlive the cache.

    Parameters
    ----------
    nbytes
        Most memory to hold blocks in; 0 keeps none.
    """

    def __init__(self, nbytes: int) -> None:
        self._limit = nbytes
        self._held = 0
        self._blocks: OrderedDict[tuple[int, Window], Cube] = OrderedDict()
        self._lock = Lock()

    def read(self, segment: Segment, window: Window) -> Cube:
        """Read a window of a segment; beyond the volume it is zero and unsupervised."""
        cube = Cube.zeros(window.shape, segment.dtype)
        for block in blocks_of(window, segment.shape):
            source = self._block(segment, block)
            part = window & block
            to, at = part.inside(window), part.inside(block)
            cube.voxels[to.zyx] = source.voxels[at.zyx]
            cube.ink[to.yx] = source.ink[at.yx]
            cube.supervision[to.yx] = source.supervision[at.yx]
        return cube

    def _block(self, segment: Segment, block: Window) -> Cube:
        key = (id(segment), block)  # equal sources may differ in labels or layer order
        with self._lock:
            if key in self._blocks:
                self._blocks.move_to_end(key)
                return self._blocks[key]
        # decoded outside the lock: two threads may decode the same block once, none waits for another's disk
        cube = Cube(segment.read(block), segment.raster("ink").read(block), segment.supervised(block))
        with self._lock:
            if key not in self._blocks:
                self._blocks[key] = cube
                self._held += cube.nbytes
            while self._held > self._limit:
                self._held -= self._blocks.popitem(last=False)[1].nbytes
        return cube


def blocks_of(window: Window, shape: tuple[int, int, int]) -> Iterator[Window]:
    """Yield the blocks, cut to a volume of ``shape`` ZYX, that a window touches."""
    inside = window.clip(shape)
    if inside.empty:
        return
    for y in range(inside.y[0] // SIDE * SIDE, inside.y[1], SIDE):
        for x in range(inside.x[0] // SIDE * SIDE, inside.x[1], SIDE):
            yield Window(inside.z, (y, y + SIDE), (x, x + SIDE)).clip(shape)
