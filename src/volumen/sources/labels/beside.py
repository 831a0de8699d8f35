"""Rasters beside a volume: found by the community's file names, opened whatever form they have."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from volumen.errors import SourceNotFoundError
from volumen.sources.arrays.images import PICTURES, TIFFS, FlatImage, open_image, suffix
from volumen.sources.arrays.npy_volume import read_npy, read_npy_header
from volumen.sources.arrays.zarr_volume import ZarrImage, ZarrVolume, flat_layer, open_zarr
from volumen.sources.labels.rasters import Pixels, Raster, not_flat, painted, to_uint8
from volumen.sources.raster_names import NAMES, names_raster

if TYPE_CHECKING:
    from collections.abc import Iterable

    from volumen.sources.location import Location

_ENDINGS = (*TIFFS, *PICTURES, ".zarr")


def find_rasters(folder: Location, identity: str, *, own: bool) -> dict[str, Location]:
    """Find the rasters of one segment in a folder.

    Parameters
    ----------
    folder
        Where to look.
    identity
        The segment's name, with which its files start: ``<identity>_inklabels.png``.
    own
        Whether the folder belongs to that segment alone, so that plain ``inklabels.png`` is its too.

    Returns
    -------
    dict
        Location by raster name. Of several versions (``_v2``) the highest wins; where a folder cannot be listed
        (plain http), the usual names are tried.
    """
    names = folder.listing()
    if names is None:
        return {} if folder.local else _guess(folder, identity)
    found = {}
    for raster, word in NAMES.items():
        pattern = re.compile(
            rf"({re.escape(identity)}_)?{word}(?:_v(\d+))?({'|'.join(map(re.escape, _ENDINGS))})", re.IGNORECASE
        )
        ranked = []
        for name in names:
            match = pattern.fullmatch(name)
            if match and (own or match[1]):
                ranked.append((int(match[2] or 0), bool(match[1]), -_ENDINGS.index(match[3].lower()), name))
        if ranked:
            found[raster] = folder / max(ranked)[-1]
    return found


def holds_one_volume(names: Iterable[str]) -> bool:
    """Whether a folder holds a single volume, so that a plain ``mask.png`` in it can only be that one's."""
    volumes = [name for name in names if name.lower().endswith((".zarr", ".npy", *TIFFS)) and not names_raster(name)]
    return len(volumes) == 1


def open_raster(location: Location) -> Raster:
    """Open a flat label or mask: PNG, JPEG, TIFF, ``.npy`` or zarr, from its header alone.

    Raises
    ------
    SourceNotFoundError
        When nothing is there.
    SourceError, LabelError
        When it is damaged, or not flat.
    """
    if suffix(location) in (*PICTURES, *TIFFS):
        image = open_image(location)
        return _raster(location, image.shape, partial(_decode_image, image))
    if suffix(location) == ".npy":
        shape = read_npy_header(location).shape
        if len(shape) != 2:
            raise not_flat(str(location), shape)
        return _raster(location, (shape[0], shape[1]), partial(_decode_npy, location))
    store = open_zarr(location)
    if store is None:
        raise SourceNotFoundError(f"There is no flat image at {location}; expected a PNG, JPEG, TIFF, .npy or zarr.")
    return raster_of_zarr(location, store)


def raster_of_zarr(location: Location, store: ZarrImage) -> Raster:
    """Take an opened zarr for a raster: a flat array, or a volume that has it on the middle layer."""
    level = store.levels[0]
    if level.ndim < 2:
        raise not_flat(str(location), level.shape)
    shape = (level.shape[-2], level.shape[-1])
    if "volumen" in store.attributes and level.ndim == 2 and level.dtype == np.uint8:
        return _raster(location, shape, partial(_keep, level))  # ours: 0 to 255 for certain, so boxes suffice
    return _raster(location, shape, partial(_decode_zarr, level))


def _raster(location: Location, shape: tuple[int, int], decode: partial[Pixels]) -> Raster:
    return Raster(source=str(location), shape=shape, extent=shape, decode=decode)


def _decode_image(image: FlatImage) -> Pixels:
    pixels = image.read()
    return to_uint8(painted(pixels) if image.palette else pixels, str(image.location))


def _decode_npy(location: Location) -> Pixels:
    return to_uint8(read_npy(location), str(location))


def _decode_zarr(level: ZarrVolume) -> Pixels:
    return to_uint8(flat_layer(level), level.source)


def _keep(level: ZarrVolume) -> Pixels:
    return level


def _guess(folder: Location, identity: str) -> dict[str, Location]:
    found = {}
    for raster, word in NAMES.items():
        for ending in (".png", ".tif", ".zarr/zarr.json", ".zarr/.zattrs"):
            location = folder / f"{identity}_{word}{ending}"
            if location.exists():
                found[raster] = location.parent if ".zarr/" in ending else location
                break
    return found
