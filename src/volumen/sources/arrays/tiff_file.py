"""open_tiff: a TIFF by itself; what its metadata say of other files is not followed."""

from __future__ import annotations

from operator import index
from typing import TYPE_CHECKING

import tifffile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import IO


def open_tiff(file: IO[bytes] | Path) -> tifffile.TiffFile:
    """Open a TIFF to read this one file.

    OME, Micro-Manager and NDTiff metadata may say that pages are in other files, anywhere, which tifffile would open:
    somebody else's image must not choose what is read, and pages of other files have no place in a stack of this one.
    """
    tiff = tifffile.TiffFile(file, _multifile=False, is_mmstack=False, is_ndtiff=False)
    len(tiff.pages)  # finds directories that go in circles, in which tifffile would read for ever
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
