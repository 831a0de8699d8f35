"""CropDataset: windows of segments in, normalised and augmented samples out, the same ones for the same seed."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch.utils.data import Dataset

from volumen.crops.cache import LABELS, PAPYRUS, SIDE, BlockCache, blocks_of
from volumen.crops.select import spread
from volumen.errors import LabelError
from volumen.sources.decoded import read_windows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from volumen.crops.normalize import Normalization
    from volumen.sources.segment import Segment
    from volumen.windows import Window

Item = tuple["Segment", "Window"]
"""A window and the segment that it is cut from."""

CACHE_BYTES = 2 * 1024**3
"""Default room for decoded blocks: 2 GiB hold about 1,300 blocks of 20 layers."""

_NEIGHBOURHOOD = 4 * SIDE  # side of the places that are read together where not everything fits the cache


class View(Protocol):
    """An augmentation: drawn into a value, then applied to image and flat rasters alike."""

    def draw(self, generator: np.random.Generator, shape: tuple[int, int, int], /) -> Any:
        """Draw parameters for an image of ``shape`` CHW."""
        ...

    def apply(self, params: Any, image: Tensor, /, *flats: Tensor) -> tuple[Tensor, ...]:
        """Apply drawn parameters to image CHW in [0, 1] and flats 1HW; the last flat says what may be trusted."""
        ...


class CropDataset(Dataset[dict[str, "Tensor"]]):
    """Samples cut from windows of one segment or several, in every epoch augmented differently.

    A sample depends on ``(seed, epoch, index)`` alone, so any thread, process or resumed run makes the same.

    Parameters
    ----------
    items
        Windows of one shape (Z, H, W), each with its segment.
    normalization
        Brings voxels to [0, 1].
    view
        Augmentation, or None for the crops as they are.
    seed
        Seed of augmentation and order.
    cache_bytes
        Most memory to hold decoded voxels in. Where the windows need more, the order of an epoch stays within
        one neighbourhood after another, so that this much is enough: the order depends on this number.
    labelled
        Whether samples have ink and supervision. Without, they have papyrus, and no label is touched, there or not.

    Raises
    ------
    LabelError
        There are no windows.
    """

    def __init__(
        self,
        items: Sequence[Item],
        *,
        normalization: Normalization,
        view: View | None = None,
        seed: int = 0,
        cache_bytes: int = CACHE_BYTES,
        labelled: bool = True,
    ) -> None:
        if not items:
            raise LabelError("Expected windows to learn from; got none from any segment.")
        self._items = tuple(items)
        self._normalization, self._view, self._seed = normalization, view, seed
        flats = LABELS if labelled else PAPYRUS
        self._names = tuple(flat.name for flat in flats)
        self._cache, self._cache_bytes = BlockCache(cache_bytes, flats), cache_bytes
        self._pools = self._pooled()

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Return the sample of epoch 0."""
        return self.sample(index, epoch=0)

    def sample(self, index: int, *, epoch: int) -> dict[str, Tensor]:
        """Cut, normalise and augment one window.

        Returns
        -------
        dict
            ``image`` float32 (Z, H, W) in [0, 1]; ``ink`` float32 (1, H, W) in [0, 1] and ``supervision`` float32
            (1, H, W), 0 or 1; or, instead of these two, ``papyrus`` float32 (1, H, W), 0 or 1: what the mask says,
            everywhere 1 without a mask, 0 beyond the volume.

        Raises
        ------
        SourceError
            The voxels around the window are damaged, or floats among them are NaN or infinite: see `Segment.read`.
        """
        segment, window = self._items[index]
        cube = self._cache.read(segment, window)
        image = torch.from_numpy(self._normalization(cube.voxels))
        flats = [torch.from_numpy(flat[None].astype(np.float32, copy=False)) for flat in cube.flats]  # HW -> 1HW
        if self._view is not None:
            drawn = self._view.draw(np.random.default_rng([self._seed, epoch, index]), window.shape)
            image, *flats = self._view.apply(drawn, image, *flats)
        return {"image": image, **dict(zip(self._names, flats, strict=True))}

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return every index once, in the order of an epoch."""
        rng = np.random.default_rng([self._seed, epoch])
        return np.concatenate([rng.permutation(self._pools[pool]) for pool in rng.permutation(len(self._pools))])

    def _pooled(self) -> tuple[NDArray[np.int64], ...]:
        """Part the indices into neighbourhoods whose blocks fit the cache together; mostly that is one pool."""
        first = {id(segment): index for index, (segment, _) in reversed(list(enumerate(self._items)))}

        def place(index: int) -> tuple[int, int, int]:
            segment, window = self._items[index]
            return (first[id(segment)], window.y[0] // _NEIGHBOURHOOD, window.x[0] // _NEIGHBOURHOOD)

        pools: list[list[int]] = [[]]
        blocks: set[tuple[int, Window]] = set()
        held = 0
        for index in sorted(range(len(self)), key=place):
            segment, window = self._items[index]
            touched = {(first[id(segment)], block) for block in blocks_of(window, segment.shape)}
            if pools[-1] and held + self._nbytes(touched - blocks) > self._cache_bytes:
                pools.append([])
                blocks, held = set(), 0
            held += self._nbytes(touched - blocks)
            blocks |= touched
            pools[-1].append(index)
        return tuple(np.array(pool) for pool in pools)

    def _nbytes(self, blocks: set[tuple[int, Window]]) -> int:
        """Return the memory that blocks take, each with the index of an item of its segment."""
        return sum(self._cache.nbytes(self._items[first][0], block) for first, block in blocks)


def voxel_samples(items: Sequence[Item], count: int = 32) -> Iterator[NDArray[Any]]:
    """Yield the voxels of up to ``count`` windows, spread evenly, to fit a `Normalization` on."""
    for _, same in groupby(spread(items, count), key=lambda item: id(item[0])):
        segments, windows = zip(*same, strict=True)
        yield from read_windows(segments[0], [window.clip(segments[0].shape) for window in windows])
