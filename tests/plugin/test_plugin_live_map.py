"""Live maps: what is written is seen at every level, only where somebody looks, and an odd end harms nobody."""

from __future__ import annotations

import shutil
import threading

import numpy as np
import pytest

pytest.importorskip("napari", reason="needs the extra [napari]")
pytest.importorskip("pytestqt", reason="needs pytest-qt")

from napari.components import ViewerModel

from volumen.plugin import live_map
from volumen.plugin.live_map import LiveMap, MapWatch, show_map, unfinished_layers
from volumen.plugin.places import as_text, centre, drawn, extent, seen
from volumen.sources.pyramids.probability_map import create_map, open_map
from volumen.windows import Window

VOXEL = 4.0
SHAPE = (2048, 3000)


@pytest.fixture
def ink_map(tmp_path):
    return create_map(tmp_path / "ink.zarr", shape=SHAPE, settings={}, voxel_um=VOXEL, block=512)


@pytest.fixture
def viewer(qapp):
    model = ViewerModel()
    model.canvas.size = (500, 500)
    return model


def fill(ink_map, block, value=200):
    ink_map.write(block, np.full(block.shape[1:], value, np.uint8))


def look_at(viewer, y, x, width):
    """Show ``width`` px around a pixel."""
    viewer.scene.camera.center = (0, y * VOXEL, x * VOXEL)
    viewer.scene.camera.zoom = 500 / (width * VOXEL)


def refreshes(layer, monkeypatch):
    told = []
    monkeypatch.setattr(layer, "refresh", lambda **options: told.append(options))
    return told


def test_what_is_written_is_seen_at_every_level_at_once(viewer, ink_map):
    live = show_map(viewer, ink_map.path)
    shown = live.layer.data
    assert len(shown) == len(ink_map.pyramid.levels) > 1
    block = list(ink_map.blocks(ink_map.window))[7]
    assert not np.asarray(shown[0][block.yx]).any()
    fill(ink_map, block)
    live.written(block.box)
    live.show()
    for level, array in enumerate(shown):
        assert np.array_equal(np.asarray(array[:]), ink_map.pyramid.levels[level][:])
    assert (np.asarray(shown[0][block.yx]) == 200).all()


def test_many_tiles_at_once_are_drawn_once(viewer, ink_map, monkeypatch, qtbot):
    live = show_map(viewer, ink_map.path)
    look_at(viewer, 300, 300, 600)
    told = refreshes(live.layer, monkeypatch)
    for block in ink_map.blocks(ink_map.window):
        live.written(block.box)
    assert not told
    qtbot.waitUntil(lambda: bool(told), timeout=5000)
    assert told == [{"thumbnail": False, "highlight": False, "extent": False}]


def test_what_is_out_of_sight_costs_no_drawing(viewer, ink_map, monkeypatch):
    live = show_map(viewer, ink_map.path)
    look_at(viewer, 300, 300, 400)
    told = refreshes(live.layer, monkeypatch)
    live.written((1536, 2048, 2560, 3000))
    live.show()
    assert not told
    live.written((0, 512, 0, 512))
    live.show()
    assert len(told) == 1
    live.layer.visible = False
    live.written((0, 512, 0, 512))
    live.show()
    assert len(told) == 1
    live.end()
    assert told[1:] == [{}]


def test_a_layer_that_was_removed_is_left_in_peace(viewer, ink_map, monkeypatch):
    live = show_map(viewer, ink_map.path)
    told = refreshes(live.layer, monkeypatch)
    viewer.layers.remove(live.layer)
    live.written((0, 512, 0, 512))
    live.show()
    live.end()
    assert not told


def test_a_map_shown_again_takes_the_place_of_its_former_layer(viewer, ink_map):
    first = show_map(viewer, ink_map.path)
    second = show_map(viewer, ink_map.path)
    assert [layer.unique_id for layer in viewer.layers] == [second.layer.unique_id] != [first.layer.unique_id]


