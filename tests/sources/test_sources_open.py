"""open_segment: every form of one volume reads as the same voxels, lazily, and damage is named, never read as zeros."""

from __future__ import annotations

import functools
import http.server
import json
import os
import pickle
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pytest
import tifffile
import zarr
from numcodecs import Blosc, GZip, Zstd
from PIL import Image
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

from volumen.errors import LabelError, SourceError, SourceNotFoundError
from volumen.sources.arrays.images import open_image
from volumen.sources.arrays.layer_stack import LayerStack, PictureLayer
from volumen.sources.arrays.tiff import TiffLayer
from volumen.sources.decoded import decoded_at_once, layer_by_layer, read_windows
from volumen.sources.labels.rasters import Raster
from volumen.sources.location import Location
from volumen.sources.open import open_segment
from volumen.sources.pyramids.pyramid import create_pyramid
from volumen.sources.segment import Segment
from volumen.windows import Window

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = Path(__file__).parents[3] / "shared/data"
WINDOW = Window((2, 5), (9, 41), (17, 60))


def noise(dtype: str = "uint16", shape: tuple[int, int, int] = (7, 50, 70)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 250, shape).astype(dtype) * (250 if dtype == "uint16" else 1)


def write_layers(folder: Path, volume: np.ndarray, digits: int = 2, **how: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index, layer in enumerate(volume):
        tifffile.imwrite(folder / f"{index:0{digits}}.tif", layer, **how)  # type: ignore[arg-type]
    return folder


def write_ome(path: Path, volume: np.ndarray, version: str, **more: object) -> Path:
    """Write an OME-Zarr whose level 2 also halves Z, as careless tools do."""
    group = zarr.create_group(path, zarr_format=2 if version == "0.4" else 3)
    levels = [volume, volume[:, ::2, ::2], volume[::2, ::4, ::4]]
    for index, level in enumerate(levels):
        group.create_array(str(index), shape=level.shape, dtype=level.dtype, chunks=(3, 16, 16))[...] = level
    image = {
        "version": version,
        "axes": [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"],
        "datasets": [
            {"path": str(k), "coordinateTransformations": [{"type": "scale", "scale": [7910.0 * 2**k] * 3}]}
            for k in range(3)
        ],
    }
    group.attrs.update({"multiscales": [image]} if version == "0.4" else {"ome": {"multiscales": [image]}})
    group.attrs.update(more)
    return path


def form(kind: str, root: Path, volume: np.ndarray) -> Path:
    """Write ``volume`` in one of the forms that people have."""
    match kind:
        case "layers, plain":
            return write_layers(root / "seg", volume)
        case "layers, padded names, striped LZW":
            return write_layers(root / "seg", volume, digits=4, compression="lzw", rowsperstrip=8, predictor=True)
        case "parent of layers/, one LZW strip":
            return write_layers(root / "seg/layers", volume, compression="lzw", rowsperstrip=50).parent
        case "parent of surface_volume/, tiled zlib":
            return write_layers(root / "seg/surface_volume", volume, compression="zlib", tile=(16, 32)).parent
        case "layers, big-endian":
            return write_layers(root / "seg", volume, byteorder=">")
        case "layers, big-endian, striped":
            return write_layers(root / "seg", volume, byteorder=">", compression="lzw", rowsperstrip=9)
        case "layers, png":
            (root / "seg").mkdir()
            for index, layer in enumerate(volume):
                Image.fromarray(layer).save(root / f"seg/slice_{index}.png")
            return root / "seg"
        case "pages":
            tifffile.imwrite(root / "seg.tif", volume, photometric="minisblack")
            return root / "seg.tif"
        case "pages, LZW":
            tifffile.imwrite(root / "seg.tif", volume, photometric="minisblack", compression="lzw")
            return root / "seg.tif"
        case "pages, BigTIFF one by one":
            with tifffile.TiffWriter(root / "seg.tif", bigtiff=True) as writer:
                for layer in volume:
                    writer.write(layer, contiguous=False, metadata=None)
            return root / "seg.tif"
        case "pages, ImageJ":
            tifffile.imwrite(root / "seg.tif", volume, imagej=True, metadata={"axes": "ZYX"})
            return root / "seg.tif"
        case "npy":
            np.save(root / "seg.npy", volume)
            return root / "seg.npy"
        case "npy, big-endian":
            np.save(root / "seg.npy", volume.astype(volume.dtype.newbyteorder(">")))
            return root / "seg.npy"
        case "zarr v2 array":
            zarr.save_array(root / "seg.zarr", volume, zarr_format=2)
            return root / "seg.zarr"
        case "zarr v2 array, big-endian":
            zarr.save_array(root / "seg.zarr", volume.astype(volume.dtype.newbyteorder(">")), zarr_format=2)
            return root / "seg.zarr"
        case "zarr v3 array":
            zarr.save_array(root / "seg.zarr", volume)
            return root / "seg.zarr"
        case "zarr v3 array, sharded":
            array = zarr.create_array(
                root / "seg.zarr", shape=volume.shape, dtype=volume.dtype, chunks=(1, 8, 8), shards=(4, 32, 32)
            )
            array[...] = volume
            return root / "seg.zarr"
        case "zarr group without metadata":
            group = zarr.create_group(root / "seg.zarr", zarr_format=2)
            group.create_array("0", shape=volume.shape, dtype=volume.dtype)[...] = volume
            return root / "seg.zarr"
        case "zarr with time and channel":
            zarr.save_array(root / "seg.zarr", volume[None, None])
            return root / "seg.zarr"
        case "OME-Zarr 0.4":
            return write_ome(root / "seg.zarr", volume, "0.4")
        case "OME-Zarr 0.5":
            return write_ome(root / "seg.zarr", volume, "0.5")
    raise AssertionError(kind)


FORMS = [
    "layers, plain",
    "layers, padded names, striped LZW",
    "parent of layers/, one LZW strip",
    "parent of surface_volume/, tiled zlib",
    "layers, big-endian",
    "layers, big-endian, striped",
    "layers, png",
    "pages",
    "pages, LZW",
    "pages, BigTIFF one by one",
    "pages, ImageJ",
    "npy",
    "npy, big-endian",
    "zarr v2 array",
    "zarr v2 array, big-endian",
    "zarr v3 array",
    "zarr v3 array, sharded",
    "zarr group without metadata",
    "zarr with time and channel",
    "OME-Zarr 0.4",
    "OME-Zarr 0.5",
]


@pytest.mark.parametrize("kind", FORMS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_every_form_reads_the_same_voxels(kind: str, dtype: str, tmp_path: Path) -> None:
    volume = noise(dtype)
    segment = open_segment(form(kind, tmp_path, volume))
    assert (segment.name, segment.shape, segment.dtype, segment.surface_index) == ("seg", (7, 50, 70), dtype, 3)
    read = segment.read(WINDOW)
    assert read.dtype == np.dtype(dtype)
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, volume[WINDOW.zyx])
    np.testing.assert_array_equal(segment.read(segment.window), volume)
    np.testing.assert_array_equal(segment.reversed().read(WINDOW), volume[::-1][WINDOW.zyx])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(segment)).read(WINDOW), volume[WINDOW.zyx])
    np.testing.assert_array_equal(segment.levels[0][3, 5:9, 7:8], volume[3, 5:9, 7:8])  # as dask may ask


