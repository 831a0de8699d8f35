"""NpyVolume: a ``.npy`` file as a lazy array: memory-mapped on this machine, read by ranges elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy

from volumen.errors import SourceError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from volumen.sources.location import Location


@dataclass(frozen=True)
class NpyVolume:
    """An uncompressed array in C order.

    Parameters
    ----------
    location
        The file.
    shape
        Extent (Z, Y, X).
    stored
        Type of an element as it is on disk, byte order included.
    offset
        Where the voxels start, in bytes.
    """

    location: Location
    shape: tuple[int, ...]
    stored: np.dtype[Any]
    offset: int

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of an element, in this machine's byte order."""
        return self.stored.newbyteorder("=")

    def __getitem__(self, key: tuple[slice, ...], /) -> NDArray[Any]:
        if self.location.local:
            return np.array(self._mapped[key], dtype=self.dtype)
        return self._fetch(*key).astype(self.dtype, copy=False)

    @cached_property
    def _mapped(self) -> NDArray[Any]:
        return np.memmap(self.location.path, dtype=self.stored, mode="r", offset=self.offset, shape=self.shape)

    def _fetch(self, z: slice, y: slice, x: slice) -> NDArray[Any]:
        """Read whole rows, a range a layer."""
        _, height, width = self.shape
        rows, row_bytes = y.stop - y.start, width * self.stored.itemsize
        layers = []
        with self.location.open() as file:
            for layer in range(z.start, z.stop):
                file.seek(self.offset + (layer * height + y.start) * row_bytes)
                raw = file.read(rows * row_bytes)
                if len(raw) < rows * row_bytes:
                    raise SourceError(f"{self.location} ends within layer {layer}; download it again.")
                layers.append(np.frombuffer(raw, dtype=self.stored).reshape(rows, width)[:, x])  # YX
        return np.stack(layers) if layers else np.empty((0, rows, x.stop - x.start), dtype=self.stored)

    def __getstate__(self) -> dict[str, Any]:
        # A memory map would be pickled as its voxels.
        return {key: value for key, value in self.__dict__.items() if key != "_mapped"}


def open_npy(location: Location) -> NpyVolume:
    """Read the header of a ``.npy`` file.

    Raises
    ------
    SourceError
        When the file is damaged, shorter than its header says, in Fortran order or pickled.
    """
    with location.open() as file:
        try:
            version = npy.read_magic(file)
            read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, fortran, stored = read_header(file)
        except ValueError as error:
            raise SourceError(f"{location} is damaged: {error}") from error
        offset = file.tell()
        length = file.seek(0, 2)
    if fortran or stored.hasobject:
        raise SourceError(f"{location} must hold plain numbers in C order; save np.ascontiguousarray(…) of it.")
    needed = offset + int(np.prod(shape, dtype=np.int64)) * stored.itemsize
    if length < needed:
        raise SourceError(f"{location} is truncated: {needed} bytes expected, {length} there. Copy it again.")
    return NpyVolume(location, shape, stored, offset)
