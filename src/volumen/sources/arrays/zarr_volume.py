"""ZarrVolume: a zarr array, v2 or v3, plain or a level of an OME-Zarr image, local or remote, as a lazy array."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import zarr
from aiohttp import ClientError
from zarr.storage import LocalStore

from volumen.errors import SourceError, SourceNotFoundError, VolumenError
from volumen.plain_json import parse_object
from volumen.sources.arrays.ome import MOST_LEVELS, read_ome
from volumen.sources.arrays.whole_blosc import WholeBlosc
from volumen.sources.damage import DAMAGE, described
from volumen.sources.remote.remote_store import RemoteStore, remote_identity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from volumen.sources.location import Location

_METADATA = {3: "zarr.json", 2: ".zarray"}
_PICKLE = "pickle"
_MOST_VOXELS = 2**63 - 1
_MOST_CHUNK_BYTES = 2**31  # codecs take no more, and a chunk is unpacked as a whole


@dataclass(frozen=True)
class ZarrVolume:
    """A zarr array whose errors name the array; leading axes of length one (time, channel) are dropped.

    Parameters
    ----------
    array
        Opened array.
    source
        Path or URL of the array, for messages.
    axes
        How many of the last axes are kept: 3 for ZYX, 2 for YX.
    reopen
        Of a remote array: opens it so that nothing that is kept of it will do (``reuse=False``).
    """

    array: zarr.Array[Any]
    source: str
    axes: int = 3
    reopen: Callable[..., zarr.Array[Any]] | None = None

    def __post_init__(self) -> None:
        if any(length != 1 for length in self.array.shape[: -self.axes]):
            raise SourceError(
                f"{self.source} has shape {self.array.shape}; at most {self.axes} axes longer than one are understood, "
                f"the last ones ({'ZYX'[-self.axes :]}). Save one channel and one time point."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Extent along the kept axes."""
        return self.array.shape[-self.axes :]

    @property
    def ndim(self) -> int:
        """Number of kept axes."""
        return len(self.shape)

    @property
    def chunks(self) -> tuple[int, ...]:
        """Extent of what is decoded at once: the inner chunk, of a sharded array."""
        return self.array.chunks[-self.axes :]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of an element, in this machine's byte order."""
        return self.array.dtype.newbyteorder("=")

    def __getitem__(self, key: tuple[slice, ...], /) -> NDArray[Any]:
        try:
            voxels = self._read(key)
        except DAMAGE as error:
            raise SourceError(
                f"{self.source} cannot be read at {_box(key)}: a chunk is damaged, truncated or out of reach "
                f"({described(error)}). Download or convert that volume again."
            ) from error
        found = np.asarray(voxels, dtype=self.dtype)
        if not found.any() and self._gone():  # zarr takes what is not there for chunks of zeros
            raise SourceNotFoundError(
                f"{self.source} was deleted, moved or unmounted while it was read. Put it back, and go on from there."
            )
        return found

    def _read(self, key: tuple[slice, ...]) -> Any:
        dropped: tuple[Any, ...] = (0,) * (self.array.ndim - self.ndim)
        try:
            return self.array[(*dropped, *key)]
        except DAMAGE as error:
            if self.reopen is None or isinstance(error, (VolumenError, ClientError, OSError)):
                raise
            return self.reopen(reuse=False)[(*dropped, *key)]  # what was kept may be what is damaged

    def _gone(self) -> bool:
        """Say whether a local array that was opened is there no more."""
        return "://" not in self.source and not any((Path(self.source) / name).exists() for name in _METADATA.values())


@dataclass(frozen=True, kw_only=True)
class ZarrImage:
    """What a store holds: arrays by size, the edge of a voxel where it is said, and the store's own attributes."""

    levels: tuple[ZarrVolume, ...]
    voxel_um: float | None
    attributes: Mapping[str, Any]


def open_zarr(location: Location, axes: int = 3) -> ZarrImage | None:
    """Open a zarr array or OME-Zarr image without listing its store, or return None where there is none.

    Parameters
    ----------
    location
        The array's or the image's folder.
    axes
        3 for a volume, 2 for a flat raster; a flat raster may come as a volume too, see `flat_layer`.
    """
    node = _node(location)
    if node is None:
        return None
    version, kind, attributes = node
    if kind == "array":
        return ZarrImage(levels=(_open_array(location, version, axes),), voxel_um=None, attributes=attributes)
    image = read_ome(attributes, str(location))
    if image is None:
        levels = _numbered(location, version, axes)
        return ZarrImage(levels=levels, voxel_um=None, attributes=attributes)
    if not image.paths:
        raise SourceError(f"{location} names no datasets in its OME-Zarr metadata; the store is incomplete.")
    levels = tuple(_open_array(location / path, version, axes) for path in image.paths)
    return ZarrImage(levels=_same_depth(levels), voxel_um=image.voxel_um, attributes=attributes)


