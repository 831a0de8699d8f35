"""What of a volume is decoded at once, a chunk, tile, strip or whole picture, and windows read in the order for it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from volumen.sources.arrays.layer_stack import LayerStack
from volumen.sources.arrays.zarr_volume import ZarrVolume

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from volumen.sources.segment import Segment
    from volumen.windows import Window

_TOGETHER = 256 * 2**20  # bytes of windows that are filled at a time


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


def layer_by_layer(segment: Segment) -> bool:
    """Whether layers are decoded so nearly whole that all windows should be read from each in turn."""
    depth, height, width = decoded_at_once(segment)
    return depth == 1 and height * width >= segment.shape[1] * segment.shape[2] / 8 and height > 1


def read_windows(segment: Segment, windows: Sequence[Window]) -> Iterator[NDArray[Any]]:
    """Yield the voxels of each window as `Segment.read` does; layers that are decoded whole, once for many windows.

    Parameters
    ----------
    segment
        What to read from.
    windows
        Inside the segment, none much larger than the first.
    """
    if not windows or not layer_by_layer(segment):
        yield from map(segment.read, windows)
        return
    count = max(1, _TOGETHER // (math.prod(windows[0].shape) * segment.dtype.itemsize))
    for first in range(0, len(windows), count):
        together = windows[first : first + count]
        cubes = [np.empty(window.shape, segment.dtype) for window in together]
        for layer in range(min(window.z[0] for window in together), max(window.z[1] for window in together)):
            for window, cube in zip(together, cubes, strict=True):
                if window.z[0] <= layer < window.z[1]:
                    cube[layer - window.z[0]] = segment.read(window.layers(layer, layer + 1))[0]
        yield from cubes