@pytest.mark.parametrize("kind", [kind for kind in FORMS if "layers" not in kind and "/" not in kind])
def test_every_form_reads_from_memory_too(kind: str, tmp_path: Path) -> None:
    volume = noise()
    memory = fsspec.filesystem("memory")
    memory.put(str(form(kind, tmp_path, volume)), f"/forms/{kind}/seg", recursive=True)
    ending = {"p": ".tif", "n": ".npy", "z": ".zarr", "O": ".zarr"}[kind[0]]
    memory.mv(f"/forms/{kind}/seg", f"/forms/{kind}/seg{ending}", recursive=True)
    segment = open_segment(f"memory://forms/{kind}/seg{ending}")
    np.testing.assert_array_equal(segment.read(WINDOW), volume[WINDOW.zyx])


@pytest.mark.parametrize("compression", [None, "lzw"])
def test_layer_folders_read_from_memory(tmp_path: Path, compression: str | None) -> None:
    volume = noise()
    write_layers(tmp_path / "layers", volume, compression=compression)
    Image.fromarray(volume[0] > 99).save(tmp_path / "77_mask.png")
    fsspec.filesystem("memory").put(str(tmp_path), f"/folders/{compression}/77", recursive=True)
    segment = open_segment(f"memory://folders/{compression}/77")
    np.testing.assert_array_equal(segment.read(WINDOW), volume[WINDOW.zyx])
    assert segment.mask is not None
    np.testing.assert_array_equal(segment.mask.read(segment.window), volume[0] > 99)


