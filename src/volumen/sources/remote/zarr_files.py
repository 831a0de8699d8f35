"""The files of a remote zarr: its metadata fetched, then the chunks that a box touches named; nothing is listed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

from volumen.errors import SettingsError, SourceError
from volumen.plain_json import parse_object
from volumen.sources.arrays.ome import MOST_LEVELS, read_ome
from volumen.sources.arrays.zarr_names import NODES
from volumen.sources.arrays.zarr_volume import ZarrVolume, open_zarr
from volumen.sources.location import Location
from volumen.whole_files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from volumen.sources.remote.client import Client

_ROOT = ("zarr.json", ".zattrs", ".zgroup", ".zarray")
_ARRAY = ("zarr.json", ".zarray", ".zattrs")
_MOST_CHUNKS = 2**21  # a scroll of 1.6 gigapixels has less, in chunks of 64 px

Range = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class File:
    """A remote file that belongs to a segment.

    Parameters
    ----------
    url
        Where it is.
    path
        Where it goes, below the segment's folder, with ``/``.
    size
        Its bytes, where they are known beforehand.
    witness
        Of a chunk, which may lack where all of it is the fill value: the URL of its array's metadata, which is there
        as long as the array is. None for a file that must be there.
    """

    url: str
    path: str
    size: int | None = None
    witness: str | None = None


async def is_zarr(client: Client, url: str) -> bool:
    """Say whether there is a zarr at a URL, without listing."""
    for name in (*NODES, ".zattrs"):
        if await client.exists(f"{url}/{name}"):
            return True
    return False


async def fetch_metadata(client: Client, url: str, folder: Path) -> None:
    """Bring the metadata of a zarr array or group and of the arrays in it.

    Raises
    ------
    SourceError
        When there is none, it is damaged, or not that of the store whose chunks are in the folder already.
    """
    said: dict[str, Any] = {}
    for name in _ROOT:
        found = await _bring(client, f"{url}/{name}", folder / name)
        if found is not None:
            said[name] = found
    if not said:
        raise SourceError(f"There is no zarr at {url}.")
    if ".zarray" in said or said.get("zarr.json", {}).get("node_type") == "array":
        return
    attributes = said.get("zarr.json", {}).get("attributes") or said.get(".zattrs", {})
    image = read_ome(attributes, url)
    for path in image.paths if image else map(str, range(MOST_LEVELS)):
        parts = [await _bring(client, f"{url}/{path}/{name}", folder / path / name) for name in _ARRAY]
        if not any(part is not None for part in parts):
            break


async def _bring(client: Client, url: str, target: Path) -> dict[str, Any] | None:
    raw = await client.read(url)
    if raw is None:
        return None
    try:
        found = parse_object(raw)
    except ValueError as error:
        raise SourceError(f"{url} is damaged: it should hold a JSON object ({error}).") from error
    if not target.exists():
        write_whole(target, raw)
    elif target.read_bytes() != raw:
        raise SourceError(f"{url} changed since the download began; remove {target.parent} and start again.")
    return found


def chunk_files(
    url: str, root: Path, path: str, *, layers: Range | None, region: tuple[int, int, int, int] | None, flat: bool
) -> Iterator[File]:
    """Yield the chunks of a zarr that a box touches, at every level.

    Parameters
    ----------
    url
        Of the zarr.
    root, path
        Folder of the segment, and where in it the zarr's metadata lie.
    layers, region
        Layers, and (y0, y1, x0, x1) in pixels at full size; all of them if None.
    flat
        It is a label: only its middle layer counts.

    Raises
    ------
    SettingsError
        When the box is not inside the volume.
    """
    image = open_zarr(Location.of(root / path))
    if image is None:
        raise SourceError(f"{url} holds no array that is understood.")
    full = image.levels[0].shape
    if len(full) < 2 or 0 in full:
        raise SourceError(f"{url} should be a volume or a flat image; it has shape {full}.")
    box = _box(full, layers, region, flat)
    for level in image.levels:
        below = Location.of(root / path).path
        inner = level.source.removeprefix(below).strip("/\\").replace("\\", "/")
        inner = f"{inner}/" if inner else ""
        scaled = [
            (start * length // whole, min(length, -(-stop * length // whole)))
            for (start, stop), length, whole in zip(box, level.shape, full, strict=True)
        ]
        size = _plain_bytes(level)
        witness = f"{url}/{inner}{'zarr.json' if level.array.metadata.zarr_format == 3 else '.zarray'}"
        for key in _keys(level, scaled):
            yield File(url=f"{url}/{inner}{key}", path=f"{path}/{inner}{key}", size=size, witness=witness)


def _box(
    full: tuple[int, ...], layers: Range | None, region: tuple[int, int, int, int] | None, flat: bool
) -> list[Range]:
    """Return the box as one range for each axis."""
    depth, (height, width) = full[0] if len(full) == 3 else 1, full[-2:]
    z = (depth // 2, depth // 2 + 1) if flat else layers or (0, depth)
    y0, y1, x0, x1 = region or (0, height, 0, width)
    box = [z, (y0, y1), (x0, x1)][-len(full) :]
    if flat:  # labels are padded, or a little smaller than their volume
        return [(min(start, length), min(stop, length)) for (start, stop), length in zip(box, full, strict=True)]
    if any(stop > length for (_, stop), length in zip(box, full, strict=True)):
        asked = ", ".join(f"{axis} {start}:{stop}" for axis, (start, stop) in zip("zyx", box, strict=False))
        raise SettingsError(f"The volume has shape {full} (Z, Y, X); {asked} is not inside it. Choose less.")
    return box


def _keys(level: ZarrVolume, box: list[Range]) -> Iterator[str]:
    array = level.array
    chunks = array.shards or array.chunks
    ranges = [(0, 1)] * (array.ndim - len(box)) + box
    metadata: Any = array.metadata
    spans = [(start // size, -(-stop // size)) for (start, stop), size in zip(ranges, chunks, strict=True)]
    count = prod(stop - start for start, stop in spans)
    if count > _MOST_CHUNKS:
        raise SourceError(
            f"{level.source} says that what is asked for lies in {count} chunks; over {_MOST_CHUNKS} are taken for "
            "damage. Ask for less, by --layers or --region."
        )
    for index in product(*(range(*span) for span in spans)):
        yield metadata.encode_chunk_key(index)


def _plain_bytes(level: ZarrVolume) -> int | None:
    """Return how long each chunk's file is, where nothing compresses it."""
    array = level.array
    if array.shards is not None or array.compressors or array.filters:
        return None
    return prod(array.chunks) * array.dtype.itemsize
