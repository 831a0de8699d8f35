"""Layers: a segment, its rasters and an ink map as napari layers that say where they come from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np

from volumen.plugin.lazy import HeldLevel, LazyLevel, Slabs, with_coarser
from volumen.sources.arrays.images import PICTURES, TIFFS, suffix
from volumen.sources.arrays.zarr_volume import open_zarr
from volumen.sources.decoded import decoded_at_once
from volumen.sources.location import Location
from volumen.sources.pyramids.probability_map import open_map
from volumen.sources.segment import RASTERS
from volumen.windows import Window

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from volumen.sources.labels.rasters import Raster
    from volumen.sources.pyramids.probability_map import ProbabilityMap
    from volumen.sources.segment import Segment

LayerData = tuple[Any, dict[str, Any], str]
"""What napari makes a layer of: data, options, type."""

Kind = Literal["segment", "ink", "supervision", "held_out", "mask", "paint", "prediction"]

COLORMAPS = {"ink": "red", "supervision": "green", "held_out": "cyan", "mask": "gray", "prediction": "magma"}
"""Colours of the flat layers."""

_METADATA = "volumen"
_LABELS = "volumen_labels"
_SAMPLE = 512  # px: side of what the contrast is taken from, where there is no coarse level


@dataclass(frozen=True)
class LayerOrigin:
    """What a layer of ours shows; kept as plain values in the layer's metadata under ``volumen``.

    Parameters
    ----------
    kind
        ``segment`` for the volume, the raster's name, ``paint`` for labels being painted, or ``prediction``.
    path
        The segment's path or URL as it was opened; the map's own, for a prediction.
    name
        The segment's name; the map's own, for a prediction.
    """

    kind: Kind
    path: str
    name: str

    @property
    def metadata(self) -> dict[str, Any]:
        """What goes into a layer's ``metadata``."""
        return {_METADATA: asdict(self)}


def origin_of(layer: Any) -> LayerOrigin | None:
    """Return where a layer comes from, None for a layer that is not ours.

    Parameters
    ----------
    layer
        Any napari layer, or None where none is selected.
    """
    found = getattr(layer, "metadata", {}).get(_METADATA)
    if not isinstance(found, dict) or found.get("kind") not in get_args(Kind):
        return None
    return LayerOrigin(kind=found["kind"], path=str(found["path"]), name=str(found["name"]))


def rasters_of(layer: Any) -> dict[str, str]:
    """Return where the rasters of a segment's layer were when it was opened, by their names."""
    found = getattr(layer, "metadata", {}).get(_LABELS)
    return dict(found) if isinstance(found, dict) else {}


def rasters_in(segment: Segment) -> dict[str, str]:
    """Return where the rasters of a segment are, by their names."""
    return {name: raster.source for name in RASTERS if (raster := getattr(segment, name)) is not None}


def segment_data(segment: Segment) -> list[LayerData]:
    """Return a segment's layers: the volume as ``<name>``, its rasters as ``<name>_ink``, ``<name>_mask`` and so on.

    Of the volume only the contrast's sample is read; of the rasters nothing but headers.
    """
    layers = [_volume_layer(segment)]
    for name in RASTERS:
        raster: Raster | None = getattr(segment, name)
        if raster is not None:
            layers.append(_raster_layer(segment, name, raster))
    return layers


def prediction_data(path: str | os.PathLike[str], *, name: str | None = None) -> LayerData:
    """Return the layer of an ink map on disk, finished or not.

    The levels are read where they are looked at. When the map has grown, call `volumen.plugin.lazy.reload` on
    ``layer.data`` and then ``layer.refresh``.

    Parameters
    ----------
    path
        Folder of the map.
    name
        What to call the layer; the map's file name if not given.

    Raises
    ------
    SourceNotFoundError, SourceError
        When ``path`` holds no ink map.
    """
    found = open_map(path)
    label = name or found.path.name.removesuffix(".zarr")
    levels = _map_levels(found)
    return (
        levels if len(levels) > 1 else levels[0],
        {
            "name": label,
            "multiscale": len(levels) > 1,
            "contrast_limits": (0, 255),
            "colormap": COLORMAPS["prediction"],
            "blending": "additive",
            "opacity": 0.7,
            **_grid(found.pyramid.voxel_um, "yx"),
            "metadata": LayerOrigin("prediction", str(found.path), label).metadata,
        },
        "image",
    )


