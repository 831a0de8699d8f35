"""open_segment: whatever people keep a flattened volume in, with the labels and masks beside it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from volumen.errors import SourceError
from volumen.plain_json import parse
from volumen.sources.arrays.images import PICTURES, TIFFS, is_picture, suffix
from volumen.sources.arrays.layer_names import find_layers
from volumen.sources.arrays.layer_stack import LayerStack, open_picture, open_stack, open_tiff_stack
from volumen.sources.arrays.npy_volume import open_npy
from volumen.sources.arrays.ome import edge_um
from volumen.sources.arrays.zarr_volume import open_zarr
from volumen.sources.labels.beside import find_rasters, holds_one_volume, open_raster
from volumen.sources.labels.inside import open_inner_rasters
from volumen.sources.location import Location
from volumen.sources.photos.photo_volume import open_colours
from volumen.sources.segment import RASTERS, LazyArray, Segment

if TYPE_CHECKING:
    from volumen.sources.labels.rasters import Raster

PathLike = str | os.PathLike[str]

_LAYER_FOLDERS = ("layers", "surface_volume")
_TYPES = ("uint8", "uint16", "float16", "float32", "float64")


def open_segment(
    path: PathLike,
    *,
    ink: PathLike | None = None,
    supervision: PathLike | None = None,
    held_out: PathLike | None = None,
    mask: PathLike | None = None,
    reverse: bool = False,
    voxel_um: float | None = None,
    name: str | None = None,
    colours: bool = False,
) -> Segment:
    """Open a segment lazily: only headers and metadata are read, and no store is listed.

    Parameters
    ----------
    path
        Folder of layer images (``00.tif`` … ``64.tif``) or its parent with ``layers/`` or ``surface_volume/``,
        multi-page TIFF, ``.npy``, zarr v2 or v3 array or group, OME-Zarr 0.4 or 0.5; local, or a URL that fsspec
        knows (https, s3, memory …). One image (PNG, JPEG, TIFF) is a segment of one layer, its colours grey.
    ink, supervision, held_out, mask
        Rasters, where they are not found beside the volume under the usual names (``<id>_inklabels.png``,
        ``<id>_supervision_mask.*``, ``<id>_validation_mask.*``, ``<id>_mask.png``, ``_v2`` and so on).
    reverse
        Read the layers last to first.
    voxel_um
        Edge of a voxel in micrometres, where the files do not say it.
    name
        Identity of the segment; the file's or folder's name if not given.
    colours
        Open one image as three layers, red, green and blue, turned as its EXIF says: what models of photographs see.

    Returns
    -------
    Segment
        Volume and rasters, none of them read yet.

    Raises
    ------
    SourceNotFoundError
        When nothing is at ``path``, or at the path of a raster.
    SourceError
        When the data are damaged, inconsistent or in a form that is not understood.
    LabelError
        When a raster's size does not fit the volume.

    Examples
    --------
    >>> segment = open_segment("20230827161847.zarr", reverse=True)  # doctest: +SKIP
    >>> segment.shape, segment.surface_index  # doctest: +SKIP
    ((65, 9163, 5048), 32)
    """
    found = _open_volume(Location.of(path), colours=colours)
    _check(found)
    given = {"ink": ink, "supervision": supervision, "held_out": held_out, "mask": mask}
    identity = name or found.identity
    rasters = _open_rasters(found, {key: Location.of(value) for key, value in given.items() if value}, identity)
    _, height, width = found.levels[0].shape
    return Segment(
        name=identity,
        source=str(path),
        levels=found.levels,
        voxel_um=voxel_um or found.voxel_um,
        reverse=reverse,
        **{key: raster.fit((height, width), f"the volume {path}") for key, raster in rasters.items()},
    )


def find_label_home(path: PathLike) -> tuple[Location, str]:
    """Return where new labels of a segment belong, so that `open_segment` takes them before any other.

    Returns
    -------
    Location, str
        The store itself and no name, for an OME-Zarr of ours on this machine: they belong inside it. Else the
        folder whose labels are read now, or the segment's own, and the name with which files in it start.
    """
    found = _open_volume(Location.of(path))
    if found.location.local and "volumen" in (found.attributes or {}):
        return (found.location, "")
    for place, own in found.places:
        if {"ink", "supervision"} & set(find_rasters(place, found.identity, own=own)):
            return (place, found.identity)
    in_layers = found.location.name in _LAYER_FOLDERS
    return (found.location.parent if in_layers else found.places[0][0], found.identity)


@dataclass(frozen=True, kw_only=True)
class _Found:
    """A volume, what its files say, and where its rasters may be: (folder, whether it is the segment's own)."""

    location: Location
    levels: tuple[LazyArray, ...]
    voxel_um: float | None
    places: tuple[tuple[Location, bool], ...] = ()
    attributes: dict[str, Any] | None = None

    @property
    def identity(self) -> str:
        folder = self.location.parent if self.location.name in _LAYER_FOLDERS else self.location
        stem = re.sub(r"(\.ome)?\.(zarr|tiff?|npy|png|jpe?g)$", "", folder.name, flags=re.IGNORECASE)
        return stem.removesuffix("_superseded") or "segment"


def _open_volume(location: Location, *, colours: bool = False) -> _Found:
    if colours and suffix(location) in (*PICTURES, *TIFFS):
        return _picture(location, open_colours(location))
    if suffix(location) == ".npy":
        return _single(location, (open_npy(location),))
    if suffix(location) in PICTURES or (suffix(location) in TIFFS and is_picture(location)):
        return _picture(location, open_picture(location))
    if suffix(location) in TIFFS:
        return _single(location, (open_tiff_stack(location),))
    image = open_zarr(location)
    if image is not None:
        return _single(location, image.levels, image.voxel_um, dict(image.attributes))
    for folder in (*(location / name for name in _LAYER_FOLDERS), location):
        files = find_layers(folder)
        if files:
            return _folder(folder, open_stack(files))
    if not location.exists() and location.listing() is None:
        raise location.missing("nothing")
    raise SourceError(
        f"{location} holds no volume that is understood: expected numbered layer images (00.tif …), "
        f"{' or '.join(name + '/' for name in _LAYER_FOLDERS)} with such, a TIFF, a .npy, a zarr or an image."
    )


def _single(
    location: Location,
    levels: tuple[LazyArray, ...],
    voxel_um: float | None = None,
    attributes: dict[str, Any] | None = None,
) -> _Found:
    """Describe a volume of one file or store: its rasters are its siblings, or in a folder of its name."""
    found = _Found(location=location, levels=levels, voxel_um=voxel_um, attributes=attributes)
    parent = location.parent
    names = parent.listing() if parent.local else None
    alone = parent.name == found.identity or holds_one_volume(names or ())
    return replace(found, places=((parent, alone), (parent / found.identity, True)))


def _picture(location: Location, volume: LazyArray) -> _Found:
    """Describe a single image; among the images beside it only those that bear its name are its rasters."""
    found = _Found(location=location, levels=(volume,), voxel_um=None)
    return replace(found, places=((location.parent, False), (location.parent / found.identity, True)))


def _folder(folder: Location, stack: LayerStack) -> _Found:
    """Describe a folder of layers: rasters lie in it, next to ``layers/``, or beside the segment's folder."""
    own = [folder, folder.parent] if folder.name in _LAYER_FOLDERS else [folder]
    return _Found(
        location=folder,
        levels=(stack,),
        voxel_um=next((edge for edge in map(_voxelsize, own) if edge), None),
        places=(*((place, True) for place in own), (own[-1].parent, False)),
    )


def _voxelsize(folder: Location) -> float | None:
    """Return the edge of a voxel in µm from the scan's ``meta.json``, if it says so."""
    raw = (folder / "meta.json").read()
    if raw is None:
        return None
    try:
        meta = parse(raw)
    except ValueError as error:
        raise SourceError(f"{folder / 'meta.json'} is damaged: it should hold JSON ({error}).") from error
    return edge_um(meta.get("voxelsize")) if isinstance(meta, dict) else None


def _open_rasters(found: _Found, given: dict[str, Location], identity: str) -> dict[str, Raster]:
    """Open those given; then those inside our own store; then those beside the volume."""
    rasters = {key: open_raster(location) for key, location in given.items()}
    if found.attributes is not None and (found.location.local or "volumen" in found.attributes):
        rasters = open_inner_rasters(found.location) | rasters
    for place, own in found.places:
        if set(rasters) == set(RASTERS):
            break
        for key, location in find_rasters(place, identity, own=own).items():
            if key not in rasters and location.path != found.location.path:
                rasters[key] = open_raster(location)
    return rasters


def _check(found: _Found) -> None:
    volume = found.levels[0]
    if len(volume.shape) != 3 or 0 in volume.shape:
        hint = " Is it a label or a map?" if len(volume.shape) == 2 else ""
        raise SourceError(f"{found.location} should be a volume of three axes, ZYX; it has shape {volume.shape}.{hint}")
    if volume.dtype.name not in _TYPES:
        raise SourceError(
            f"{found.location} holds {volume.dtype} voxels; expected one of {', '.join(_TYPES)}. Convert it to 16-bit."
        )