def test_a_map_that_another_process_makes_is_followed_to_its_end(viewer, ink_map, qtbot):
    layer = show_map(viewer, ink_map.path).layer
    assert list(unfinished_layers(viewer.layers)) == [layer]
    watch = MapWatch(viewer, layer)
    for block in ink_map.blocks(ink_map.window):
        fill(ink_map, block, 77)
    watch.look()
    qtbot.waitUntil(lambda: bool((np.asarray(layer.data[-1][:]) == 77).all()), timeout=5000)
    assert watch.watching
    ink_map.finish()
    watch.look()
    qtbot.waitUntil(lambda: not watch.watching, timeout=20_000)
    assert not list(unfinished_layers(viewer.layers))


def test_while_a_slow_disk_is_looked_at_the_window_goes_on(viewer, ink_map, qtbot, monkeypatch):
    may, threads = threading.Event(), []

    def slow(path):
        threads.append(threading.current_thread())
        assert may.wait(20)
        return open_map(path)

    layer = show_map(viewer, ink_map.path).layer
    watch = MapWatch(viewer, layer)
    monkeypatch.setattr(live_map, "open_map", slow)
    watch.look()
    qtbot.waitUntil(lambda: bool(threads), timeout=20_000)
    watch.look()  # as the clock has it, though the former look goes on
    fill(ink_map, next(ink_map.blocks(ink_map.window)), 77)
    may.set()
    qtbot.waitUntil(lambda: bool(np.asarray(layer.data[-1][:]).any()), timeout=20_000)
    assert threading.main_thread() not in threads
    watch.stop()


def test_a_map_that_is_deleted_meanwhile_is_no_error(viewer, ink_map, qtbot):
    watch = MapWatch(viewer, show_map(viewer, ink_map.path).layer)
    shutil.rmtree(ink_map.path)
    watch.look()
    qtbot.waitUntil(lambda: not watch.watching, timeout=20_000)
    assert not list(unfinished_layers(viewer.layers))


def test_what_is_on_the_screen_is_known_in_pixels_of_the_segment(viewer, ink_map):
    layer = show_map(viewer, ink_map.path).layer
    assert extent(layer) == SHAPE
    look_at(viewer, 1000, 1500, 400)
    box = seen(viewer, layer)
    assert box is not None
    assert all(abs(got - wanted) <= 2 for got, wanted in zip(box.box, (800, 1200, 1300, 1700), strict=True))
    assert all(abs(got - wanted) <= 1 for got, wanted in zip(centre(box), (1000, 1500), strict=True))
    look_at(viewer, 9000, 1500, 400)
    assert seen(viewer, layer) is None
    viewer.dims.ndisplay = 3
    assert seen(viewer, layer) is None


def test_a_drawn_rectangle_is_a_box_of_pixels_cut_to_the_segment(viewer, ink_map):
    layer = show_map(viewer, ink_map.path).layer
    assert drawn(viewer, layer) is None

    def corners(y0, y1, x0, x1):
        """Return the outer edges of a box of pixels in µm: a pixel's centre lies on its number."""
        return (np.array([[y0, x0], [y0, x1], [y1, x1], [y1, x0]]) - 0.5) * VOXEL

    shapes = viewer.add_shapes([corners(10, 20, 30, 50), corners(100, 300, -40, 60)])
    assert drawn(viewer, layer) == Window((0, 1), (100, 300), (0, 60))
    shapes.selected_data = {0}
    box = drawn(viewer, layer)
    assert box is not None
    assert as_text(box) == "10:20,30:50"
    shapes.data = []
    assert drawn(viewer, layer) is None


def test_a_small_map_of_one_level_is_shown_too(viewer, tmp_path):
    small = create_map(tmp_path / "small.zarr", shape=(100, 90), settings={})
    live = show_map(viewer, small.path)
    fill(small, small.window)
    live.written(small.window.box)
    live.show()
    live.end()
    assert isinstance(live, LiveMap)
    assert (np.asarray(live.layer.data) == 200).all()
