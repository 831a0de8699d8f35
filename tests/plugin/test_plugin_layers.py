"""Layers show what is on disk, as it is now, wherever one is zoomed; they say where they come from."""

import numpy as np
import pytest
from PIL import Image

from volumen.events import result
from volumen.settings import Convert, Phantom
from volumen.sources.labels.rasters import Raster
from volumen.sources.open import open_segment
from volumen.sources.pyramids.convert import convert
from volumen.sources.pyramids.probability_map import create_map
from volumen.sources.pyramids.pyramid import create_pyramid
from volumen.sources.segment import Segment
from volumen.sources.synthetic.phantom import make_phantom
from volumen.windows import Window

components = pytest.importorskip("napari.components", reason="needs the extra [napari]")

from volumen.plugin.layers import LayerOrigin, origin_of, prediction_data, segment_data  # noqa: E402
from volumen.plugin.lazy import HeldLevel, LazyLevel, Slabs, reload, with_coarser  # noqa: E402


class Counting:
    """A source that notes which boxes are read."""

    def __init__(self, array):
        self.array = array
        self.boxes = []

    shape = property(lambda self: self.array.shape)
    dtype = property(lambda self: self.array.dtype)

    def __getitem__(self, key):
        assert all(isinstance(part, slice) and part.step is None for part in key)
        self.boxes.append(tuple((part.start, part.stop) for part in key))
        return self.array[key]


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    path = tmp_path_factory.mktemp("layers") / "phantom.zarr"
    result(make_phantom(Phantom(out=str(path), size=(192, 256), layers=16)))
    return str(path)


def shown(viewer, name):
    """Return what a layer hands to the screen."""
    return np.asarray(viewer.layers[name]._slice.image.raw)


def add(viewer, data):
    array, options, kind = data
    assert kind == "image"
    return viewer.add_image(array, **options)


@pytest.mark.parametrize(
    "key",
    [
        np.s_[2],
        np.s_[:, 3:9],
        np.s_[1:5:2, ::3, -4:],
        np.s_[::-1, 1:, 0],
        np.s_[..., 4],
        np.s_[-1, ...],
        np.s_[4, 3, 6],
        np.s_[:0],
    ],
)
def test_a_lazy_level_is_sliced_as_numpy_is(key):
    array = np.arange(6 * 10 * 12).reshape(6, 10, 12)
    assert np.array_equal(np.asarray(LazyLevel(array)[key]), array[key])
    assert np.array_equal(np.asarray(LazyLevel(array)[1:, ::2][key]), array[1:, ::2][key])


def test_only_the_box_that_is_looked_at_is_read():
    source = Counting(np.zeros((65, 100, 100), np.uint8))
    level = LazyLevel(source)[:, 10:30, 40:60]
    assert source.boxes == []
    assert level[32].shape == (20, 20)
    assert source.boxes == [((32, 33), (10, 30), (40, 60))]


@pytest.mark.parametrize("rows", [1, 8, 64])
def test_a_coarse_view_never_reads_more_rows_at_once_than_the_source_decodes(rows):
    source = Counting(np.random.default_rng(0).integers(0, 255, (2, 130, 70), np.uint8))
    view = LazyLevel(source, rows=rows).coarser(4)
    assert np.array_equal(view[1], source.array[1, ::4, ::4])
    assert max(stop - start for _, (start, stop), _ in source.boxes) <= max(1, rows)


def test_deep_chunks_are_decoded_once_for_all_their_layers():
    source = Counting(np.random.default_rng(0).integers(0, 255, (20, 30, 40), np.uint8))
    level = LazyLevel(Slabs(source, 8))
    for layer in (0, 3, 7, 8, 15, 16, 19, 5):
        assert np.array_equal(level[layer, 5:25, 8:32], source.array[layer, 5:25, 8:32])
    assert [z for z, _, _ in source.boxes] == [(0, 8), (8, 16), (16, 20)]
    assert np.array_equal(np.asarray(level), source.array)


