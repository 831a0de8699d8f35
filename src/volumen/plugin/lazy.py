"""LazyLevel: one level of a picture as napari takes it, read only where it is looked at and never stale."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from volumen.sources.arrays.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import DTypeLike, NDArray

_SCREEN = 1024  # px: what the longer side of the coarsest level comes to
_LARGEST = 4096  # px: up to here a picture needs no further levels
_REMEMBERED = 256 * 2**20  # bytes of a volume's level that are kept


class Readable(Protocol):
    """An array, in memory or not, of which boxes are read by slices without a step."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Extent along each axis."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of an element."""
        ...

    def __getitem__(self, key: Any, /) -> Any:
        """Read a box."""
        ...


class LazyLevel:
    """A view on a source that is read when it becomes an array: slicing it only narrows the view.

    napari cuts the visible box out of a level first and picks the layer afterwards; an eager array would read the
    box of every layer for that.

    Parameters
    ----------
    source
        What is read.
    ranges
        For each axis of the source, which elements the view has, in which order; all of them if not given.
    rows
        How many rows the source decodes to read one of them.

    Examples
    --------
    >>> level = LazyLevel(np.arange(24).reshape(2, 3, 4))
    >>> view = level[:, 1:, ::2]
    >>> view.shape, view[1].tolist()
    ((2, 2, 2), [[16, 18], [20, 22]])
    """

    def __init__(self, source: Readable, ranges: Iterable[range] | None = None, *, rows: int = 1) -> None:
        self._source = source
        self._ranges = tuple(map(range, source.shape)) if ranges is None else tuple(ranges)
        self._rows = rows

    @property
    def shape(self) -> tuple[int, ...]:
        """Extent along each axis."""
        return tuple(map(len, self._ranges))

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self._ranges)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of an element."""
        return self._source.dtype

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """Extent of what is decoded at once, to which napari grows what it asks for; None where that is unknown."""
        chunks: tuple[int, ...] | None = getattr(self._source, "chunks", None)
        plain = all(part.start == 0 and part.step == 1 for part in self._ranges[-2:])
        return chunks if chunks and plain and len(chunks) == self.ndim else None

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        """Return a narrower view for slices; read for anything that also holds a number."""
        parts = key if isinstance(key, tuple) else (key,)
        if Ellipsis in parts:
            at = parts.index(Ellipsis)
            parts = (*parts[:at], *[slice(None)] * (self.ndim + 1 - len(parts)), *parts[at + 1 :])
        parts = (*parts, *[slice(None)] * (self.ndim - len(parts)))
        wide = [
            whole[part] if isinstance(part, slice) else _one(whole, int(part))
            for whole, part in zip(self._ranges, parts, strict=True)
        ]
        view = LazyLevel(self._source, wide, rows=self._rows)
        if all(isinstance(part, slice) for part in parts):
            return view
        # Single numbers drop their axis, as numpy's do.
        return np.asarray(view)[tuple(slice(None) if isinstance(part, slice) else 0 for part in parts)]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Read what the view shows."""
        array = self._read()
        return array if dtype is None else array.astype(dtype, copy=False)

    def coarser(self, step: int) -> LazyLevel:
        """Return the view of every ``step``-th row and column."""
        *before, rows, columns = self._ranges
        return LazyLevel(self._source, (*before, rows[::step], columns[::step]), rows=self._rows)

    def _read(self) -> NDArray[Any]:
        """Read in bands, so that a coarse view of a large picture never holds the whole of it."""
        if 0 in self.shape:
            return np.empty(self.shape, dtype=self.dtype)
        *before, rows, columns = self._ranges
        if abs(rows.step) == 1:
            return self._box((*before, rows, columns))
        out = np.empty(self.shape, dtype=self.dtype)
        band = max(1, self._rows // abs(rows.step))
        for top in range(0, len(rows), band):
            out[..., top : top + band, :] = self._box((*before, rows[top : top + band], columns))
        return out

    def _box(self, ranges: tuple[range, ...]) -> NDArray[Any]:
        """Read the box that holds the ranges, then pick their elements out of it."""
        box = tuple(slice(min(part), max(part) + 1) for part in ranges)
        picked = tuple(slice(None, None, part.step) for part in ranges)
        return np.asarray(self._source[box])[picked]


class Slabs:
    """A volume in chunks that are several layers deep: what was decoded for one layer serves its neighbours too.

    Only for volumes, which do not change while they are looked at.

    Parameters
    ----------
    source
        What is read, ZYX.
    depth
        Layers in a chunk.
    """

    def __init__(self, source: Readable, depth: int) -> None:
        self._source = source
        self._depth = depth
        self._slabs = Recent(_REMEMBERED)
        self.shape = source.shape
        self.dtype = source.dtype
        self.chunks: tuple[int, ...] | None = getattr(source, "chunks", None)

    def __getitem__(self, key: tuple[slice, slice, slice], /) -> NDArray[Any]:
        z, y, x = (part.indices(length)[:2] for part, length in zip(key, self.shape, strict=True))
        first = z[0] // self._depth * self._depth
        last = min(self.shape[0], -(-z[1] // self._depth) * self._depth)
        cost = (last - first) * (y[1] - y[0]) * (x[1] - x[0]) * self.dtype.itemsize
        if cost > _REMEMBERED // 2:
            return np.asarray(self._source[key])
        box = (slice(first, last), slice(*y), slice(*x))
        slab: NDArray[Any] = self._slabs.get((first, last, y, x), lambda: np.asarray(self._source[box]), _nbytes)
        return slab[z[0] - first : z[1] - first]


class HeldLevel:
    """The coarsest level of a flat picture, held in memory and refilled in place when the store has changed.

    napari 0.9 turns the coarsest level of a two-dimensional pyramid into an array once and never asks for it again,
    so whoever is zoomed out would see the first state for good. It is handed this array of ours instead, which
    `reload` fills again.

    Parameters
    ----------
    source
        What is read.
    """

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._array = np.array(source[(slice(None),) * len(source.shape)])

    @property
    def shape(self) -> tuple[int, ...]:
        """Extent along each axis."""
        return self._array.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._array.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._array.size

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of an element."""
        return self._array.dtype

    def __getitem__(self, key: Any) -> Any:
        return self._array[key]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Return the array itself, not a copy: what napari holds on to must follow."""
        return self._array if dtype is None else self._array.astype(dtype, copy=False)

    def reload(self) -> None:
        """Read the source again, into the same array."""
        self._array[...] = self._source[(slice(None),) * self.ndim]


def reload(levels: Iterable[Any]) -> None:
    """Read again what a layer's ``data`` holds in memory; call it before ``layer.refresh`` when the store has changed.

    Examples
    --------
    >>> source = np.zeros((4, 4))
    >>> pyramid = [LazyLevel(source), HeldLevel(source)]
    >>> source[0, 0] = 1
    >>> reload(pyramid)
    >>> pyramid[1][0, 0].item()
    1.0
    """
    for level in levels:
        if isinstance(level, HeldLevel):
            level.reload()


def with_coarser(levels: list[LazyLevel]) -> list[LazyLevel]:
    """Add levels of every second row and column, where a picture is large and its coarsest level is no screenful.

    napari reads the whole plane of a picture without levels at each step.
    """
    levels = list(levels)
    base = levels[-1]
    step = 1
    if max(base.shape[-2:]) > _LARGEST:
        while max(levels[-1].shape[-2:]) > _SCREEN:
            step *= 2
            levels.append(base.coarser(step))
    return levels


def _one(whole: range, index: int) -> range:
    """Return the range of a single element."""
    element = whole[index]
    return range(element, element + 1)


def _nbytes(array: NDArray[Any]) -> int:
    return array.nbytes
