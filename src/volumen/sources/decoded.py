"""decoded_at_once: the box of voxels that a volume must be decoded by: a chunk, a tile, a strip, a whole picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from volumen.sources.arrays.layer_stack import LayerStack
from volumen.sources.arrays.zarr_volume import ZarrVolume

if TYPE_CHECKING:
    from volumen.sources.segment import Segment


def decoded_at_once(segment: Segment) -> tuple[int, int, int]:
    """Return the extent (Z, Y, X) of what is decoded to read one voxel of a segment at full size.

    That is a chunk of a zarr (the inner one, where there are shards), a tile or strip of a TIFF, or a whole PNG or
    JPEG; a chunk or tile may reach past the volume's end. It is one voxel where nothing is decoded: in mapped files,
    and in arrays in memory.

    Examples
    --------
    >>> import numpy as np
    >>> from volumen.sources.segment import Segment
    >>> decoded_at_once(Segment(name="a", source="a.npy", levels=(np.zeros((3, 8, 8)),)))
    (1, 1, 1)
    """
    match segment.levels[0]:
        case ZarrVolume(chunks=(depth, height, width)):
            return (depth, height, width)
        case LayerStack(piece=(height, width)):
            return (1, height, width)
    return (1, 1, 1)