def test_what_is_too_large_to_keep_is_read_as_it_is(monkeypatch):
    source = Counting(np.zeros((16, 64, 64), np.uint8))
    monkeypatch.setattr("volumen.plugin.lazy._REMEMBERED", 2 * 16 * 64 * 64 - 1)
    assert LazyLevel(Slabs(source, 16))[3].shape == (64, 64)
    assert source.boxes == [((3, 4), (0, 64), (0, 64))]


def test_large_pictures_get_levels_and_small_ones_do_not():
    large, small = LazyLevel(Counting(np.empty((1, 5000, 600), bool))), LazyLevel(np.empty((4096, 4096), bool))
    assert [level.shape for level in with_coarser([large])] == [
        (1, 5000, 600),
        (1, 2500, 300),
        (1, 1250, 150),
        (1, 625, 75),
    ]
    assert len(with_coarser([small])) == 1


def test_an_index_outside_is_an_error():
    with pytest.raises(IndexError):
        LazyLevel(np.zeros((3, 4)))[3]


def test_layers_show_the_voxels_of_the_surface_in_the_models_order(phantom):
    for segment in (open_segment(phantom), open_segment(phantom, reverse=True)):
        viewer = components.ViewerModel()
        for data in segment_data(segment):
            add(viewer, data)
        surface = segment.surface_index
        viewer.dims.set_current_step(0, surface)
        expected = segment.read(segment.window.layers(surface, surface + 1))[0]
        assert np.array_equal(shown(viewer, segment.name), expected)
        assert np.array_equal(shown(viewer, f"{segment.name}_ink"), np.asarray(segment.ink.pixels[segment.window.yx]))


def test_layers_say_where_they_come_from(phantom):
    viewer = components.ViewerModel()
    layers = [add(viewer, data) for data in segment_data(open_segment(phantom))]
    origins = [origin_of(layer) for layer in layers]
    assert [origin.kind for origin in origins] == ["segment", "ink", "supervision", "mask"]
    assert {(origin.path, origin.name) for origin in origins} == {(phantom, "phantom")}
    assert layers[0].metadata["volumen"] == {"kind": "segment", "path": phantom, "name": "phantom"}
    assert origin_of(viewer.add_image(np.zeros((4, 4)), name="theirs")) is None
    assert origin_of(viewer.add_image(np.zeros((4, 4)), metadata={"volumen": "theirs"})) is None
    assert origin_of(None) is None


def test_scale_is_in_micrometres_where_it_is_known(phantom, tmp_path):
    layer = add(components.ViewerModel(), segment_data(open_segment(phantom))[0])
    assert [str(unit) for unit in layer.units] == ["micrometer"] * 3
    assert tuple(layer.scale) == (7.91,) * 3
    np.save(tmp_path / "bare.npy", np.zeros((3, 8, 8), np.uint8))
    layer = add(components.ViewerModel(), segment_data(open_segment(tmp_path / "bare.npy"))[0])
    assert [str(unit) for unit in layer.units] == ["pixel"] * 3


def test_contrast_comes_from_papyrus_alone(tmp_path):
    volume = np.zeros((3, 400, 400), np.uint16)
    volume[:, 150:200, 150:200] = np.random.default_rng(0).integers(20_000, 30_000, (3, 50, 50))
    np.save(tmp_path / "speck.npy", volume)
    low, high = segment_data(open_segment(tmp_path / "speck.npy"))[0][1]["contrast_limits"]
    assert 20_000 <= low < 20_300
    assert 29_700 < high <= 30_000


def test_a_blank_volume_has_a_contrast_too(tmp_path):
    np.save(tmp_path / "blank.npy", np.zeros((3, 40, 40), np.uint8))
    assert segment_data(open_segment(tmp_path / "blank.npy"))[0][1]["contrast_limits"] == (0.0, 1.0)


