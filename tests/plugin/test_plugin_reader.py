"""A segment or an ink map that is dropped on the window opens right at once; what is not ours is left to others."""

import os
import shutil
import sys

import numpy as np
import pytest

from volumen.events import result
from volumen.settings import Phantom
from volumen.sources.pyramids.probability_map import create_map
from volumen.sources.synthetic.phantom import make_phantom

napari_components = pytest.importorskip("napari.components", reason="needs the extra [napari]")


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    path = tmp_path_factory.mktemp("plugin") / "phantom.zarr"
    result(make_phantom(Phantom(out=str(path), size=(192, 256), layers=16)))
    return str(path)


def test_a_segment_becomes_a_pyramid_and_its_rasters(phantom):
    from volumen.plugin.reader import get_reader

    volume, *rasters = get_reader(phantom)(phantom)
    levels, options, kind = volume
    assert kind == "image"
    assert options["multiscale"] is (len(levels) > 1 if isinstance(levels, list) else False)
    assert options["scale"] == (7.91,) * 3
    low, high = options["contrast_limits"]
    assert 0 <= low < high <= 255
    assert {layer[1]["name"] for layer in rasters} == {"phantom_ink", "phantom_mask", "phantom_supervision"}


def test_what_is_no_segment_is_left_to_other_readers(tmp_path):
    from volumen.plugin.reader import get_reader

    (tmp_path / "notes.tif").write_text("no picture")
    assert get_reader(str(tmp_path / "notes.tif")) is None
    assert get_reader([str(tmp_path), str(tmp_path)]) is None


def test_an_ink_map_opens_as_one_not_as_a_segment(tmp_path):
    from volumen.plugin.layers import origin_of
    from volumen.plugin.reader import get_reader

    path = str(tmp_path / "map.zarr")
    create_map(path, shape=(30, 40), settings={})
    ((data, options, kind),) = get_reader(path)(path)
    assert (kind, data.shape, options["contrast_limits"]) == ("image", (30, 40), (0, 255))
    viewer = napari_components.ViewerModel()
    assert origin_of(viewer.add_image(data, **options)).kind == "prediction"


def test_a_store_of_others_is_left_to_other_readers(tmp_path):
    zarr = pytest.importorskip("zarr")
    from volumen.plugin.reader import get_reader

    zarr.create_array(tmp_path / "timelapse.zarr", shape=(5, 2, 3, 8, 8), dtype="uint8", chunks=(1, 1, 3, 8, 8))
    zarr.create_group(tmp_path / "plate.zarr", attributes={"ome": {"plate": {"wells": []}}})
    (tmp_path / "folder").mkdir()
    for name in ("timelapse.zarr", "plate.zarr", "folder"):
        assert get_reader(str(tmp_path / name)) is None, name


def test_layers_show_what_is_on_disk(phantom):
    from volumen.plugin.reader import read_segment
    from volumen.sources.open import open_segment

    viewer = napari_components.ViewerModel()
    for data, options, kind in read_segment(phantom):
        getattr(viewer, f"add_{kind}")(data, **options)
    segment = open_segment(phantom)
    surface = segment.surface_index
    shown = viewer.layers["phantom"].data
    level = shown[0] if isinstance(shown, list) or hasattr(shown, "shapes") else shown
    assert np.array_equal(np.asarray(level[surface]), segment.read(segment.window.layers(surface, surface + 1))[0])


def test_a_layer_says_the_whole_path_that_it_was_read_from(phantom, monkeypatch):
    from volumen.plugin.layers import origin_of
    from volumen.plugin.reader import read_segment

    monkeypatch.chdir(os.path.dirname(phantom))
    data, options, _ = read_segment("phantom.zarr")[0]
    assert origin_of(napari_components.ViewerModel().add_image(data, **options)).path == phantom


@pytest.mark.skipif(
    sys.platform == "linux" and not (shutil.which("Xvfb") or os.environ.get("DISPLAY")),
    reason="a window needs a display: install Xvfb, as .ci/run does",
)
def test_a_window_opens_with_the_segment(phantom, make_napari_viewer_proxy):
    viewer = make_napari_viewer_proxy()
    viewer.open(phantom, plugin="volumen")
    assert next(layer.name for layer in viewer.layers) == "phantom"