def test_float_volumes_read_and_nan_is_an_error(tmp_path: Path) -> None:
    volume = noise("float32") / 250
    np.save(tmp_path / "a.npy", volume)
    np.testing.assert_array_equal(open_segment(tmp_path / "a.npy").read(WINDOW), volume[WINDOW.zyx])
    volume[3, 20, 30] = np.nan
    np.save(tmp_path / "a.npy", volume)
    damaged = open_segment(tmp_path / "a.npy")
    damaged.read(Window((0, 3), (0, 50), (0, 70)))
    with pytest.raises(SourceError, match=r"a\.npy holds NaN"):
        damaged.read(WINDOW)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_levels_keep_their_layers_and_the_voxel_size_is_read(tmp_path: Path, version: str) -> None:
    segment = open_segment(write_ome(tmp_path / "a.zarr", noise(), version))
    assert [level.shape for level in segment.levels] == [(7, 50, 70), (7, 25, 35)]
    assert segment.voxel_um == pytest.approx(7.91)
    assert open_segment(tmp_path / "a.zarr", voxel_um=3.24).voxel_um == 3.24


def test_opening_a_giant_reads_no_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """65 layers of 20,000 x 20,000: sparse files, so that only a reader that reads them would notice."""
    first = tmp_path / "layers/00.tif"
    first.parent.mkdir()
    tifffile.memmap(first, shape=(20_000, 20_000), dtype="uint8").flush()
    for index in range(1, 65):
        os.link(first, tmp_path / f"layers/{index:02}.tif")
    zarr.create_array(tmp_path / "a.zarr", shape=(65, 20_000, 20_000), chunks=(16, 128, 128), dtype="uint8")

    def refuse(*_: object) -> None:
        raise AssertionError("pixels were read")

    for reader, method in ((TiffLayer, "map"), (TiffLayer, "decode"), (PictureLayer, "decode")):
        monkeypatch.setattr(reader, method, refuse)
    monkeypatch.setattr(zarr.Array, "__getitem__", refuse)
    for path in (tmp_path, tmp_path / "a.zarr"):
        segment = open_segment(path)
        assert segment.shape == (65, 20_000, 20_000)
        assert segment.surface_index == 32


def test_a_window_decodes_only_the_strips_it_touches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = noise()
    decoded: list[tuple[int, int]] = []
    decode = TiffLayer.decode

    def spy(layer: TiffLayer, index: int) -> np.ndarray:
        decoded.append((int(layer.location.name[:2]), index))
        return decode(layer, index)

    monkeypatch.setattr(TiffLayer, "decode", spy)
    strips = open_segment(write_layers(tmp_path / "strips", volume, compression="lzw", rowsperstrip=10))
    strips.read(Window((2, 4), (19, 31), (0, 5)))
    assert decoded == [(2, 1), (2, 2), (2, 3), (3, 1), (3, 2), (3, 3)]
    strips.read(Window((3, 4), (20, 40), (30, 70)))
    assert len(decoded) == 6  # kept from before
    decoded.clear()
    tiles = open_segment(write_layers(tmp_path / "tiles", volume, compression="zlib", tile=(16, 32)))
    tiles.read(Window((0, 1), (15, 17), (31, 33)))
    assert decoded == [(0, 0), (0, 1), (0, 3), (0, 4)]


def test_what_is_decoded_at_once_is_the_piece_that_is_stored(tmp_path: Path) -> None:
    volume = noise("uint8")
    forms: dict[str, tuple[dict[str, Any], tuple[int, int, int]]] = {
        "plain": ({}, (1, 1, 1)),
        "rows": ({"compression": "lzw", "rowsperstrip": 1}, (1, 1, 70)),
        "strips": ({"compression": "lzw", "rowsperstrip": 20}, (1, 20, 70)),
        "tiles": ({"tile": (16, 32)}, (1, 16, 32)),
    }
    for name, (how, expected) in forms.items():
        assert decoded_at_once(open_segment(write_layers(tmp_path / name, volume, **how))) == expected
    assert decoded_at_once(open_segment(form("layers, png", tmp_path, volume))) == (1, 50, 70)
    zarr.create_array(tmp_path / "a.zarr", data=volume, chunks=(2, 25, 35), shards=(8, 50, 70))
    assert decoded_at_once(open_segment(tmp_path / "a.zarr")) == (2, 25, 35)
    np.save(tmp_path / "a.npy", volume)
    assert decoded_at_once(open_segment(tmp_path / "a.npy")) == (1, 1, 1)


