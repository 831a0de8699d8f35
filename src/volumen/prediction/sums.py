"""Sums: overlapping tiles added up block by block, each block given out as soon as its last tile is in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from volumen.prediction.weights import ramp

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from volumen.prediction.plan import Tile, TilePlan
    from volumen.sources.write import ProbabilityMap
    from volumen.windows import Window

_FINE = 255 * 256  # 256 steps a grey level, see `Sums`


class Sums:
    """Running sums of weight x probability, and of weight, for the blocks that later tiles can still touch.

    A finished block is the one divided by the other: the true sum of the weights of the tiles that were
    computed, whatever was skipped. Probabilities are first rounded to 1 / 256 of a grey level, and the quotient is
    too: float error in the sums is far below that, so a constant model gives a constant map exactly, also where
    its constant lies on the border of two grey levels, as 0.5 and every odd tenth do.

    Tiles must come in the order in which they were given; the sums then do not depend on where an interrupted
    prediction went on.

    Parameters
    ----------
    plan
        Where tiles lie and how they are joined.
    tiles
        Every tile of the plan that the whole prediction computes, in order.
    output
        The map, for its grid of blocks and for those that are done.
    """

    def __init__(self, plan: TilePlan, tiles: Sequence[Tile], output: ProbabilityMap) -> None:
        self._plan = plan
        self._output = output
        self._weights: NDArray[np.float32] | None = None
        if plan.tiling == "blend":
            _, height, width = plan.shape
            self._weights = np.outer(ramp(height, plan.shared), ramp(width, plan.shared))
        self._done = output.done()
        self._open: dict[Window, _Block] = {}
        last = {block: tile for tile in tiles for block in self._blocks(tile)}
        self.total = len(last)
        self._ready: dict[Tile, list[Window]] = {}
        for block, tile in last.items():
            self._ready.setdefault(tile, []).append(block)

    @property
    def todo(self) -> int:
        """How many blocks with something to predict are not done, before any `add`."""
        return sum(block not in self._done for blocks in self._ready.values() for block in blocks)

    def needs(self, tile: Tile) -> bool:
        """Whether a block that the tile touches is not done yet."""
        return any(block not in self._done for block in self._blocks(tile))

    def add(self, tile: Tile, probability: NDArray[np.float32]) -> Iterator[tuple[Window, NDArray[np.uint8]]]:
        """Add a tile's probabilities, (h, w) in [0, 1]; yield each block that is complete with it, as uint8 YX."""
        fine = np.rint(np.multiply(probability, _FINE, dtype=np.float32))
        for block in self._blocks(tile):
            if block in self._done:
                continue
            if block not in self._open:
                self._open[block] = _Block(block.shape[1:])
            common = tile.keep.layers(0, 1) & block
            here, there = common.inside(block).yx, common.inside(tile.window.layers(0, 1)).yx
            if self._weights is None:
                self._open[block].put(here, fine[there])
            else:
                self._open[block].add(here, fine[there], self._weights[there])
        for block in self._ready.get(tile, ()):
            if block not in self._done:
                yield block, self._open.pop(block).quantised()

    def _blocks(self, tile: Tile) -> Iterator[Window]:
        return self._output.blocks(tile.keep)


class _Block:
    """One block's sums, in 1 / 256 of a grey level."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._total = np.zeros(shape, np.float32)
        self._weight: NDArray[np.float32] | None = None

    def put(self, here: tuple[slice, slice], fine: NDArray[np.float32]) -> None:
        """Take pixels from the only tile that has them."""
        self._total[here] = fine

    def add(self, here: tuple[slice, slice], fine: NDArray[np.float32], weights: NDArray[np.float32]) -> None:
        """Add a tile's pixels to the others'."""
        if self._weight is None:
            self._weight = np.zeros_like(self._total)
        self._total[here] += fine * weights
        self._weight[here] += weights

    def quantised(self) -> NDArray[np.uint8]:
        """Divide, round half up, and cut to 0…255; pixels without a tile are 0. The sums are used up."""
        if self._weight is not None:
            np.divide(self._total, self._weight, out=self._total, where=self._weight > 0)
        np.rint(self._total, out=self._total)
        self._total += 128
        np.clip(self._total, 0, _FINE + 128, out=self._total)
        return (self._total.astype(np.uint16) >> 8).astype(np.uint8)