def flat_layer(volume: ZarrVolume) -> NDArray[Any]:
    """Read a raster, YX; one stored as a volume has its values on the middle layer."""
    shape = volume.shape
    if len(shape) == 3:
        middle = volume[shape[0] // 2 : shape[0] // 2 + 1, 0 : shape[1], 0 : shape[2]]
        return middle.reshape(shape[1:])  # 1YX -> YX
    return volume[0 : shape[0], 0 : shape[1]]


def _node(location: Location) -> tuple[Literal[2, 3], str, dict[str, Any]] | None:
    """Return (format, "array" or "group", attributes) from the metadata files alone."""
    found = _read_json(location / "zarr.json")
    if found is not None:
        said = found.get("attributes") or {}
        if not isinstance(said, dict):
            raise SourceError(f"{location / 'zarr.json'} is damaged: its attributes should be an object.")
        return 3, str(found.get("node_type")), said
    attributes = _read_json(location / ".zattrs") or {}
    if (location / ".zarray").read() is not None:
        return 2, "array", attributes
    if attributes or (location / ".zgroup").read() is not None:
        return 2, "group", attributes
    return None


def _read_json(location: Location) -> dict[str, Any] | None:
    raw = location.read()
    if raw is None:
        return None
    try:
        return parse_object(raw)
    except ValueError as error:
        raise SourceError(f"{location} is damaged: it should hold a JSON object ({error}).") from error


def _open_array(location: Location, version: Literal[2, 3], axes: int) -> ZarrVolume:
    metadata = location / _METADATA[version]
    try:
        state = None if location.local else remote_identity(metadata.path)
        opened = partial(_array, location, version, state)
        array = opened(reuse=True)
    except FileNotFoundError as error:
        raise SourceNotFoundError(f"There is no zarr array at {location}, though its metadata names it.") from error
    except DAMAGE as error:
        raise SourceError(f"{location} cannot be opened as a zarr array: {described(error)}") from error
    return ZarrVolume(array, str(location), min(axes, array.ndim), None if location.local else opened)


def _array(location: Location, version: Literal[2, 3], state: str | None, *, reuse: bool) -> zarr.Array[Any]:
    store: LocalStore | RemoteStore
    if state is None:
        store = LocalStore(location.path, read_only=True)
    else:
        store = RemoteStore(location.path, _METADATA[version], state, reuse=reuse)
    array = zarr.open_array(store, mode="r", zarr_format=version)
    if array.dtype.kind == "T" or array.dtype.names:
        raise SourceError(f"{location} holds {array.dtype}; voxels are numbers. Save it as uint8.")
    if not 0 < prod(array.chunks) * array.dtype.itemsize < _MOST_CHUNK_BYTES:
        raise SourceError(f"{location} is damaged: it says that it lies in chunks of {array.chunks}. Copy it again.")
    if prod(array.shape) > _MOST_VOXELS:
        raise SourceError(f"{location} is damaged: it says that its shape is {array.shape}. Copy it again.")
    if any(getattr(codec, "codec_id", "") == _PICKLE for codec in (*array.filters, *array.compressors)):
        raise SourceError(
            f"{location} is coded by {_PICKLE}, which can run any code when it is read, and was not. Save it otherwise."
        )
    if array.shards is None and array.compressors and "blosc" in type(array.compressors[-1]).__name__.lower():
        return zarr.open_array(WholeBlosc(store), mode="r", zarr_format=version)
    return array


def _numbered(location: Location, version: Literal[2, 3], axes: int) -> tuple[ZarrVolume, ...]:
    """Open the arrays 0, 1, 2 … of a group that does not say what it holds."""
    levels: list[ZarrVolume] = []
    for number in range(MOST_LEVELS):
        child = location / str(number)
        if _node(child) is None:
            break
        levels.append(_open_array(child, version, axes))
    if not levels:
        raise SourceError(
            f"{location} is a zarr group without OME-Zarr metadata and without an array 0; "
            "give the path of the array inside it."
        )
    return _same_depth(tuple(levels))


def _same_depth(levels: tuple[ZarrVolume, ...]) -> tuple[ZarrVolume, ...]:
    """Keep the levels that have all layers: a level that mixes layers has another writing surface."""
    first = levels[0]
    return tuple(level for level in levels if (level.ndim, level.shape[:-2]) == (first.ndim, first.shape[:-2]))


def _box(key: tuple[slice, ...]) -> str:
    return ", ".join(f"{axis}={part}" for axis, part in zip("zyx"[-len(key) :], map(_range, key), strict=False))


def _range(part: Any) -> str:
    return f"{part.start}:{part.stop}" if isinstance(part, slice) else str(part)
