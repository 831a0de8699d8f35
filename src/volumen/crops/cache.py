"""BlockCache: decoded voxels and flat rasters of the places that crops are cut from, bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from volumen.windows import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import DTypeLike, NDArray

    from volumen.sources.segment import Segment

SIDE = 256
"""Side of a block in pixels: a multiple of the usual chunk sides, so that a chunk is decoded for one block."""


@dataclass(frozen=True, kw_only=True)
class Flat:
    """A flat raster that goes with the voxels of a sample.

    Parameters
    ----------
    name
        What it is called in a sample.
    dtype
        Type of a pixel.
    read
        Returns it for a window inside a segment, YX.
    """

    name: str
    dtype: DTypeLike
    read: Callable[[Segment, Window], NDArray[Any]]


LABELS = (
    Flat(name="ink", dtype=np.float32, read=lambda segment, window: segment.raster("ink").read(window)),
    Flat(name="supervision", dtype=np.bool_, read=lambda segment, window: segment.supervised(window)),
)
"""What is learned from with labels: ink in [0, 1], and where it may be trusted."""

PAPYRUS = (Flat(name="papyrus", dtype=np.bool_, read=lambda segment, window: segment.papyrus(window)),)
"""What is learned from without: where there is papyrus. No label is touched."""


@dataclass(frozen=True, eq=False)
class Cube:
    """Voxels of a window and its flat rasters, as they are stored.

    Parameters
    ----------
    voxels
        (Z, H, W) in the source's dtype.
    flats
        (H, W) each, in the order in which they were asked for.
    """

    voxels: NDArray[Any]
    flats: tuple[NDArray[Any], ...]

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        return self.voxels.nbytes + sum(flat.nbytes for flat in self.flats)


class BlockCache:
    """Read windows of several segments through square blocks that are decoded once while there is room.

    Crops overlap and come back every epoch. A flat cache of the places learned from reads them tens of times as
    fast as the store; what is used longest ago is dropped first. Safe to read from several threads. Segments are
    told apart by identity and must outlive the cache.

    Parameters
    ----------
    nbytes
        Most memory to hold blocks in; 0 keeps none.
    flats
        Flat rasters to read besides the voxels.
    """

    def __init__(self, nbytes: int, flats: tuple[Flat, ...] = LABELS) -> None:
        self._limit, self._flats = nbytes, flats
        self._held = 0
        self._blocks: OrderedDict[tuple[int, Window], Cube] = OrderedDict()
        self._lock = Lock()

    def read(self, segment: Segment, window: Window) -> Cube:
        """Read a window of a segment; beyond the volume voxels and flats are zero."""
        cube = Cube(
            np.zeros(window.shape, segment.dtype),
            tuple(np.zeros(window.shape[1:], flat.dtype) for flat in self._flats),
        )
        for block in blocks_of(window, segment.shape):
            source = self._block(segment, block)
            part = window & block
            to, at = part.inside(window), part.inside(block)
            cube.voxels[to.zyx] = source.voxels[at.zyx]
            for flat, read in zip(cube.flats, source.flats, strict=True):
                flat[to.yx] = read[at.yx]
        return cube

    def nbytes(self, segment: Segment, block: Window) -> int:
        """Return the memory that a block of a segment takes."""
        depth, height, width = block.shape
        pixel = sum(np.dtype(flat.dtype).itemsize for flat in self._flats)
        return height * width * (depth * segment.dtype.itemsize + pixel)

    def _block(self, segment: Segment, block: Window) -> Cube:
        key = (id(segment), block)  # equal sources may differ in labels or layer order
        with self._lock:
            if key in self._blocks:
                self._blocks.move_to_end(key)
                return self._blocks[key]
        # decoded outside the lock: two threads may decode the same block once, none waits for another's disk
        cube = Cube(segment.read(block), tuple(flat.read(segment, block) for flat in self._flats))
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
