"""Hostile volumes: what their metadata ask for is refused in our words; no code runs, and no other file is opened."""

from __future__ import annotations

import builtins
import json
import os
import pickle

import numcodecs
import numcodecs.pickles
import numpy as np
import pytest
import tifffile
import zarr

from volumen.errors import SourceError, VolumenError
from volumen.sources.arrays.ome import read_ome
from volumen.sources.labels.beside import open_raster
from volumen.sources.location import Location
from volumen.sources.open import open_segment
from volumen.sources.photos.photo_image import open_photo
from volumen.sources.pyramids.pyramid import create_pyramid, open_pyramid
from volumen.windows import Window

VOLUME = np.arange(4 * 9 * 11, dtype=np.uint8).reshape(4, 9, 11)
DEEP = "[" * 5000 + "]" * 5000


class Payload:
    def __reduce__(self):
        return (os.mkdir, ("executed",))


@pytest.mark.parametrize("place", ["filters", "compressor"])
def test_a_zarr_does_not_get_its_chunks_unpickled(tmp_path, monkeypatch, place):
    """Older numcodecs run what a chunk pickles, and newer ones where somebody allows it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(numcodecs.pickles, "ALLOW_UNSAFE_PICKLE_DECODE", True, raising=False)
    zarr.create_array("seg.zarr", shape=(4, 9, 11), chunks=(4, 9, 11), dtype="u1", zarr_format=2, compressors=None)
    metadata = json.loads((tmp_path / "seg.zarr/.zarray").read_text())
    codec = {"id": "pickle"}
    metadata[place] = [codec] if place == "filters" else codec
    (tmp_path / "seg.zarr/.zarray").write_text(json.dumps(metadata))
    (tmp_path / "seg.zarr/0.0.0").write_bytes(pickle.dumps(Payload()))
    with pytest.raises(SourceError, match="pickle"):
        open_segment("seg.zarr").read(Window((0, 1), (0, 2), (0, 2)))
    assert not (tmp_path / "executed").exists()


def test_a_chunk_of_a_negative_size(tmp_path):
    path = tmp_path / "seg.zarr"
    blosc = numcodecs.Blosc()
    zarr.create_array(path, data=VOLUME, chunks=VOLUME.shape, compressors=blosc, zarr_format=2)
    chunk = next(each for each in path.rglob("0*") if each.is_file())
    raw = bytearray(chunk.read_bytes())
    raw[4:8] = (-5).to_bytes(4, "little", signed=True)  # of what it unpacks to
    chunk.write_bytes(raw)
    segment = open_segment(path)
    with pytest.raises(SourceError, match="damaged"):
        segment.read(segment.window)


def test_chunks_without_a_voxel(tmp_path):
    zarr.create_array(tmp_path / "seg.zarr", data=VOLUME, chunks=(4, 9, 11), zarr_format=2)
    metadata = json.loads((tmp_path / "seg.zarr/.zarray").read_text())
    (tmp_path / "seg.zarr/.zarray").write_text(json.dumps({**metadata, "chunks": [4, 9, 0]}))
    with pytest.raises(SourceError, match="chunks of"):
        open_segment(tmp_path / "seg.zarr")


def test_a_chunk_far_larger_than_its_array(tmp_path):
    zarr.create_array(tmp_path / "seg.zarr", data=VOLUME, chunks=(4, 9, 11), zarr_format=2)
    metadata = json.loads((tmp_path / "seg.zarr/.zarray").read_text())
    (tmp_path / "seg.zarr/.zarray").write_text(json.dumps({**metadata, "chunks": [1, 2**17, 2**17]}))
    with pytest.raises(SourceError, match="chunks of"):
        open_segment(tmp_path / "seg.zarr")


@pytest.mark.parametrize("dtype", [[["a", "<i4"], ["b", "<f4"]], "|S0"])
def test_a_label_that_holds_no_numbers(tmp_path, dtype):
    zarr.create_array(tmp_path / "ink.zarr", data=VOLUME[0], chunks=(9, 11), zarr_format=2)
    metadata = json.loads((tmp_path / "ink.zarr/.zarray").read_text())
    (tmp_path / "ink.zarr/.zarray").write_text(json.dumps({**metadata, "dtype": dtype, "fill_value": None}))
    with pytest.raises(SourceError, match=r"ink\.zarr"):
        open_raster(Location.of(tmp_path / "ink.zarr"))


def test_voxels_of_words(tmp_path):
    group = {"zarr_format": 3, "node_type": "array", "shape": [4, 9, 11], "data_type": "string", "fill_value": ""}
    grid = {"name": "regular", "configuration": {"chunk_shape": [4, 9, 11]}}
    keys = {"name": "default", "configuration": {"separator": "/"}}
    said = {**group, "chunk_grid": grid, "chunk_key_encoding": keys, "codecs": [{"name": "vlen-utf8"}]}
    (tmp_path / "seg.zarr").mkdir()
    (tmp_path / "seg.zarr/zarr.json").write_text(json.dumps(said))
    with pytest.raises(SourceError, match="voxels are numbers"):
        open_segment(tmp_path / "seg.zarr")


def _scaled(said):
    said["attributes"]["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"][-1] = 10**400


@pytest.mark.parametrize(
    "change",
    [
        _scaled,
        lambda said: said["attributes"].update(volumen=[1]),
        lambda said: said["attributes"]["ome"]["multiscales"][0]["axes"].pop(),
    ],
)
def test_a_pyramid_whose_metadata_were_changed(tmp_path, change):
    path = tmp_path / "a.zarr"
    create_pyramid(path, shape=(9, 11), chunks=(4, 4), dtype=np.uint8, axes="yx", voxel_um=7.9)
    said = json.loads((path / "zarr.json").read_text())
    change(said)
    (path / "zarr.json").write_text(json.dumps(said))
    with pytest.raises(SourceError, match=r"a\.zarr"):
        open_pyramid(path)


@pytest.mark.parametrize("version", [2, 3])
def test_more_voxels_than_can_be_counted(tmp_path, version):
    array = zarr.create_array(tmp_path / "seg.zarr", data=VOLUME, chunks=(4, 9, 11), zarr_format=version)
    path = tmp_path / "seg.zarr" / {2: ".zarray", 3: "zarr.json"}[version]
    path.write_text(json.dumps({**json.loads(path.read_text()), "shape": [10**30, *array.shape[1:]]}))
    with pytest.raises(SourceError, match="says that its shape"):
        open_segment(tmp_path / "seg.zarr")


@pytest.mark.parametrize("depth", [3 * 10**9, 2**63])
def test_a_tiff_of_layers_without_end(tmp_path, depth):
    said = json.dumps({"shape": [depth, 1, 1], "truncated": True})
    tifffile.imwrite(tmp_path / "seg.tif", np.zeros((1, 1), "uint8"), description=said, metadata=None)
    with pytest.raises(SourceError, match="taken for damage"):
        open_segment(tmp_path / "seg.tif")


def test_a_tiff_does_not_choose_other_files_to_be_read(tmp_path, monkeypatch):
    path = tmp_path / "scan.tif"
    elsewhere = tmp_path / "other.tif"
    tifffile.imwrite(elsewhere, VOLUME + 1, ome=True, metadata={"axes": "ZYX"})
    said = {"axes": "ZYX", "TiffData": {"UUID": {"#text": "urn:uuid:1", "FileName": "other.tif"}}}
    tifffile.imwrite(path, VOLUME, ome=True, metadata=said)
    text = tifffile.tiffcomment(path)
    tifffile.tiffcomment(
        path,
        text.replace(
            "<TiffData ", '<TiffData><UUID FileName="other.tif">urn:uuid:1</UUID></TiffData><TiffData ', 1
        ).encode(),
    )
    opened, plain = [], builtins.open
    monkeypatch.setattr(
        builtins, "open", lambda file, *more, **named: (opened.append(str(file)), plain(file, *more, **named))[1]
    )
    segment = open_segment(path)
    assert (segment.read(Window((0, 4), (0, 9), (0, 11))) == VOLUME).all()
    assert not [name for name in opened if "other.tif" in name]


OME = {"axes": [{"name": name} for name in "zyx"], "datasets": [{"path": "0"}]}


def test_a_tiff_of_more_planes_than_bytes(tmp_path):
    path = tmp_path / "scan.tif"
    said = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0" '
        'DimensionOrder="XYZCT" Type="uint8" SizeX="11" SizeY="9" SizeZ="&#52;0000000" SizeC="1" SizeT="1">'
        '<Channel ID="Channel:0:0" SamplesPerPixel="1"/><TiffData IFD="0" PlaneCount="1"/></Pixels></Image></OME>'
    )
    tifffile.imwrite(path, VOLUME[0], description=said, metadata=None)
    for open_it in (open_segment, lambda path: open_photo(Location.of(path))):
        with pytest.raises(SourceError, match="more planes than it has bytes"):
            open_it(path)


@pytest.mark.parametrize(
    "attributes",
    [
        {"multiscales": [OME | {"datasets": 5}]},
        {"multiscales": [OME | {"datasets": [5]}]},
        {"multiscales": [OME | {"datasets": [{}]}]},
        {"multiscales": [OME | {"datasets": [{"path": "../../elsewhere"}]}]},
        {"multiscales": [OME | {"datasets": [{"path": "/etc"}]}]},
        {"multiscales": [OME | {"datasets": [{"path": "a\0b"}]}]},
        {"multiscales": [OME | {"axes": [{}, {}, {}]}]},
        {"multiscales": [OME | {"axes": 7}]},
        {"multiscales": [OME | {"axes": ["z", "y", {"name": "x", "unit": "um"}], "coordinateTransformations": 3}]},
        {"ome": "text"},
        {"ome": [1]},
    ],
)
@pytest.mark.parametrize("version", [2, 3])
def test_ome_metadata_out_of_shape(tmp_path, attributes, version):
    group = zarr.open_group(tmp_path / "seg.zarr", mode="w", zarr_format=version)
    group.create_array("0", shape=VOLUME.shape, chunks=VOLUME.shape, dtype="u1")[...] = VOLUME
    group.attrs.update(attributes)
    with pytest.raises(VolumenError, match=r"seg\.zarr"):
        open_segment(tmp_path / "seg.zarr")


@pytest.mark.parametrize("scale", [[0], [float("nan")], [-1.0], [1e300]])
def test_a_voxel_of_no_size_is_not_believed(tmp_path, scale):
    group = zarr.open_group(tmp_path / "seg.zarr", mode="w", zarr_format=2)
    group.create_array("0", shape=VOLUME.shape, chunks=VOLUME.shape, dtype="u1")[...] = VOLUME
    steps = [{"type": "scale", "scale": scale}]
    axes = [{"name": name, "unit": "micrometer"} for name in "zyx"]
    group.attrs["multiscales"] = [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": steps}]}]
    assert open_segment(tmp_path / "seg.zarr").voxel_um is None


@pytest.mark.parametrize("text", [DEEP, '{"a": ' + DEEP + "}", '"\\ud800"', "\x80"])
@pytest.mark.parametrize("name", [".zattrs", "zarr.json"])
def test_metadata_that_nest_without_end(tmp_path, text, name):
    (tmp_path / name).write_text(text, "latin-1")
    with pytest.raises(SourceError, match="damaged"):
        open_segment(tmp_path)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 5, 5)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (4294967296, 4294967296, 1)}",
        "{'descr': '|V0', 'fortran_order': False, 'shape': (1, 5, 5)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 5",
        "{'descr': '|u1', 'fortran_order': False, 'shape': " + "(" * 300 + "}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 9, 11), }" + " " * 5000 + "\x04",  # took many seconds
    ],
)
def test_a_npy_header_out_of_shape(tmp_path, header):
    raw = f"{header}\n".encode()
    (tmp_path / "seg.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(raw).to_bytes(2, "little") + raw + bytes(99))
    with pytest.raises(SourceError, match=r"seg\.npy"):
        open_segment(tmp_path / "seg.npy")


@pytest.mark.parametrize("path", ["a\0b.zarr", "\ud800.tif", "a\0b.npy", "x\0y"])
def test_a_path_that_no_file_can_have(path):
    with pytest.raises(FileNotFoundError):
        open_segment(path)


def tiff_with(path, tag, value, dtype=None, colours=1):
    """Write a TIFF in strips, and another number into one of its tags."""
    page = VOLUME[0] if colours == 1 else np.stack([VOLUME[0]] * colours, axis=-1)
    tifffile.imwrite(path, page, rowsperstrip=2, compression="zlib", metadata=None)
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[0].tags[tag].overwrite(value, dtype=dtype)
    return path


_TEXT, _SIGNED, _FRACTION = 2, 9, 12  # TIFF's types ASCII, SLONG and DOUBLE


@pytest.mark.parametrize(
    ("tag", "value", "dtype"),
    [
        ("RowsPerStrip", 0, None),
        ("RowsPerStrip", 1, None),  # more strips than are listed
        ("StripByteCounts", [9, 9], None),
        ("StripByteCounts", [0] * 5, None),  # tifffile makes up blank strips
        ("StripByteCounts", [-9] * 5, _SIGNED),
        ("StripByteCounts", "12345", _TEXT),
        ("StripByteCounts", [9.5] * 5, _FRACTION),
        ("StripOffsets", [8], None),
        ("StripOffsets", [8.0] * 5, _FRACTION),
        ("StripOffsets", [10**9] * 5, None),
        ("StripOffsets", [-9] * 5, _SIGNED),
        ("BitsPerSample", 77, None),
        ("ImageWidth", 0, None),
        ("ImageLength", 10**6, None),
    ],
)
@pytest.mark.parametrize("colours", [1, 3])
def test_a_tiff_whose_pieces_do_not_make_up_its_page(tmp_path, tag, value, dtype, colours):
    path = tiff_with(tmp_path / "scan.tif", tag, value, dtype, colours)
    with pytest.raises(SourceError, match=r"scan\.tif"):
        open_segment(path).read(Window((0, 1), (0, 9), (0, 11)))
    with pytest.raises(SourceError, match=r"scan\.tif"):
        open_photo(Location.of(path)).read()


@pytest.mark.parametrize("colours", [1, 3])
def test_lzw_that_begins_with_a_code_not_known_yet(tmp_path, colours):
    path = tmp_path / "scan.tif"
    page = VOLUME[0] if colours == 1 else np.stack([VOLUME[0]] * colours, axis=-1)
    tifffile.imwrite(path, page, compression="lzw", metadata=None)
    with tifffile.TiffFile(path) as file:
        start = file.pages[0].dataoffsets[0]
    raw = bytearray(path.read_bytes())
    assert raw[start : start + 2] == b"\x80\x00"  # forget all codes, 100000000, then one of 9 bits below 256
    raw[start + 1] |= 0b0111_1000  # 011110000: 240 above 256, which ended the process now and then
    path.write_bytes(raw)
    for _ in range(20):
        with pytest.raises(SourceError, match=r"scan\.tif"):
            open_segment(path).read(Window((0, 1), (0, 9), (0, 11)))
        with pytest.raises(SourceError, match=r"scan\.tif"):
            open_photo(Location.of(path)).read()


def test_a_tiff_whose_directories_go_in_circles_ends(tmp_path):
    path = tmp_path / "scan.tif"
    tifffile.imwrite(path, VOLUME[:2], metadata=None)
    with tifffile.TiffFile(path) as file:
        first, last = file.pages[0].offset, file.pages[1].offset
    raw = bytearray(path.read_bytes())
    tags = int.from_bytes(raw[last : last + 2], "little")
    after = last + 2 + 12 * tags  # where the offset of the next directory stands
    raw[after : after + 4] = first.to_bytes(4, "little")
    path.write_bytes(raw)
    with pytest.raises(SourceError, match=r"scan\.tif is truncated after 2 pages"):
        open_segment(path)
    with pytest.raises(SourceError, match=r"scan\.tif .* holds 2 pages"):
        open_photo(Location.of(path)).read()


def test_a_stack_of_numbers_that_are_none(tmp_path):
    """Of which tifffile knows no type, so that it ends in an assertion of its own."""
    tifffile.imwrite(tmp_path / "scan.tif", VOLUME, photometric="minisblack", metadata={"axes": "ZYX"})
    with tifffile.TiffFile(tmp_path / "scan.tif", mode="r+") as file:
        for page in file.pages:
            page.tags["BitsPerSample"].overwrite(77)
    with pytest.raises(SourceError, match=r"scan\.tif"):
        open_segment(tmp_path / "scan.tif")


def test_a_level_that_is_named_twice_is_there_once():
    assert read_ome({"multiscales": [OME | {"datasets": [{"path": "0"}, {"path": "0"}]}]}, "there").paths == ("0",)
