"""Rasters inside a store of ours: written and opened at ``labels/<raster>``, as flat OME-Zarr images."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import zarr

from volumen.sources.arrays.zarr_volume import open_zarr
from volumen.sources.labels.beside import raster_of_zarr
from volumen.sources.pyramids.pyramid import create_pyramid
from volumen.sources.segment import RASTERS
from volumen.whole_files import out_of_space
from volumen.windows import Window

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from volumen.sources.labels.rasters import Raster
    from volumen.sources.location import Location

_CHUNK = 256
_BAND = 16 * _CHUNK  # rows written at a time


def open_inner_rasters(store: Location) -> dict[str, Raster]:
    """Open the rasters that a store holds itself, by raster name; of several versions (``_v2``) the highest wins."""
    names = (store / "labels").listing() if store.local else None
    found = {}
    for name in RASTERS:
        location = store / "labels" / _highest(name, names or ())
        image = open_zarr(location)
        if image is not None:
            found[name] = raster_of_zarr(location, image)
    return found


def _highest(name: str, among: Iterable[str]) -> str:
    versions = (int(match[1]) for found in among if (match := re.fullmatch(rf"{name}_v(\d+)", found)))
    version = max(versions, default=None)
    return name if version is None else f"{name}_v{version}"


def write_inner_raster(
    store: str | os.PathLike[str], name: str, raster: Raster, *, voxel_um: float | None = None
) -> None:
    """Write a raster into a store, over what is there: its own extent only, so that padding stays unlabelled.

    Parameters
    ----------
    store
        Folder of the OME-Zarr image.
    name
        ``ink``, ``supervision``, ``held_out`` or ``mask``.
    raster
        What to write, as uint8, 0 to 255.
    voxel_um
        Edge of a voxel in micrometres, if known.
    """
    path = Path(store) / "labels" / name
    shutil.rmtree(path, ignore_errors=True)
    height, width = raster.extent
    pyramid = create_pyramid(
        path,
        shape=raster.extent,
        dtype="uint8",
        chunks=(_CHUNK, _CHUNK),
        axes="yx",
        voxel_um=voxel_um,
        downsampling="nearest",
        attributes={"raster": name},
    )
    for top in range(0, height, _BAND):
        window = Window((0, 1), (top, min(top + _BAND, height)), (0, width))
        pyramid.write(window, raster.pixels[window.yx])


def list_inner_rasters(store: str | os.PathLike[str], names: Iterable[str]) -> None:
    """Write the group that says which rasters a store holds, as OME-Zarr readers expect it."""
    with out_of_space(store):
        ome = {"version": "0.5", "labels": sorted(names)}
        zarr.open_group(Path(store) / "labels", mode="a", zarr_format=3).attrs["ome"] = ome