def _map_levels(found: ProbabilityMap) -> list[Any]:
    *fine, coarsest = found.pyramid.levels
    if not fine:
        return [LazyLevel(coarsest)]
    return [*map(LazyLevel, fine), HeldLevel(coarsest)]


def _volume_layer(segment: Segment) -> LayerData:
    depth, rows, _ = decoded_at_once(segment)
    sources = [Slabs(level, depth) if depth > 1 else level for level in segment.levels]
    order = slice(None, None, -1 if segment.reverse else 1)
    levels = with_coarser([LazyLevel(source, rows=rows)[order] for source in sources])
    options = {
        "name": segment.name,
        "multiscale": len(levels) > 1,
        "contrast_limits": _contrast(segment),
        "colormap": "gray",
        **_grid(segment.voxel_um, "zyx"),
        "metadata": {
            **LayerOrigin("segment", segment.source, segment.name).metadata,
            _LABELS: rasters_in(segment),
        },
    }
    return (levels if len(levels) > 1 else levels[0], options, "image")


def _raster_layer(segment: Segment, name: str, raster: Raster) -> LayerData:
    levels = with_coarser(raster_levels(raster))
    options = {
        "name": f"{segment.name}_{name}",
        "multiscale": len(levels) > 1,
        "contrast_limits": (0, 255),
        "colormap": COLORMAPS[name],
        "blending": "additive",
        "opacity": 0.5,
        "visible": name == "ink",
        **_grid(segment.voxel_um, "yx"),
        "metadata": LayerOrigin(cast("Kind", name), segment.source, segment.name).metadata,
    }
    return (levels if len(levels) > 1 else levels[0], options, "image")


def raster_levels(raster: Raster) -> list[LazyLevel]:
    """Return the levels that a raster has on disk, cut to its extent; one alone, where it has to be decoded whole."""
    location = Location.of(raster.source)
    store = None if suffix(location) in (*PICTURES, *TIFFS, ".npy") else open_zarr(location, axes=2)
    if store is None or "volumen" not in store.attributes:
        return [LazyLevel(_Decoded(raster))]
    height, width = raster.extent
    return [
        LazyLevel(level, rows=level.chunks[0])[: -(-height >> index), : -(-width >> index)]
        for index, level in enumerate(store.levels)
    ]


@dataclass(frozen=True, eq=False)
class _Decoded:
    """A raster's pixels, uint8 YX, decoded when the first of them is asked for."""

    raster: Raster

    @property
    def shape(self) -> tuple[int, ...]:
        return self.raster.extent

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint8)

    def __getitem__(self, key: Any, /) -> NDArray[np.uint8]:
        return np.asarray(self.raster.pixels[key])


def _grid(voxel_um: float | None, axes: str) -> dict[str, Any]:
    """Return what places a layer: µm where the edge of a voxel is known."""
    return {
        "scale": (voxel_um or 1.0,) * len(axes),
        "units": ("um" if voxel_um else "pixel",) * len(axes),
        "axis_labels": tuple(axes),
    }


def _contrast(segment: Segment) -> tuple[float, float]:
    """Take limits from papyrus in the middle of the surface layer, so that the picture is right at once."""
    level = len(segment.levels) - 1
    _, height, width = segment.levels[level].shape
    side = _SAMPLE if level == 0 else max(height, width)
    y, x = max(0, (height - side) // 2), max(0, (width - side) // 2)
    layers = (segment.surface_index, segment.surface_index + 1)
    voxels = segment.read(Window(layers, (y, min(height, y + side)), (x, min(width, x + side))), level)
    papyrus = voxels[voxels > 0]  # outside the papyrus is 0
    low, high = np.percentile(papyrus, (1, 99)) if papyrus.size else (0.0, 1.0)
    return (float(low), float(high if high > low else low + 1))
