"""NpyVolume: a ``.npy`` file as a lazy array: one memory map on this machine, read by bands of rows elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy

from volumen.errors import SourceError
from volumen.sources.arrays.layer_stack import LayerStack
from volumen.sources.arrays.tiff import flat_layers
from volumen.sources.damage import DAMAGE, described

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from volumen.sources.location import Location

HEADER = 1000
"""Most bytes of a header: plain numbers need about 100, and numpy takes long over what is long and damaged."""


@dataclass(frozen=True)
class NpyHeader:
    """What a ``.npy`` file says of its array: its shape, its type on disk, where it starts, and whether columns run."""

    shape: tuple[int, ...]
    stored: np.dtype[Any]
    offset: int
    fortran: bool


@dataclass(frozen=True)
class NpyVolume:
    """An uncompressed array in C order, in a local file.

    Parameters
    ----------
    location
        The file.
    shape
        Extent along each axis.
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
        return np.array(self._mapped[key], dtype=self.dtype)

    @cached_property
    def _mapped(self) -> NDArray[Any]:
        return np.memmap(self.location.path, dtype=self.stored, mode="r", offset=self.offset, shape=self.shape)

    def __getstate__(self) -> dict[str, Any]:
        # A memory map would be pickled as its voxels.
        return {key: value for key, value in self.__dict__.items() if key != "_mapped"}


def open_npy(location: Location) -> NpyVolume | LayerStack:
    """Open a ``.npy`` file from its header.

    Raises
    ------
    SourceError
        When the file is damaged, shorter than its header says, in Fortran order or pickled; or when a remote one is
        not ZYX, or of more layers than volumes have.
    """
    header = read_npy_header(location)
    shape, stored = header.shape, header.stored
    if header.fortran:
        raise SourceError(f"{location} must hold plain numbers in C order; save np.ascontiguousarray(…) of it.")
    if location.local:
        return NpyVolume(location, shape, stored, header.offset)
    if len(shape) != 3 or 0 in shape:
        raise SourceError(f"{location} should be a volume of three axes, ZYX; it has shape {shape}.")
    depth, height, width = shape
    return LayerStack(flat_layers(location, (depth, height, width), stored, header.offset))


def read_npy_header(location: Location) -> NpyHeader:
    """Read the header of a ``.npy`` file.

    Raises
    ------
    SourceError
        When the file is damaged, shorter than its header says, or pickled.
    """
    with location.open() as file:
        try:
            version = npy.read_magic(file)
            read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, fortran, stored = read_header(file, max_header_size=HEADER)
        except DAMAGE as error:
            raise SourceError(f"{location} is damaged ({described(error)}); copy it again.") from error
        offset = file.tell()
        length = file.seek(0, 2)
    if any(side < 0 for side in shape) or not stored.itemsize:
        raise SourceError(f"{location} is damaged: its header says shape {shape} of {stored}. Copy it again.")
    if stored.hasobject:
        raise SourceError(f"{location} must hold plain numbers, and is pickled; save an array of one number type.")
    needed = offset + math.prod(shape) * stored.itemsize
    if length < needed:
        raise SourceError(f"{location} is truncated: {needed} bytes expected, {length} there. Copy it again.")
    return NpyHeader(shape, stored, offset, fortran)


def read_npy(location: Location) -> NDArray[Any]:
    """Read a ``.npy`` file in either order of its axes; mapped, and so lazy, on this machine.

    Raises
    ------
    SourceError
        When the file is damaged.
    """
    try:
        if location.local:
            return np.asarray(np.load(location.path, mmap_mode="r", allow_pickle=False, max_header_size=HEADER))
        with location.open() as file:
            return np.asarray(np.load(file, allow_pickle=False, max_header_size=HEADER))
    except DAMAGE as error:
        raise SourceError(f"{location} is damaged ({described(error)}); copy it again.") from error
