"""Sums: overlapping tiles added up block by block, each block given out as soon as its last tile is in."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from volumen.prediction.weights import ramp

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from numpy.typing import NDArray

    from volumen.prediction.plan import Tile, TilePlan
    from volumen.sources.pyramids.probability_map import ProbabilityMap
    from volumen.windows import Window

_FINE = 255 * 256  # 256 steps a grey level, see `Sums`


class Piece(NamedTuple):
    """What a tile gives to a block: its pixels there, YX, in 1 / 256 of a grey level."""

    block: Window
    tile: Tile
    fine: NDArray[np.uint16]


class Sums:
    """Running sums of weight x probability, and of weight, for the blocks that later tiles can still touch.

    A finished block is the one divided by the other: the true sum of the weights of the tiles that were
    computed, whatever was skipped. Probabilities are first rounded to 1 / 256 of a grey level, and the quotient is
    too: float error in the sums is far below that, so a constant model gives a constant map exactly, also where
    its constant lies on the border of two grey levels, as 0.5 and every odd tenth do.

    Float sums depend on the order of their terms, a map must not: a block adds its tiles in the plan's order, and
    keeps those that come before their turn. Tiles that come in the plan's order are never kept.

    Parameters
    ----------
    plan
        Where tiles lie and how they are joined.
    tiles
        Every tile of the plan that gives something to the blocks, in the order in which they are added up.
    output
        The map, for its grid of blocks.
    done
        Blocks of it that are left as they are.
    """

    def __init__(
        self, plan: TilePlan, tiles: Sequence[Tile], output: ProbabilityMap, *, done: Container[Window] = ()
    ) -> None:
        self._output = output
        self._weights: NDArray[np.float32] | None = None
        if plan.tiling == "blend":
            _, height, width = plan.shape
            self._weights = np.outer(ramp(height, plan.shared), ramp(width, plan.shared))
        self._done = done
        self._open: dict[Window, _Block] = {}
        self._turns: dict[Window, deque[Tile]] = {}
        for tile in tiles:
            for block in output.blocks(tile.keep):
                self._turns.setdefault(block, deque()).append(tile)
        self.total = len(self._turns)

    @property
    def todo(self) -> int:
        """How many blocks with something to predict are not done, before any is added to."""
        return sum(block not in self._done for block in self._turns)

    @property
    def held_bytes(self) -> int:
        """Bytes of sums, and of tiles before their turn, that are kept for later tiles."""
        return sum(block.nbytes for block in self._open.values())

    def blocks(self, tile: Tile) -> Iterator[Window]:
        """Yield the blocks that a tile gives something to and that are not done."""
        return (block for block in self._output.blocks(tile.keep) if block not in self._done)

    def needs(self, tile: Tile) -> bool:
        """Whether a block that the tile touches is not done yet."""
        return any(True for _ in self.blocks(tile))

    def cut(self, tile: Tile, probability: NDArray[np.float32]) -> Iterator[Piece]:
        """Yield what a tile's probabilities, (h, w) in [0, 1], give to each of its blocks."""
        fine = np.multiply(probability, _FINE, dtype=np.float32)
        levels = np.clip(np.rint(fine, out=fine), 0, _FINE, out=fine).astype(np.uint16)
        for block in self.blocks(tile):
            yield Piece(block, tile, levels[_common(tile, block).inside(tile.window.layers(0, 1)).yx])

    def put(self, piece: Piece) -> NDArray[np.uint8] | None:
        """Add a piece to its block; return the block, uint8 YX, if it is complete with it."""
        block = self._open.get(piece.block)
        if block is None:
            block = self._open[piece.block] = _Block(piece.block, self._turns[piece.block], self._weights)
        return self._open.pop(piece.block).quantised() if block.take(piece) else None

    def add(self, tile: Tile, probability: NDArray[np.float32]) -> Iterator[tuple[Window, NDArray[np.uint8]]]:
        """Add a tile's probabilities, (h, w) in [0, 1]; yield each block that is complete with it, as uint8 YX."""
        for piece in self.cut(tile, probability):
            values = self.put(piece)
            if values is not None:
                yield piece.block, values


class _Block:
    """One block's sums, in 1 / 256 of a grey level, and the tiles that came before their turn."""

    def __init__(self, window: Window, turns: deque[Tile], weights: NDArray[np.float32] | None) -> None:
        self._window = window
        self._turns = turns
        self._weights = weights
        self._early: dict[Tile, Piece] = {}
        self._total = np.zeros(window.shape[1:], np.float32)
        self._weight = None if weights is None else np.zeros_like(self._total)

    @property
    def nbytes(self) -> int:
        """Bytes that it holds."""
        weight = 0 if self._weight is None else self._weight.nbytes
        return self._total.nbytes + weight + sum(piece.fine.nbytes for piece in self._early.values())

    def take(self, piece: Piece) -> bool:
        """Add a piece now, or keep it until it is its turn; say whether the block is complete."""
        if piece.tile != self._turns[0]:
            self._early[piece.tile] = piece._replace(fine=piece.fine.copy())  # a view would keep the whole tile
            return False
        self._add(piece)
        self._turns.popleft()
        while self._turns and self._turns[0] in self._early:
            self._add(self._early.pop(self._turns.popleft()))
        return not self._turns

    def _add(self, piece: Piece) -> None:
        common = _common(piece.tile, self._window)
        here = common.inside(self._window).yx
        if self._weights is None or self._weight is None:
            self._total[here] = piece.fine  # from the only tile that has these pixels
            return
        weights = self._weights[common.inside(piece.tile.window.layers(0, 1)).yx]
        self._total[here] += piece.fine * weights
        self._weight[here] += weights

    def quantised(self) -> NDArray[np.uint8]:
        """Divide, round half up, and cut to 0…255; pixels without a tile are 0. The sums are used up."""
        if self._weight is not None:
            np.divide(self._total, self._weight, out=self._total, where=self._weight > 0)
        np.rint(self._total, out=self._total)
        self._total += 128
        np.clip(self._total, 0, _FINE + 128, out=self._total)
        return (self._total.astype(np.uint16) >> 8).astype(np.uint8)


def _common(tile: Tile, block: Window) -> Window:
    return tile.keep.layers(0, 1) & block
