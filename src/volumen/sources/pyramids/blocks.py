"""Blocks: how a conversion is cut into units that own whole chunks at every level they write."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from volumen.windows import Window

if TYPE_CHECKING:
    from collections.abc import Mapping

Shape = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Block:
    """A unit of work: read ``window`` at level ``base`` and write levels ``first`` to ``top``.

    ``base`` is 0 for the first pass, which reads the source and writes level 0 and more; later passes read a level
    that is finished and write the ones after it.
    """

    base: int
    first: int
    top: int
    window: Window


@dataclass(frozen=True, kw_only=True)
class Cut:
    """What the blocks depend on; recorded, so that a resumed conversion cuts alike.

    Parameters
    ----------
    shape, chunks
        Extent and chunk shape ZYX of the store to write, in voxels.
    source
        Extent ZYX of what the source decodes at once.
    levels
        Number of levels.
    voxels
        How many voxels a block may hold.
    """

    shape: Shape
    chunks: Shape
    source: Shape
    levels: int
    voxels: int

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Cut:
        """Read what `fields` wrote."""
        return cls(
            shape=_triple(fields["shape"]),
            chunks=_triple(fields["chunks"]),
            source=_triple(fields["source"]),
            levels=int(fields["levels"]),
            voxels=int(fields["voxels"]),
        )

    def fields(self) -> dict[str, Any]:
        """Return plain fields for JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    def blocks(self) -> tuple[Block, ...]:
        """Return all blocks, pass by pass, slab by slab of layers, top to bottom.

        Each chunk of each level is written by one block, once.
        """
        blocks: list[Block] = []
        base = first = 0
        while first < self.levels:
            deep, rows, columns, top = self._extent(base, first)
            depth, height, width = self._level(base)
            blocks += (
                Block(
                    base=base,
                    first=first,
                    top=top,
                    window=Window((z, z + deep), (y, y + rows), (x, x + columns)).clip((depth, height, width)),
                )
                for z in range(0, depth, deep)
                for y in range(0, height, rows)
                for x in range(0, width, columns)
            )
            base, first = top, top + 1
        return tuple(blocks)

    def _extent(self, base: int, first: int) -> tuple[int, int, int, int]:
        """Return (layers, rows, columns, top level) of a pass's blocks.

        Full-width bands as tall as memory allows write most levels at once. Where bands do not fit, blocks two
        chunks high still spare the next pass three quarters of its reading; at the least, a block is one chunk.
        """
        depth, height, width = self._level(base)
        deep = self.chunks[0]
        if base == first:  # a source that decodes many layers at once is asked for them once
            deep = min(math.lcm(deep, self.source[0]), -(-depth // deep) * deep)
        pixels = max(1, self.voxels // min(deep, depth))
        tops = range(base, self.levels)
        sides = {top: (self.chunks[1] << (top - base), self.chunks[2] << (top - base)) for top in tops}
        bands = [top for top in range(first, self.levels) if min(sides[top][0], height) * width <= pixels]
        low = min(base + 1, self.levels - 1)
        whole_rows = base == first and self.source[2] >= width  # such a source would decode them once a column
        if bands and (bands[-1] >= low or whole_rows):
            rows = sides[bands[-1]][0]
            return deep, max(rows, pixels // width // rows * rows), width, bands[-1]
        top = low if first > base or math.prod(sides[low]) <= pixels else base
        rows, columns = sides[top]
        return deep, rows, max(columns, pixels // rows // columns * columns), top

    def _level(self, level: int) -> Shape:
        depth, height, width = self.shape
        return (depth, -(-height >> level), -(-width >> level))


def _triple(value: Any) -> Shape:
    depth, height, width = (int(part) for part in value)
    return (depth, height, width)