@pytest.mark.parametrize("reverse", [False, True])
def test_windows_of_layers_decoded_whole_decode_each_layer_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reverse: bool
) -> None:
    monkeypatch.setattr("volumen.sources.decoded._TOGETHER", 3 * 4 * 10 * 10 * 2)  # bytes: three windows at a time
    volume = noise()
    folder = write_layers(tmp_path / "a", volume, compression="lzw", rowsperstrip=50)
    opened = open_segment(folder, reverse=reverse)
    assert layer_by_layer(opened)
    segment = replace(opened, levels=(LayerStack(opened.levels[0].layers, cache_bytes=0),))  # type: ignore[attr-defined]
    decoded: list[str] = []
    decode = TiffLayer.decode
    monkeypatch.setattr(
        TiffLayer, "decode", lambda layer, index: decoded.append(layer.location.name) or decode(layer, index)
    )
    windows = [
        Window((z, z + 4), (y, y + 10), (x, x + 10)) for z, y, x in ((0, 0, 0), (1, 40, 60), (1, 7, 8), (3, 9, 9))
    ]
    expected = volume[::-1] if reverse else volume
    for window, read in zip(windows, read_windows(segment, windows), strict=True):
        np.testing.assert_array_equal(read, expected[window.zyx])
    assert len(decoded) == 5 + 4  # layers 0 to 4 for three windows, 3 to 6 for one
    assert not layer_by_layer(open_segment(write_layers(tmp_path / "b", volume)))


def test_decoded_pieces_are_kept_within_bounds(tmp_path: Path) -> None:
    volume = noise()
    opened = open_segment(write_layers(tmp_path / "a", volume, compression="lzw", rowsperstrip=10)).levels[0]
    assert isinstance(opened, LayerStack)
    piece = 10 * 70 * 2
    stack = LayerStack(opened.layers, cache_bytes=3 * piece)
    np.testing.assert_array_equal(stack[:, :, :], volume)
    kept = [value for value, _ in stack._pieces._kept.values()]
    assert sum(value.nbytes for value in kept) == stack._pieces._spent <= 3 * piece
    none = LayerStack(opened.layers, cache_bytes=0)
    np.testing.assert_array_equal(none[:, :, :], volume)
    assert len(none._pieces._kept) == 1


# ---- damage ----------------------------------------------------------------------------------------------------------


def test_a_missing_layer_is_named(tmp_path: Path) -> None:
    write_layers(tmp_path / "seg", noise())
    (tmp_path / "seg/03.tif").unlink()
    with pytest.raises(SourceError, match=r"lacks layer 3 between 00\.tif and 06\.tif"):
        open_segment(tmp_path / "seg")


def test_a_double_layer_is_named(tmp_path: Path) -> None:
    write_layers(tmp_path / "seg", noise())
    shutil.copy(tmp_path / "seg/03.tif", tmp_path / "seg/003.tif")
    with pytest.raises(SourceError, match="layer 3 twice"):
        open_segment(tmp_path / "seg")


@pytest.mark.parametrize("odd", [np.zeros((49, 70), "uint16"), np.zeros((50, 70), "uint8")])
def test_layers_of_another_size_or_type_are_named(tmp_path: Path, odd: np.ndarray) -> None:
    write_layers(tmp_path / "seg", noise())
    tifffile.imwrite(tmp_path / "seg/04.tif", odd)
    with pytest.raises(SourceError, match=r"04\.tif"):
        open_segment(tmp_path / "seg")


def test_colour_layers_are_refused(tmp_path: Path) -> None:
    write_layers(tmp_path / "tif", np.zeros((3, 20, 20, 3), "uint8"), photometric="rgb")
    (tmp_path / "png").mkdir()
    for index in range(3):
        Image.fromarray(np.zeros((20, 20, 3), "uint8")).save(tmp_path / f"png/{index}.png")
    colormap = np.zeros((3, 256), "uint16")
    write_layers(tmp_path / "few", np.zeros((3, 20, 20), "uint8"), photometric="palette", colormap=colormap)
    for folder, found in (("tif", "3 channels"), ("png", "3 channels"), ("few", "a palette")):
        with pytest.raises(SourceError, match=rf"in colour \({found}\); .* Convert it to grey"):
            open_segment(tmp_path / folder)


@pytest.mark.parametrize("how", [{}, {"compression": "lzw"}, {"compression": "zlib", "tile": (16, 16)}])
@pytest.mark.parametrize("keep", [0.97, 0.5, 0.02, 0.0])
def test_truncated_layers_are_named(tmp_path: Path, how: dict[str, object], keep: float) -> None:
    write_layers(tmp_path / "seg", noise(), **how)
    path = tmp_path / "seg/02.tif"
    os.truncate(path, int(path.stat().st_size * keep))
    with pytest.raises(SourceError, match=r"02\.tif"):
        open_segment(tmp_path / "seg").read(WINDOW)


@pytest.mark.parametrize("compression", ["lzw", "zlib", "zstd"])
def test_garbled_strips_are_named(tmp_path: Path, compression: str) -> None:
    write_layers(tmp_path / "seg", noise(), compression=compression)
    path = tmp_path / "seg/02.tif"
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        start, length = page.dataoffsets[0], page.databytecounts[0]
    raw = bytearray(path.read_bytes())
    raw[start : start + length] = bytes([255]) * length
    path.write_bytes(raw)
    with pytest.raises(SourceError, match=r"02\.tif"):
        open_segment(tmp_path / "seg").read(WINDOW)


