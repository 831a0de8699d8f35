"""Reader: a segment opens in napari as a pyramid of lazy levels, its labels and masks as layers of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np

from volumen.errors import VolumenError
from volumen.sources.open import open_segment
from volumen.windows import Window

if TYPE_CHECKING:
    from collections.abc import Callable

    from volumen.sources.rasters import Raster
    from volumen.sources.segment import LazyArray, Segment

LayerData = tuple[Any, dict[str, Any], str]

_VIEW_CHUNK = 512
_COLORMAPS = {"ink": "red", "supervision": "green", "held_out": "cyan", "mask": "gray"}


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[LayerData]] | None:
    """Return the reader if ``path`` is one segment that volumen can open, else None so that others may try."""
    if not isinstance(path, str):
        return None
    try:
        open_segment(path)
    except VolumenError:
        return None
    return read_segment


def read_segment(path: str | list[str]) -> list[LayerData]:
    """Open a segment as napari layers: the volume as ``<name>``, its rasters as ``<name>_ink``, ``<name>_mask``."""
    segment = open_segment(path if isinstance(path, str) else path[0])
    layers = [_volume_layer(segment)]
    for name, colormap in _COLORMAPS.items():
        raster: Raster | None = getattr(segment, name)
        if raster is not None:
            layers.append(_raster_layer(segment, name, raster, colormap))
    return layers


def _volume_layer(segment: Segment) -> LayerData:
    # dask slices lazily before it reads; a raw zarr array would read every layer for one (napari#9515)
    levels = [_lazy(level, segment.reverse) for level in segment.levels]
    settings = {
        "name": segment.name,
        "multiscale": len(levels) > 1,
        "contrast_limits": _contrast(segment),
        "scale": _scale(segment, 3),
        "units": ("um",) * 3 if segment.voxel_um else ("pixel",) * 3,
        "axis_labels": ("z", "y", "x"),
        "metadata": {"volumen": {"source": segment.source, "surface": segment.surface_index}},
        "cache": False,  # napari's cache would show old voxels after the store is written
    }
    return (levels if len(levels) > 1 else levels[0], settings, "image")


def _raster_layer(segment: Segment, name: str, raster: Raster, colormap: str) -> LayerData:
    settings = {
        "name": f"{segment.name}_{name}",
        "contrast_limits": (0.0, 1.0),
        "colormap": colormap,
        "blending": "additive",
        "opacity": 0.5,
        "visible": name == "ink",
        "scale": _scale(segment, 2),
        "units": ("um",) * 2 if segment.voxel_um else ("pixel",) * 2,
        "axis_labels": ("y", "x"),
    }
    return (raster.read(segment.window), settings, "image")


def _lazy(level: LazyArray, reverse: bool) -> Any:
    chunks = (1, min(_VIEW_CHUNK, level.shape[1]), min(_VIEW_CHUNK, level.shape[2]))
    array = da.from_array(level, chunks=chunks, name=False, asarray=False)  # type: ignore[no-untyped-call]
    return array[::-1] if reverse else array


def _scale(segment: Segment, ndim: int) -> tuple[float, ...]:
    return (segment.voxel_um or 1.0,) * ndim


def _contrast(segment: Segment) -> tuple[float, float]:
    """Take limits from the middle of the surface layer, so that the picture is right at once."""
    level = len(segment.levels) - 1
    _, height, width = segment.levels[level].shape
    surface = segment.surface_index
    y, x = max(0, height // 2 - 256), max(0, width // 2 - 256)
    window = Window((surface, surface + 1), (y, min(height, y + 512)), (x, min(width, x + 512)))
    low, high = np.percentile(segment.read(window, level), (1, 99))
    return (float(low), float(max(high, low + 1)))
