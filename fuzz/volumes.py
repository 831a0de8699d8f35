"""Volumes: folders of TIFF layers, TIFF stacks, NumPy files, zarr of both versions, and what OME says of images."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
import zarr
from zarr.storage import MemoryStore

from harness import Harness
from volumen.sources.open import open_segment
from volumen.sources.segment import RASTERS
from volumen.windows import Window

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from harness import Parts
    from volumen.sources.segment import Segment

_SIDE = 64
_VOLUME: NDArray[np.uint8] = np.arange(4 * 9 * 11, dtype=np.uint8).reshape(4, 9, 11)


def look(segment: Segment) -> None:
    """Read the first and the last corner of every level and raster."""
    for level, array in enumerate(segment.levels):
        depth, height, width = array.shape
        for z, y, x in ((0, 0, 0), (max(0, depth - 2), max(0, height - _SIDE), max(0, width - _SIDE))):
            segment.read(Window((z, min(depth, z + 2)), (y, min(height, y + _SIDE)), (x, min(width, x + _SIDE))), level)
    for name in RASTERS:
        raster = getattr(segment, name)
        if raster is not None:
            raster.read(Window((0, 1), (0, min(raster.shape[0], _SIDE)), (0, min(raster.shape[1], _SIDE))))


def _layers(folder: Path) -> None:
    look(open_segment(folder / "seg"))


def _pages(folder: Path) -> None:
    look(open_segment(folder / "scan.tif"))


def _npy(folder: Path) -> None:
    look(open_segment(folder / "seg.npy"))
    look(open_segment(folder / "seg.npy", ink=folder / "ink.npy"))


def _zarr(folder: Path) -> None:
    look(open_segment(folder / "seg.zarr"))


def _ome(folder: Path) -> None:
    if (folder / "two.zarr" / ".zattrs").exists():
        look(open_segment(folder / "two.zarr"))
    look(open_segment(folder / "three.zarr"))


def tiff(pixels: NDArray[Any], **how: Any) -> bytes:
    """Return a TIFF as bytes."""
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **how)
    return file.getvalue()


def npy(array: NDArray[Any], **how: Any) -> bytes:
    """Return a .npy file as bytes."""
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **how)
    return file.getvalue()


def _tiff_layers() -> Iterator[Parts]:
    for how in ({}, {"compression": "zlib"}, {"compression": "lzw", "rowsperstrip": 2}, {"tile": (16, 16)}):
        one, other = (tiff(np.roll(_VOLUME[0], turn), metadata=None, **how) for turn in (0, 1))
        yield one, other, b'{"voxelsize": 7.91, "width": 11}'
    yield tiff(_VOLUME[0].astype(">u2"), byteorder=">"), tiff(_VOLUME[1].astype(">u2"), byteorder=">"), b""
    yield tiff(_VOLUME[0].astype(np.float32), bigtiff=True), tiff(_VOLUME[1].astype(np.float32), bigtiff=True), b"{}"


def _tiff_pages() -> Iterator[Parts]:
    yield (tiff(_VOLUME),)
    yield (tiff(_VOLUME, compression="zlib", photometric="minisblack"),)
    yield (tiff(_VOLUME.astype(np.uint16), imagej=True),)
    yield (tiff(_VOLUME, ome=True, metadata={"axes": "ZYX"}),)
    yield (tiff(_VOLUME, tile=(16, 16), compression="lzw", metadata=None, photometric="minisblack"),)
    other = tiff(_VOLUME, ome=True, metadata={"axes": "ZYX"})
    yield (
        other.replace(b"<TiffData ", b'<TiffData><UUID FileName="/dev/zero">urn:uuid:1</UUID></TiffData><TiffData '),
    )


def _arrays() -> Iterator[Parts]:
    yield npy(_VOLUME), npy(_VOLUME[0])
    yield npy(_VOLUME.astype(">f4"), version=(2, 0)), npy(_VOLUME[0] > 3)
    yield npy(np.asfortranarray(_VOLUME)), npy(_VOLUME[0].astype(np.float64) / 255)
    yield npy(np.array([{}], dtype=object), allow_pickle=True), b""


def _store(version: int, **how: Any) -> dict[str, bytes]:
    """Return an OME-Zarr of two levels as files."""
    store = MemoryStore()
    group = zarr.open_group(store, mode="w", zarr_format=version)
    for level in range(2):
        data = _VOLUME[:, :: 2**level, :: 2**level]
        array = group.create_array(str(level), shape=data.shape, chunks=(4, 8, 8), dtype=data.dtype, **how)
        array[...] = data
    group.attrs.update(_metadata(version))
    return {name: value.to_bytes() for name, value in store._store_dict.items()}


def _metadata(version: int) -> dict[str, Any]:
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    steps = [[{"type": "scale", "scale": [1.0, 2.0**level, 2.0**level]}] for level in range(2)]
    datasets = [{"path": str(level), "coordinateTransformations": steps[level]} for level in range(2)]
    image = {"axes": axes, "datasets": datasets, "coordinateTransformations": steps[0], "name": "x"}
    return {"multiscales": [image]} if version == 2 else {"ome": {"version": "0.5", "multiscales": [image]}}


ZARR_2 = (".zattrs", ".zgroup", "0/.zarray", "0/0.0.0", "1/.zarray", "1/0.0.0", ".zarray", "0.0.0")
ZARR_3 = ("zarr.json", "0/zarr.json", "0/c/0/0/0", "1/zarr.json", "1/c/0/0/0", "c/0/0/0")


def zarrs(version: int) -> Iterator[Parts]:
    """Yield stores of one version, in the order of `ZARR_2` or `ZARR_3`: images, and arrays without a group."""
    names = ZARR_2 if version == 2 else ZARR_3
    array = names.index("0/.zarray" if version == 2 else "0/zarr.json")
    if version == 2:
        from numcodecs import LZ4, Blosc, Delta, Zlib

        kinds: list[dict[str, Any]] = [{"compressors": None}, {"compressors": Blosc()}, {"compressors": Zlib()}]
        kinds += [{"compressors": LZ4(), "filters": [Delta("u1")]}]
    else:
        kinds = [{}, {"compressors": None}, {"shards": (4, 16, 16)}, {"compressors": zarr.codecs.BloscCodec()}]
    for how in kinds:
        files = _store(version, **how)
        yield tuple(files.get(name, b"") for name in names)
        plain = [b""] * len(names)  # an array without a group
        plain[names.index(".zarray" if version == 2 else "zarr.json")] = files[names[array]]
        plain[-1] = files.get(names[array + 1], b"")
        yield tuple(plain)


def _ome_given() -> dict[str, bytes]:
    two = {f"two.zarr/{name}": content for name, content in _store(2).items() if name != ".zattrs"}
    return two | {f"three.zarr/{name}": content for name, content in _store(3).items() if name != "zarr.json"}


def _omes() -> Iterator[Parts]:
    root = {"zarr_format": 3, "node_type": "group", "attributes": _metadata(3)}
    yield json.dumps(_metadata(2)).encode(), json.dumps(root).encode()
    yield b'{"multiscales": []}', b'{"node_type": "group", "zarr_format": 3}'
    strange = {"multiscales": [{"axes": ["t", "z", "y", "x"], "datasets": [{"path": "0"}]}], "omero": {}}
    yield json.dumps(strange).encode(), json.dumps(root | {"attributes": strange}).encode()


_OME_WORDS = ("multiscales", "datasets", "coordinateTransformations", "scale", "axes", "unit", "path", "ome", "labels")
_ZARR_WORDS = (
    "chunks",
    "shape",
    "dtype",
    "data_type",
    "fill_value",
    "filters",
    "compressor",
    "codecs",
    "configuration",
)
_CODECS = (
    "pickle",
    "blosc",
    "zstd",
    "gzip",
    "zlib",
    "lz4",
    "crc32c",
    "sharding_indexed",
    "transpose",
    "vlen-utf8",
    "bytes",
)

HARNESSES = {
    each.name: each
    for each in (
        Harness(
            name="tiff layers",
            files=("seg/00.tif", "seg/01.tif", "seg/meta.json"),
            door=_layers,
            seeds=_tiff_layers,
        ),
        Harness(name="tiff pages", files=("scan.tif",), door=_pages, seeds=_tiff_pages),
        Harness(name="npy", files=("seg.npy", "ink.npy"), door=_npy, seeds=_arrays),
        Harness(
            name="zarr v2",
            files=tuple(f"seg.zarr/{name}" for name in ZARR_2),
            door=_zarr,
            seeds=lambda: zarrs(2),
            words=(*_ZARR_WORDS, *_CODECS),
        ),
        Harness(
            name="zarr v3",
            files=tuple(f"seg.zarr/{name}" for name in ZARR_3),
            door=_zarr,
            seeds=lambda: zarrs(3),
            words=(*_ZARR_WORDS, *_CODECS),
        ),
        Harness(
            name="ome metadata",
            files=("two.zarr/.zattrs", "three.zarr/zarr.json"),
            door=_ome,
            seeds=_omes,
            given=_ome_given,
            words=_OME_WORDS,
        ),
    )
}
