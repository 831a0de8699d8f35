"""BlockReader: reads the blocks of a conversion, one ahead of the writing, each source strip decoded once."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from volumen.sources.arrays.layer_stack import LayerStack
from volumen.sources.arrays.zarr_volume import ZarrVolume
from volumen.sources.decoded import decoded_at_once
from volumen.whole_files import out_of_space

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from volumen.sources.pyramids.blocks import Block
    from volumen.sources.pyramids.pyramid import Pyramid
    from volumen.sources.segment import Segment
    from volumen.windows import Window

_THREADS = min(8, os.cpu_count() or 1)

_COPIES = 3  # of a layer that is being decoded: compressed, decoded, laid out


@dataclass(eq=False)
class BlockReader:
    """Reads blocks from a segment (first pass) or from finished levels of the pyramid (later passes).

    Parameters
    ----------
    segment
        The source.
    pyramid
        What is being written.
    blocks
        All blocks of the conversion.
    scratch
        File for decoded layers, where layers can only be decoded whole but a block is a part of them.
    voxels
        How many voxels decoded layers may take up in memory at a time.
    """

    segment: Segment
    pyramid: Pyramid
    blocks: Sequence[Block]
    scratch: Path
    voxels: int
    _slab: tuple[int, int] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        stack = self.segment.levels[0]
        if isinstance(stack, LayerStack):  # bands come in order, so only the strips between two are read again
            stack = LayerStack(stack.layers, cache_bytes=self.voxels * self.segment.dtype.itemsize // 4)
            self.segment = replace(self.segment, levels=(stack,))

    def ahead(self, todo: Sequence[int]) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield (index, voxels ZYX) of the blocks in ``todo``, reading the next one while this one is used."""
        with ThreadPoolExecutor(1) as reader:
            pending = None
            for index, following in zip_longest(todo, todo[1:]):
                block = self.blocks[index]
                voxels = (pending or reader.submit(self.read, block)).result()
                pending = None
                # A later pass reads what this one has yet to write.
                if following is not None and self.blocks[following].base == block.base:
                    pending = reader.submit(self.read, self.blocks[following])
                yield index, voxels

    def read(self, block: Block) -> NDArray[Any]:
        """Read one block, ZYX."""
        if block.first > block.base:
            level = self.pyramid.levels[block.base]
            return ZarrVolume(level, f"{self.pyramid.path}/{block.base}")[block.window.zyx]
        if not isinstance(self.segment.levels[0], LayerStack):
            return self.segment.read(block.window)
        if self._needs_scratch(block):
            return np.array(self._decoded(block.window.z)[:, *block.window.yx])
        out = np.empty(block.window.shape, dtype=self.segment.dtype)
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(lambda layer: self._fill(out, layer, block.window), range(len(out))))
        return out

    def _fill(self, out: NDArray[Any], layer: int, window: Window) -> None:
        first = window.z[0] + layer
        out[layer] = self.segment.read(window.layers(first, first + 1))[0]

    def _needs_scratch(self, block: Block) -> bool:
        """Whether layers would be decoded again for every block."""
        rows = decoded_at_once(self.segment)[1]
        return rows > block.window.shape[1] and block.window.shape[1] < self.segment.shape[1]

    def _decoded(self, slab: tuple[int, int]) -> NDArray[Any]:
        """Return whole layers ``slab`` as a map of the scratch file, decoding each of them once."""
        shape = (slab[1] - slab[0], *self.segment.shape[1:])
        if self._slab != slab:
            self._slab = None
            together = max(1, min(_THREADS, self.voxels // (_COPIES * shape[1] * shape[2])))
            # Written, not mapped: a full disk is then an error and not a crash.
            with out_of_space(self.scratch), open(self.scratch, "wb") as file, ThreadPoolExecutor(together) as pool:
                for start in range(*slab, together):
                    for layer in pool.map(self._layer, range(start, min(start + together, slab[1]))):
                        file.write(np.ascontiguousarray(layer).data)
            self._slab = slab
        return np.memmap(self.scratch, dtype=self.segment.dtype, mode="r", shape=shape)

    def _layer(self, index: int) -> NDArray[Any]:
        return self.segment.read(self.segment.window.layers(index, index + 1))