@pytest.mark.parametrize("kind", ["pages", "pages, LZW", "pages, BigTIFF one by one", "pages, ImageJ"])
@pytest.mark.parametrize("keep", [0.95, 0.6, 0.2])
def test_truncated_stacks_are_named(tmp_path: Path, kind: str, keep: float) -> None:
    path = form(kind, tmp_path, noise())
    os.truncate(path, int(path.stat().st_size * keep))
    with pytest.raises(SourceError, match=r"seg\.tif"):
        open_segment(path).read(Window.whole((7, 50, 70)))


def test_damaged_pictures_and_npy_are_named(tmp_path: Path) -> None:
    path = form("layers, png", tmp_path, noise("uint8"))
    os.truncate(path / "slice_3.png", 900)
    with pytest.raises(SourceError, match=r"slice_3\.png"):
        open_segment(path).read(WINDOW)
    np.save(tmp_path / "a.npy", noise())
    os.truncate(tmp_path / "a.npy", 900)
    with pytest.raises(SourceError, match=r"a\.npy is truncated"):
        open_segment(tmp_path / "a.npy")
    (tmp_path / "b.npy").write_bytes(b"nothing of the kind")
    with pytest.raises(SourceError, match=r"b\.npy"):
        open_segment(tmp_path / "b.npy")
    np.save(tmp_path / "c.npy", np.array([[[{}]]], dtype=object), allow_pickle=True)
    with pytest.raises(SourceError, match="plain numbers"):
        open_segment(tmp_path / "c.npy")


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("codec", ["none", "zstd", "gzip", "blosc"])
@pytest.mark.parametrize("keep", [0.9, 0.5, 0.0])
def test_a_truncated_chunk_is_an_error_never_zeros(tmp_path: Path, version: int, codec: str, keep: float) -> None:
    old = {"none": None, "zstd": Zstd(), "gzip": GZip(), "blosc": Blosc()}
    new = {"none": None, "zstd": ZstdCodec(), "gzip": GzipCodec(), "blosc": BloscCodec()}
    array = zarr.create_array(
        tmp_path / "a.zarr",
        shape=(7, 50, 70),
        dtype="uint16",
        chunks=(4, 32, 32),
        zarr_format=version,  # type: ignore[arg-type]
        compressors=(old if version == 2 else new)[codec],
    )
    array[...] = noise()
    chunk = tmp_path / "a.zarr" / ("0.0.0" if version == 2 else "c/0/0/0")
    os.truncate(chunk, int(chunk.stat().st_size * keep))
    segment = open_segment(tmp_path / "a.zarr")
    segment.read(Window((4, 7), (0, 50), (0, 70)))
    with pytest.raises(SourceError, match=r"a\.zarr"):
        segment.read(WINDOW)


@pytest.mark.parametrize("version", [2, 3])
def test_a_store_that_is_deleted_while_it_is_read_is_an_error_never_zeros(tmp_path: Path, version: int) -> None:
    shape, chunks = (3, 60, 80), (3, 20, 20)
    array = zarr.create_array(tmp_path / "s.zarr", shape=shape, chunks=chunks, dtype="u1", zarr_format=version)  # type: ignore[arg-type]
    array[:, :20] = 7
    segment = open_segment(tmp_path / "s.zarr")
    assert not segment.read(Window((0, 3), (40, 60), (0, 80))).any(), "chunks that were never written are zeros"
    shutil.rmtree(tmp_path / "s.zarr")
    with pytest.raises(SourceNotFoundError, match="deleted, moved or unmounted while it was read"):
        segment.read(segment.window)


def test_damaged_zarr_metadata_is_named(tmp_path: Path) -> None:
    for name, text in (("a", "{"), ("b", "[]"), ("c", '{"zarr_format": 3, "node_type": "array"}')):
        (tmp_path / f"{name}.zarr").mkdir()
        (tmp_path / f"{name}.zarr/zarr.json").write_text(text)
        with pytest.raises(SourceError, match=rf"{name}\.zarr"):
            open_segment(tmp_path / f"{name}.zarr")
    write_ome(tmp_path / "d.zarr", noise(), "0.5")
    shutil.rmtree(tmp_path / "d.zarr/1")
    with pytest.raises(SourceNotFoundError, match=r"d\.zarr/1"):
        open_segment(tmp_path / "d.zarr")
    zarr.create_group(tmp_path / "e.zarr").create_array("volume", shape=(2, 2, 2), dtype="uint8")
    with pytest.raises(SourceError, match="path of the array inside"):
        open_segment(tmp_path / "e.zarr")


