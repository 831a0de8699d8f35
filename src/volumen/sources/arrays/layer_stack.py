"""LayerStack: images of single layers as one lazy ZYX array; strips, tiles and whole pictures are decoded on demand."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from volumen.errors import SourceError
from volumen.sources.arrays.images import TIFFS, FlatImage, eight_bit, open_image
from volumen.sources.arrays.recent import Recent
from volumen.sources.arrays.tiff import open_tiff_layers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from volumen.sources.location import Location

_MAPS = 32  # each map holds a file descriptor


class Layer(Protocol):
    """One layer: a YX image decoded piece by piece, the pieces numbered row by row."""

    @property
    def location(self) -> Location:
        """The file."""
        ...

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a voxel."""
        ...

    @property
    def piece(self) -> tuple[int, int]:
        """(rows, columns) that are decoded at once."""
        ...

    def map(self) -> NDArray[Any] | None:
        """Map the layer into memory, if it lies so on disk."""
        ...

    def decode(self, index: int) -> NDArray[Any]:
        """Decode a piece."""
        ...


@dataclass(frozen=True, kw_only=True)
class PictureLayer:
    """A PNG or JPEG layer, which can only be decoded whole."""

    image: FlatImage

    @property
    def location(self) -> Location:
        """The file."""
        return self.image.location

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return self.image.shape

    @property
    def piece(self) -> tuple[int, int]:
        """The whole picture."""
        return self.image.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a voxel; a 16-bit PNG of some writers opens as 32-bit."""
        return np.dtype({"int32": "uint16", "bool": "uint8"}.get(self.image.dtype.name, self.image.dtype))

    def map(self) -> None:
        """Return None: pictures are compressed."""

    def decode(self, index: int) -> NDArray[Any]:
        """Decode the picture; colours become grey."""
        grey = eight_bit(self.image) if self.dtype == np.uint8 else self.image.grey()
        return grey.astype(self.dtype, copy=False)


@dataclass(frozen=True, eq=False)
class LayerStack:
    """Layers of one size and type; ``stack[z0:z1, y0:y1, x0:x1]`` reads a box.

    Parameters
    ----------
    layers
        First to last.
    cache_bytes
        How many bytes of decoded pieces to keep.
    """

    layers: tuple[Layer, ...]
    cache_bytes: int = 128 * 2**20
    _pieces: Recent = field(init=False, repr=False)
    _maps: Recent = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_pieces", Recent(self.cache_bytes))
        object.__setattr__(self, "_maps", Recent(_MAPS))
        first = self.layers[0]
        for layer in self.layers:
            if (layer.shape, layer.dtype) != (first.shape, first.dtype):
                raise SourceError(
                    f"All layers must have one size and type, but {first.location} is {first.shape} px (H, W) "
                    f"{first.dtype} and {layer.location} is {layer.shape} px {layer.dtype}. Export the stack again."
                )

    @property
    def shape(self) -> tuple[int, ...]:
        """Extent (Z, Y, X)."""
        return (len(self.layers), *self.layers[0].shape)

    @property
    def ndim(self) -> int:
        """Three."""
        return 3

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a voxel."""
        return self.layers[0].dtype

    @property
    def piece(self) -> tuple[int, int]:
        """(rows, columns) of a layer that are decoded at once, at most; one pixel where every layer is mapped."""
        pieces = [(1, 1) if layer.map() is not None else layer.piece for layer in self.layers]
        return (max(rows for rows, _ in pieces), max(columns for _, columns in pieces))

    def __getitem__(self, key: tuple[slice | int, ...], /) -> NDArray[Any]:
        ranges = [
            range(*part.indices(length)) if isinstance(part, slice) else range(part, part + 1)
            for part, length in zip((*key, *[slice(None)] * (3 - len(key))), self.shape, strict=True)
        ]
        z, y, x = ranges
        out = np.empty((len(z), len(y), len(x)), dtype=self.dtype)
        for index, layer in enumerate(z):
            self._read(layer, slice(y.start, y.stop), slice(x.start, x.stop), out[index])
        # Single indices drop their axis, as numpy's do.
        return out[tuple(slice(None) if isinstance(part, slice) else 0 for part in key)]

    def _read(self, index: int, y: slice, x: slice, out: NDArray[Any]) -> None:
        """Fill ``out`` YX with a box of one layer."""
        layer = self.layers[index]
        mapped = self._maps.get(index, layer.map, lambda _: 1)
        if mapped is not None:
            out[...] = mapped[y, x]
            return
        rows, columns = layer.piece
        across = -(-layer.shape[1] // columns)
        tops = range(y.start // rows * rows, y.stop, rows)
        lefts = range(x.start // columns * columns, x.stop, columns)
        for top, left in product(tops, lefts):
            number = top // rows * across + left // columns
            piece = self._pieces.get((index, number), lambda n=number: layer.decode(n), _nbytes)  # type: ignore[misc]
            y0, y1 = max(top, y.start), min(top + rows, y.stop)
            x0, x1 = max(left, x.start), min(left + columns, x.stop)
            out[y0 - y.start : y1 - y.start, x0 - x.start : x1 - x.start] = piece[
                y0 - top : y1 - top, x0 - left : x1 - left
            ]

    def __reduce__(self) -> tuple[Any, ...]:
        return (LayerStack, (self.layers, self.cache_bytes))


def open_stack(files: Sequence[Location]) -> LayerStack:
    """Open layer images as a stack from their headers alone.

    Raises
    ------
    SourceError
        When a file is damaged, in colour, or of another size or type than the first.
    """
    layers: list[Layer] = []
    for file in files:
        if file.name.lower().endswith(TIFFS):
            pages = open_tiff_layers(file)
            if len(pages) != 1:
                raise SourceError(f"{file} should be one layer but holds {len(pages)} pages; save each as a file.")
            layers.append(pages[0])
            continue
        image = open_image(file)
        if image.channels != 1:
            raise SourceError(
                f"{file} is in colour ({image.channels} channels); layers must be grey. Convert it to grey."
            )
        layers.append(PictureLayer(image=image))
    return LayerStack(tuple(layers))


def open_tiff_stack(location: Location) -> LayerStack:
    """Open a TIFF of several pages as a stack."""
    return LayerStack(open_tiff_layers(location))


def open_picture(location: Location) -> LayerStack:
    """Open one image, grey or in colour, as a stack of a single grey layer, from its header alone."""
    return LayerStack((PictureLayer(image=open_image(location)),))


def _nbytes(array: NDArray[Any]) -> int:
    return array.nbytes
