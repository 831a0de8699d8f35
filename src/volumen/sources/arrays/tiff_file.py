"""A TIFF of a stranger: opened by itself, without other files that its metadata name, and decoded without crashes."""

from __future__ import annotations

import struct
from copy import copy
from math import prod
from operator import index
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import imagecodecs
import tifffile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import IO

    import numpy as np
    from numpy.typing import NDArray


def open_tiff(file: IO[bytes] | Path) -> tifffile.TiffFile:
    """Open a TIFF to read this one file.

    OME, Micro-Manager and NDTiff metadata may say that pages are in other files, anywhere, which tifffile would open:
    somebody else's image must not choose what is read, and pages of other files have no place in a stack of this one.
    """
    tiff = tifffile.TiffFile(file, _multifile=False, is_mmstack=False, is_ndtiff=False)
    len(tiff.pages)  # finds directories that go in circles, in which tifffile would read for ever
    if tiff.is_ome and _planes(tiff.ome_metadata or "") > tiff.filehandle.size:
        raise ValueError("its OME metadata tell of more planes than it has bytes")  # of which tifffile makes a list
    return tiff


def lies_within(file: IO[bytes], offsets: Sequence[int], lengths: Sequence[int]) -> bool:
    """Whether every strip or tile of a page is in the file; tifffile makes up blank ones for those that are not.

    Raises
    ------
    TypeError
        Where they lie is said in fractions or in words.
    """
    end = file.seek(0, 2)
    pieces = zip(map(index, offsets), map(index, lengths), strict=True)
    return all(start >= 0 and 0 < length <= end - start for start, length in pieces)


def decoder(page: tifffile.TiffPage) -> Callable[..., tuple[Any, ...]]:
    """Return what decodes a strip or tile of a page from its bytes and its number: tifffile's own, but for LZW.

    The LZW of imagecodecs, which tifffile asks, takes codes of a damaged strip from a table that does not have them
    yet, which ends the process now and then (2026.3.6). libtiff's notices, and is no slower.
    """
    if page.compression != tifffile.COMPRESSION.LZW:
        return page.decode
    bare = copy(page)
    for made in ("decode", "hash"):
        bare.__dict__.pop(made, None)
    bare.compression, bare.fillorder = tifffile.COMPRESSION.NONE, 1
    turned = page.fillorder == 2

    def decode(raw: bytes | None, number: int, **how: Any) -> tuple[Any, ...]:
        if raw is None:
            return bare.decode(None, number, **how)
        _, _, (depth, rows, columns, samples) = bare.decode(None, number)
        size = depth * rows * (-(-columns * samples * page.bitspersample // 8))
        return bare.decode(_unpacked(imagecodecs.bitorder_decode(raw) if turned else raw, size), number, **how)

    return decode


def _planes(ome: str) -> int:
    """Return how many planes OME metadata give to the image that has most."""
    try:
        images = ElementTree.fromstring(ome).findall(".//{*}Pixels")
    except ElementTree.ParseError:  # tifffile then reads the file without
        return 0
    return max((prod(int(image.get(f"Size{axis}", 1)) for axis in "ZCT") for image in images), default=0)


def _unpacked(lzw: bytes | bytearray, size: int) -> NDArray[np.uint8]:
    """Let libtiff unpack LZW to so many bytes: it is handed over as a TIFF of one row."""
    tags = {256: size, 257: 1, 258: 8, 259: 5, 262: 1, 273: 8 + 2 + 9 * 12 + 4, 277: 1, 278: 1, 279: len(lzw)}
    fields = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    header = struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + fields + bytes(4)
    row: NDArray[np.uint8] = imagecodecs.tiff_decode(header + lzw)
    return row.reshape(-1)