def test_axes_in_another_order_are_refused(tmp_path: Path) -> None:
    path = write_ome(tmp_path / "a.zarr", noise(), "0.4")
    attributes = json.loads((path / ".zattrs").read_text())
    attributes["multiscales"][0]["axes"].reverse()
    (path / ".zattrs").write_text(json.dumps(attributes))
    with pytest.raises(SourceError, match="x, y, z"):
        open_segment(path)


def test_what_is_no_volume_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="nothing at"):
        open_segment(tmp_path / "gone")
    with pytest.raises(SourceNotFoundError, match=r"gone\.tif"):
        open_segment(tmp_path / "gone.tif")
    with pytest.raises(SourceError, match="holds no volume"):
        open_segment(tmp_path)
    np.save(tmp_path / "flat.npy", np.zeros((4, 4), "uint8"))
    with pytest.raises(SourceError, match="three axes"):
        open_segment(tmp_path / "flat.npy")
    np.save(tmp_path / "signed.npy", np.zeros((4, 4, 4), "int16"))
    with pytest.raises(SourceError, match="int16"):
        open_segment(tmp_path / "signed.npy")
    with pytest.raises(SourceError, match="nowhere://"):
        open_segment("nowhere://a.zarr")


# ---- labels beside the volume ----------------------------------------------------------------------------------------


def test_labels_of_a_segment_folder(tmp_path: Path) -> None:
    volume = noise()
    folder = tmp_path / "77_superseded"
    write_layers(folder / "layers", volume)
    (folder / "layers/meta.json").write_text('{"voxelsize": 7.91}')
    Image.fromarray(np.full((50, 70), 255, "uint8")).save(folder / "77_mask.png")
    Image.fromarray(np.full((50, 70), 51, "uint8")).save(folder / "inklabels.png")
    Image.fromarray(np.full((256, 256), 102, "uint8")).save(folder / "inklabels_v2.png")
    for path in (folder, folder / "layers"):
        segment = open_segment(path)
        assert (segment.name, segment.voxel_um) == ("77", 7.91)
        assert segment.raster("ink").read(segment.window).max() == pytest.approx(0.4)
        assert segment.raster("mask").read(segment.window).min() == 1
        assert (segment.supervision, segment.held_out) == (None, None)
    with pytest.raises(LabelError, match="--held-out-mask"):
        segment.raster("held_out")


@pytest.mark.parametrize("layers", ["layers", "surface_volume", "."])
def test_versions_of_a_label_are_no_layers(tmp_path: Path, layers: str) -> None:
    volume, folder = noise(), tmp_path / "77"
    write_layers(folder / layers, volume)
    for index, file in enumerate(sorted((folder / layers).glob("*.tif"))):
        file.rename(file.with_name(f"layer_{file.name}"))
        tifffile.imwrite(folder / f"77_inklabels_v{index}.tif", np.full((50, 70), 10 * index, "uint8"))
    segment = open_segment(folder)
    np.testing.assert_array_equal(segment.read(segment.window), volume)
    assert segment.raster("ink").read(WINDOW).max() == pytest.approx(60 / 255)


def test_a_folder_of_layers_comes_before_numbered_images_beside_it(tmp_path: Path) -> None:
    volume = noise()
    write_layers(tmp_path / "77/layers", volume)
    write_layers(tmp_path / "77", noise("uint8"))  # previews, perhaps
    segment = open_segment(tmp_path / "77")
    np.testing.assert_array_equal(segment.read(segment.window), volume)


def test_siblings_of_a_zarr_need_its_name_where_volumes_share_a_folder(tmp_path: Path) -> None:
    write_ome(tmp_path / "77.zarr", noise(), "0.4")
    Image.fromarray(np.ones((50, 70), "uint8")).save(tmp_path / "77_inklabels.png")
    Image.fromarray(np.ones((50, 70), "uint8")).save(tmp_path / "mask.png")
    zarr.save_array(tmp_path / "77_supervision_mask.zarr", np.ones((50, 70), "uint8"))
    (tmp_path / "77").mkdir()
    Image.fromarray(np.ones((50, 70), "uint8")).save(tmp_path / "77/77_validation_mask.png")
    alone = open_segment(tmp_path / "77.zarr")
    assert None not in (alone.ink, alone.supervision, alone.held_out, alone.mask)
    (tmp_path / "99.TIF").touch()  # of whom mask.png is can no more be told
    assert open_segment(tmp_path / "77.zarr").mask is None
    (tmp_path / "99.TIF").unlink()
    write_ome(tmp_path / "88.zarr", noise(), "0.4")
    shared = open_segment(tmp_path / "77.zarr")
    assert shared.ink is not None
    assert shared.mask is None
    assert open_segment(tmp_path / "88.zarr").ink is None
    assert open_segment(tmp_path / "88.zarr", name="77").ink is not None