def test_a_picture_is_decoded_when_it_is_looked_at_not_before(tmp_path):
    np.save(tmp_path / "scan.npy", np.zeros((3, 50, 60), np.uint8))
    Image.fromarray(np.full((50, 60), 255, np.uint8)).save(tmp_path / "scan_mask.png")
    segment = open_segment(tmp_path / "scan.npy")
    _, (mask, options, _) = segment_data(segment)
    assert options["visible"] is False
    assert "pixels" not in segment.mask.__dict__
    assert np.asarray(mask[10:20, 5:]).tolist() == [[255] * 55] * 10


def test_a_raster_shorter_than_the_volume_keeps_its_own_extent():
    volume = np.zeros((1, 100, 100), np.uint8)
    ink = Raster.of(np.full((64, 90), 255, np.uint8)).fit((100, 100), "volume")
    _, (level, _, _) = segment_data(Segment(name="a", source="a", levels=(volume,), ink=ink))
    assert level.shape == (64, 90)


def test_rasters_with_levels_of_their_own_are_read_from_those(tmp_path):
    result(make_phantom(Phantom(out=str(tmp_path / "a.zarr"), size=(96, 128), layers=8)))
    ink = np.random.default_rng(0).integers(0, 256, (96, 128), np.uint8)
    fresh = create_pyramid(
        tmp_path / "ink.zarr",
        shape=ink.shape,
        dtype="uint8",
        chunks=(32, 32),
        axes="yx",
        levels=3,
        downsampling="nearest",
    )
    fresh.write(Window((0, 1), (0, 96), (0, 128)), ink)
    segment = open_segment(tmp_path / "a.zarr", ink=tmp_path / "ink.zarr")
    levels = segment_data(segment)[1][0]
    assert [level.shape for level in levels] == [(96, 128), (48, 64), (24, 32)]
    assert np.array_equal(levels[2], ink[::4, ::4])


def test_a_converted_segment_has_its_rasters_at_every_zoom(tmp_path):
    ink = np.random.default_rng(0).integers(0, 256, (2100, 64), np.uint8)
    np.save(tmp_path / "a.npy", np.ones((2, *ink.shape), np.uint8))
    np.save(tmp_path / "ink.npy", ink)
    paths = {"source": str(tmp_path / "a.npy"), "out": str(tmp_path / "a.zarr"), "ink": (str(tmp_path / "ink.npy"),)}
    result(convert(Convert(**paths)))
    _, (levels, _, _) = segment_data(open_segment(tmp_path / "a.zarr"))
    assert [level.shape for level in levels] == [(2100, 64), (1050, 32), (525, 16)]
    assert np.array_equal(np.asarray(levels[2]), ink[::4, ::4])


@pytest.mark.parametrize("size", [(700, 900), (2100, 2300)], ids=["one level", "three levels"])
def test_an_ink_map_that_grows_is_shown_as_it_is_at_every_zoom(tmp_path, size):
    grown = create_map(tmp_path / "map.zarr", shape=size, settings={}, voxel_um=4.0)
    viewer = components.ViewerModel()
    layer = add(viewer, prediction_data(tmp_path / "map.zarr"))
    assert origin_of(layer) == LayerOrigin("prediction", str(tmp_path / "map.zarr"), "map")
    assert tuple(layer.scale) == (4.0, 4.0)
    assert layer.contrast_limits == [0, 255]
    assert not shown(viewer, "map").any()
    values = np.random.default_rng(0).integers(1, 256, (512, 512), np.uint8)
    grown.write(next(grown.blocks(grown.window)), values)
    reload(layer.data if layer.multiscale else [layer.data])
    for level in reversed(range(len(grown.pyramid.levels))):
        if layer.multiscale:
            layer.locked_data_level = level
        layer.refresh()
        assert np.array_equal(shown(viewer, "map"), grown.pyramid.levels[level][:]), level


def test_what_is_held_is_refilled_in_place():
    source = np.zeros((4, 4), np.uint8)
    held = HeldLevel(source)
    kept = np.asarray(held)
    source[1, 1] = 7
    held.reload()
    assert kept[1, 1] == 7
