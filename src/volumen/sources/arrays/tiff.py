"""TiffLayer: one page of a TIFF, of which a box is read without decoding more strips or tiles than it touches."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import cached_property, partial
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import tifffile

from volumen.errors import SourceError
from volumen.sources.arrays.images import damaged, inverted
from volumen.sources.arrays.tiff_file import decoder, lies_within, open_tiff
from volumen.sources.damage import DAMAGE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from volumen.sources.location import Location


_BAND_BYTES = 2**20
_MOST_LAYERS = 2**16  # volumes have hundreds, or a few tens of thousands
_MOST_BANDS = 2**21  # of a terabyte at least


@dataclass(frozen=True, kw_only=True, eq=False)
class TiffLayer:
    """A grey page, or one colour of a page, whose directory has been read.

    Parameters
    ----------
    location
        The file.
    page
        Its index in the file.
    shape
        (H, W) in pixels.
    dtype
        Type of a voxel, in this machine's byte order.
    piece
        (rows, columns) of a strip or tile: what is decoded at once.
    offsets, lengths
        Where each strip or tile lies in the file, in bytes.
    sample
        Which of the colours of a pixel.
    white
        Whether 0 is white on disk (MINISWHITE); it reads as black.
    stored
        Type of a voxel on disk, where the page lies there as in memory, from the first offset on; else None. Its
        pieces are then bands of rows, for a remote file to be read by.
    """

    location: Location
    page: int
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    piece: tuple[int, int]
    offsets: tuple[int, ...]
    lengths: tuple[int, ...]
    stored: np.dtype[Any] | None
    sample: int = 0
    white: bool = False

    def __post_init__(self) -> None:
        (height, width), (rows, columns) = self.shape, self.piece
        pieces = -(-height // rows) * -(-width // columns) if rows > 0 and columns > 0 else 0
        if not 0 < pieces <= len(self.offsets) == len(self.lengths):
            raise SourceError(
                f"{self.location} is damaged: page {self.page} of {height} x {width} px should lie in pieces of "
                f"{rows} x {columns} px, and {len(self.offsets)} are listed. Copy it again."
            )

    def map(self) -> NDArray[Any] | None:
        """Map the page into memory, where it lies uncompressed in a local file, as it is read."""
        if self.stored is None or self.white or not self.location.local:
            return None
        return np.memmap(self.location.path, dtype=self.stored, mode="r", offset=self.offsets[0], shape=self.shape)

    def decode(self, index: int) -> NDArray[Any]:
        """Read and decode a strip or tile, YX; it is cut or padded at the page's edge.

        Raises
        ------
        SourceError
            When it is truncated, empty or damaged.
        """
        with self.location.open() as file:
            file.seek(self.offsets[index])
            raw = file.read(self.lengths[index])
        if not raw or len(raw) < self.lengths[index]:
            raise SourceError(f"{self.location} is truncated at page {self.page}; copy it again.")
        pixels = self._decoded(raw, index)
        return inverted(pixels) if self.white else pixels

    def _decoded(self, raw: bytes, index: int) -> NDArray[Any]:
        if self.stored is not None:
            return np.frombuffer(raw, dtype=self.stored).reshape(-1, self.shape[1]).astype(self.dtype)  # YX
        try:
            decoded = self._decoder(raw, index)[0]
        except DAMAGE as error:
            raise damaged(self.location, error) from error
        return np.asarray(decoded[0, :, :, self.sample], dtype=self.dtype)  # ZYXC, Z = 1 -> YX

    @cached_property
    def _decoder(self) -> Callable[..., tuple[Any, ...]]:
        with self.location.open() as file, open_tiff(file) as tiff:
            page = tiff.pages[self.page]
            keyframe = page.keyframe
            if keyframe is None:
                raise SourceError(f"{self.location} has no directory for page {self.page}; copy it again.")
            decode = decoder(keyframe)
            return decode if page.jpegtables is None else partial(decode, jpegtables=page.jpegtables)

    def __getstate__(self) -> dict[str, Any]:
        # tifffile's decoder is a closure, which cannot be pickled; a worker process makes its own.
        return {key: value for key, value in self.__dict__.items() if key != "_decoder"}


def open_tiff_layers(location: Location) -> tuple[TiffLayer, ...]:
    """Read the directories of a TIFF: its pages, or the layers of an ImageJ or OME stack, in order.

    Raises
    ------
    SourceError
        When the file is damaged, truncated, in colour, or holds more than one stack.
    """
    with location.open() as file:
        try:
            layers = _layers(location, file)
            for layer in layers:
                _refuse_truncated(layer, file)
        except DAMAGE as error:
            raise damaged(location, error) from error
    return layers


def open_colour_tiff(location: Location) -> tuple[TiffLayer, ...]:
    """Read the directory of a single page in RGB, 8 bit, pixel by pixel, as a layer a colour; none for other pages.

    Raises
    ------
    SourceError
        When the file is damaged.
    """
    with location.open() as file:
        try:
            with open_tiff(file) as tiff:
                page = tiff.pages.first
                alone = len(tiff.series) == 1 and tiff.series[0].size == page.size
                chunky = page.planarconfig == tifffile.PLANARCONFIG.CONTIG and page.samplesperpixel == 3
                coloured = page.photometric in (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR)
                if not (alone and chunky and coloured and page.dtype == np.uint8):
                    return ()
                strip = (min(page.rowsperstrip, page.imagelength), page.imagewidth)
                layers = tuple(
                    TiffLayer(
                        location=location,
                        page=0,
                        shape=(page.imagelength, page.imagewidth),
                        dtype=np.dtype(np.uint8),
                        piece=(page.tilelength, page.tilewidth) if page.is_tiled else strip,
                        offsets=tuple(page.dataoffsets),
                        lengths=tuple(page.databytecounts),
                        stored=None,
                        sample=sample,
                    )
                    for sample in range(3)
                )
            _refuse_truncated(layers[0], file)
            return layers
        except DAMAGE as error:
            raise damaged(location, error) from error


def _refuse_truncated(layer: TiffLayer, file: IO[bytes]) -> None:
    if not lies_within(file, layer.offsets, layer.lengths):
        raise SourceError(f"{layer.location} is truncated: it ends within page {layer.page}. Copy it again.")


def _layers(location: Location, file: IO[bytes]) -> tuple[TiffLayer, ...]:
    with open_tiff(file) as tiff:
        series = tiff.series[0]
        first = series.keyframe
        _check(location, tiff)
        shape = (first.imagelength, first.imagewidth)
        dtype = np.dtype(first.dtype)
        stored = dtype.newbyteorder(tiff.byteorder)
        white = first.photometric == tifffile.PHOTOMETRIC.MINISWHITE
        count = math.prod(series.shape) // (shape[0] * shape[1])
        if series.dataoffset is not None:  # one run of voxels, whatever number of pages describes it
            return flat_layers(location, (count, *shape), stored, series.dataoffset, white)
        pages = [page for page in series.pages if page is not None]
        if len(pages) != count:
            raise SourceError(f"{location} should hold {count} pages but holds {len(pages)}; copy it again.")
        if first.is_contiguous and first.is_final:
            _refuse_countless(location, (count, *shape), stored)
            return tuple(_flat_layer(location, page.index, shape, stored, page.dataoffsets[0], white) for page in pages)
        piece = (first.tilelength, first.tilewidth) if first.is_tiled else (first.rowsperstrip, shape[1])
        return tuple(
            TiffLayer(
                location=location,
                page=page.index,
                shape=shape,
                dtype=dtype,
                piece=piece if first.is_tiled else (min(piece[0], shape[0]), piece[1]),
                offsets=tuple(page.dataoffsets),
                lengths=tuple(page.databytecounts),
                stored=None,
                white=white,
            )
            for page in pages
        )


def flat_layers(
    location: Location, shape: tuple[int, int, int], stored: np.dtype[Any], start: int, white: bool = False
) -> tuple[TiffLayer, ...]:
    """Describe layers that lie uncompressed one after another from ``start`` on in a file.

    Raises
    ------
    SourceError
        When they are more, or larger, than those of a volume.
    """
    _refuse_countless(location, shape, stored)
    depth, height, width = shape
    size = height * width * stored.itemsize
    return tuple(
        _flat_layer(location, layer, (height, width), stored, start + layer * size, white) for layer in range(depth)
    )


def _flat_layer(
    location: Location, page: int, shape: tuple[int, int], stored: np.dtype[Any], start: int, white: bool
) -> TiffLayer:
    """Describe a layer that lies uncompressed at ``start`` in a file, in bands of about a megabyte."""
    height, width = shape
    rows = _rows(shape, stored)
    tops = range(0, height, rows)
    return TiffLayer(
        location=location,
        page=page,
        shape=shape,
        dtype=stored.newbyteorder("="),
        piece=(rows, width),
        offsets=tuple(start + top * width * stored.itemsize for top in tops),
        lengths=tuple((min(top + rows, height) - top) * width * stored.itemsize for top in tops),
        stored=stored,
        white=white,
    )


def _refuse_countless(location: Location, shape: tuple[int, int, int], stored: np.dtype[Any]) -> None:
    """Refuse more layers or bands than a volume has: they would fill the memory, whatever is there of them."""
    depth, height, width = shape
    if depth > _MOST_LAYERS or depth * -(-height // _rows((height, width), stored)) > _MOST_BANDS:
        raise SourceError(
            f"{location} says that it holds {depth} layers of {height} x {width} px, which is taken for damage. Copy "
            "it again, or save it as an OME-Zarr."
        )


def _rows(shape: tuple[int, int], stored: np.dtype[Any]) -> int:
    """Return how many rows a band has."""
    return min(shape[0], max(1, _BAND_BYTES // (shape[1] * stored.itemsize)))


def _check(location: Location, tiff: tifffile.TiffFile) -> None:
    """Refuse colour, several images or stacks, odd bit depths, and a chain of pages that breaks off."""
    first = tiff.series[0].keyframe
    if first.samplesperpixel != 1 or first.colormap is not None:
        found = "a palette" if first.colormap is not None else f"{first.samplesperpixel} channels"
        raise SourceError(f"{location} is in colour ({found}); layers must be grey. Convert it to grey.")
    if len(tiff.series) > 1:
        shapes = ", ".join(str(one.shape) for one in tiff.series)
        raise SourceError(f"{location} holds images of several sizes or types, {shapes}; save one stack of equal ones.")
    axes, shape = tiff.series[0].axes, tiff.series[0].shape
    if sum(length > 1 for length in shape[:-2]) > 1:
        raise SourceError(
            f"{location} holds several stacks, {axes} of shape {shape}; expected one, ZYX. Save one channel and one "
            "time point."
        )
    if first.dtype is None:
        raise SourceError(f"{location} holds {first.bitspersample}-bit voxels; expected 8 or 16 bit, or float.")
    # tifffile stops without an error where the next page lies beyond the end of a truncated file.
    form, handle = tiff.tiff, tiff.filehandle
    last = tiff.pages[len(tiff.pages) - 1].offset
    handle.seek(last)
    (tags,) = struct.unpack(form.tagnoformat, handle.read(form.tagnosize))
    handle.seek(last + form.tagnosize + tags * form.tagsize)
    (following,) = struct.unpack(form.offsetformat, handle.read(form.offsetsize))
    if following:
        raise SourceError(f"{location} is truncated after {len(tiff.pages)} pages; copy it again.")