def test_labels_given_win_and_must_be_there_and_fit(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", noise())
    Image.fromarray(np.zeros((50, 70), "uint8")).save(tmp_path / "a_inklabels.png")
    Image.fromarray(np.full((50, 70), 255, "uint8")).save(tmp_path / "mine.png")
    assert open_segment(tmp_path / "a.npy").raster("ink").read(WINDOW).max() == 0
    assert open_segment(tmp_path / "a.npy", ink=tmp_path / "mine.png").raster("ink").read(WINDOW).min() == 1
    with pytest.raises(SourceNotFoundError, match=r"gone\.png"):
        open_segment(tmp_path / "a.npy", mask=tmp_path / "gone.png")
    Image.fromarray(np.zeros((307, 70), "uint8")).save(tmp_path / "large.png")
    with pytest.raises(LabelError, match=r"307 x 70 .* 50 x 70"):
        open_segment(tmp_path / "a.npy", mask=tmp_path / "large.png")


def test_labels_inside_our_own_store_come_first(tmp_path: Path) -> None:
    pyramid = create_pyramid(tmp_path / "a.zarr", shape=(4, 50, 70), dtype="uint8", chunks=(4, 32, 32))
    label = create_pyramid(
        tmp_path / "a.zarr/labels/ink", shape=(50, 70), dtype="uint8", chunks=(32, 32), axes="yx", levels=1
    )
    # Nothing above 1: a store of ours says 0 to 255 for certain, so this is faint ink and not a binary label.
    label.write(Window((0, 1), (0, 50), (0, 70)), np.ones((50, 70), "uint8"))
    Image.fromarray(np.full((50, 70), 255, "uint8")).save(tmp_path / "a_inklabels.png")
    segment = open_segment(tmp_path / "a.zarr")
    np.testing.assert_allclose(segment.raster("ink").read(segment.window), 1 / 255)
    assert pyramid.volume == segment.shape


def test_supervised_is_where_the_label_may_be_trusted() -> None:
    volume = noise()
    window = Window((0, 7), (0, 50), (0, 70))
    supervision = Raster.of(np.tri(50, 70))
    ink = Raster.of(np.ones((30, 60))).fit((50, 70), "v")
    mask = Raster.of(np.eye(50, 70))
    reach = np.zeros((50, 70), bool)
    reach[:30, :60] = True
    cases = {
        "nothing": (Segment(name="a", source="a", levels=(volume,)), np.ones((50, 70), bool)),
        "ink": (Segment(name="a", source="a", levels=(volume,), ink=ink), reach),
        "mask": (
            Segment(name="a", source="a", levels=(volume,), ink=ink, mask=mask),
            reach & np.eye(50, 70, dtype=bool),
        ),
        "supervision": (
            Segment(name="a", source="a", levels=(volume,), ink=ink, mask=mask, supervision=supervision),
            reach & (np.tri(50, 70) > 0),
        ),
    }
    for name, (segment, expected) in cases.items():
        np.testing.assert_array_equal(segment.supervised(window), expected, err_msg=name)
        part = Window((2, 3), (20, 41), (50, 64))
        np.testing.assert_array_equal(segment.supervised(part), expected[part.yx], err_msg=name)


# ---- over http -------------------------------------------------------------------------------------------------------


class _NoListing(http.server.SimpleHTTPRequestHandler):
    """Serves files; refuses to list folders, as object stores do, and says 403 for what is missing."""

    requests: list[str]
    protocol_version = "HTTP/1.1"

    def send_head(self):  # type: ignore[no-untyped-def]
        self.requests.append(self.path)
        path = self.translate_path(self.path)
        if os.path.isfile(path):
            return super().send_head()
        self.send_error(403 if os.path.isdir(path) else self.missing)
        return None

    missing = 404

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture(params=[404, 403])
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[str, list[str]]]:
    requests: list[str] = []
    handler = type("Handler", (_NoListing,), {"requests": requests, "missing": request.param})
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(tmp_path))
    ) as serving:
        thread = threading.Thread(target=serving.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}", requests
        serving.shutdown()
        thread.join()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_over_http_without_listing(tmp_path: Path, server: tuple[str, list[str]], version: str) -> None:
    url, requests = server
    volume = noise()
    write_ome(tmp_path / "77.zarr", volume, version)
    Image.fromarray(np.full((50, 70), 255, "uint8")).save(tmp_path / "77_inklabels.png")
    segment = open_segment(f"{url}/77.zarr")
    assert not [path for path in requests if path.rstrip("/") == "/77.zarr"]  # the store itself is never asked for
    metadata = (".json", ".zattrs", ".zarray", ".zgroup", ".zmetadata", ".png", ".tif")
    assert not [path for path in requests if not path.endswith((*metadata, "/", "/77"))]  # /77: labels may lie there
    assert [level.shape for level in segment.levels] == [(7, 50, 70), (7, 25, 35)]
    np.testing.assert_array_equal(segment.read(WINDOW), volume[WINDOW.zyx])
    np.testing.assert_array_equal(segment.read(Window((0, 7), (0, 25), (0, 35)), level=1), volume[:, ::2, ::2])
    assert segment.raster("ink").read(segment.window).min() == 1
    assert segment.mask is None


def test_a_server_that_fails_is_an_error_never_zeros(
    tmp_path: Path, server: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, _ = server
    monkeypatch.setenv("VOLUMEN_CACHE_GB", "0")
    zarr.save_array(tmp_path / "a.zarr", noise())
    segment = open_segment(f"{url}/a.zarr")
    (tmp_path / "a.zarr").rename(tmp_path / "b.zarr")
    with pytest.raises(SourceNotFoundError, match=r"nothing at .*a\.zarr, or the server refuses it"):
        open_segment(f"{url}/a.zarr")
    with pytest.raises(SourceNotFoundError, match=r"no file at .*a\.png, or the server refuses it"):
        open_segment(tmp_path / "b.zarr", ink=f"{url}/a.png")
    os.truncate(tmp_path / "b.zarr/c/0/0/0", 10)
    (tmp_path / "b.zarr").rename(tmp_path / "a.zarr")
    with pytest.raises(SourceError, match="cannot be read"):
        segment.read(segment.window)


# ---- real volumes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["imagej", "ome"])
def test_channels_and_time_points_are_no_layers(tmp_path: Path, form: str) -> None:
    volume = noise(shape=(6, 16, 16))
    for axes, shape in {"ZCYX": (3, 2, 16, 16), "TZYX": (2, 3, 16, 16)}.items():
        tifffile.imwrite(tmp_path / "several.tif", volume.reshape(shape), metadata={"axes": axes}, **{form: True})
        with pytest.raises(SourceError, match=r"several stacks.*Save one channel and one time point"):
            open_segment(tmp_path / "several.tif")
    for axes, shape in {"ZCYX": (6, 1, 16, 16), "CYX": (6, 16, 16), "TYX": (6, 16, 16)}.items():
        tifffile.imwrite(tmp_path / "one.tif", volume.reshape(shape), metadata={"axes": axes}, **{form: True})
        segment = open_segment(tmp_path / "one.tif")
        np.testing.assert_array_equal(segment.read(segment.window), volume)


@pytest.mark.parametrize(
    "how", [{}, {"compression": "zlib", "rowsperstrip": 9}, {"compression": "lzw", "tile": (16, 16)}]
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_where_0_is_white_a_volume_reads_as_a_label_does(tmp_path: Path, dtype: str, how: dict[str, Any]) -> None:
    volume = np.random.default_rng(0).random((3, 50, 70)).astype(dtype) if dtype == "float32" else noise(dtype)
    inverted = 1 - volume if dtype == "float32" else np.iinfo(dtype).max - volume
    tifffile.imwrite(tmp_path / "stack.tif", inverted, photometric="miniswhite", **how)
    write_layers(tmp_path / "seg", inverted, photometric="miniswhite", **how)
    for path in (tmp_path / "stack.tif", tmp_path / "seg"):
        segment = open_segment(path)
        np.testing.assert_allclose(segment.read(segment.window), volume, atol=1e-6)
        np.testing.assert_allclose(segment.levels[0][1:2, 11:40, 3:60], volume[1:2, 11:40, 3:60], atol=1e-6)
    image = open_image(Location.of(tmp_path / "seg/00.tif"))
    np.testing.assert_allclose(image.grey(), volume[0], atol=1e-6)


@pytest.mark.skipif(not DATA.exists(), reason="the real volumes are not beside the repository")
def test_real_volumes_equal_tifffile() -> None:
    phantom = DATA / "ink_id_phantom/volumes/20200526145449"
    segment = open_segment(phantom)
    assert (segment.shape, segment.dtype, segment.voxel_um) == ((200, 400, 640), np.uint16, 10.0)
    expected = np.stack([tifffile.imread(phantom / f"{index:03}.tif") for index in (97, 98)])
    np.testing.assert_array_equal(segment.read(Window((97, 99), (0, 400), (0, 640))), expected)
    for path in sorted((DATA / "microct").glob("*.tif")):
        segment = open_segment(path)
        np.testing.assert_array_equal(segment.read(segment.window), tifffile.imread(path))
