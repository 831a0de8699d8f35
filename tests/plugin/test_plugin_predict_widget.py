"""Predict: the map appears when it is begun, fills in, begins where one looks, and is what the command line makes."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

pytest.importorskip("napari", reason="needs the extra [napari]")
pytest.importorskip("pytestqt", reason="needs pytest-qt")

import torch
from napari.components import ViewerModel

from volumen.crops.normalize import Normalization
from volumen.events import result
from volumen.models.checkpoint import save_checkpoint
from volumen.models.unet import build_unet
from volumen.plugin import predict_widget, task_widget
from volumen.plugin.layers import origin_of, segment_data
from volumen.plugin.predict_widget import DRAWN, SEEN, PredictWidget
from volumen.plugin.preferences import Preferences
from volumen.recipes.infer import predict
from volumen.settings import Phantom, Predict
from volumen.sources.open import open_segment
from volumen.sources.pyramids.probability_map import create_map, open_map
from volumen.sources.synthetic.phantom import make_phantom

SHAPE = (192, 256)
VOXEL = 7.91


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Make a segment and a run of a model that was never trained."""
    folder = tmp_path_factory.mktemp("predict")
    result(make_phantom(Phantom(out=str(folder / "phantom.zarr"), size=SHAPE, layers=16)))
    run = folder / "runs" / "model"
    run.mkdir(parents=True)
    torch.manual_seed(0)
    header = {"layer_count": 8, "surface_offset": -4, "normalization": Normalization().to_dict()}
    save_checkpoint(run / "best.safetensors", build_unet("resnet18", 8), header)
    (run / "recipe.json").write_text(json.dumps({"verb": "finetune", "settings": {}}))
    return folder


@pytest.fixture
def viewer(qapp, made):
    model = ViewerModel()
    model.canvas.size = (300, 300)
    for data, options, kind in segment_data(open_segment(str(made / "phantom.zarr"))):
        getattr(model, f"add_{kind}")(data, **options)
    model.scene.camera.center = (0, 100 * VOXEL, 50 * VOXEL)
    model.scene.camera.zoom = 300 / (60 * VOXEL)
    return model


@pytest.fixture
def widget(viewer, made, tmp_path, qtbot, monkeypatch):
    shutil.copytree(made / "runs", tmp_path / "runs")
    chosen = Preferences(cache=tmp_path / "cache", runs=tmp_path / "runs", device="cpu")
    for module in (task_widget, predict_widget):
        monkeypatch.setattr(module, "preferences", lambda: chosen)
    widget = PredictWidget(viewer)
    qtbot.addWidget(widget)
    qtbot.waitUntil(lambda: not widget.weights.looking, timeout=20_000)
    return widget


def maps(viewer):
    return [layer for layer in viewer.layers if (origin := origin_of(layer)) and origin.kind == "prediction"]


def test_a_map_appears_fills_in_and_is_what_the_recipe_makes(widget, viewer, qtbot, made, tmp_path):
    widget.form.set_values({"tile": 64, "overlap": 16})
    seen = []
    widget.panel.event_came.connect(lambda event: seen.append((type(event).__name__, len(maps(viewer)))))
    with qtbot.waitSignal(widget.panel.ended, timeout=120_000):
        job = widget.start()
    assert job.state == "finished", job.error
    assert ("Started", 1) in seen
    (layer,) = maps(viewer)
    assert not any(watch.live.layer is layer for watch in widget._watches), "the job tells of it"
    shown = np.asarray(layer.data if not layer.multiscale else layer.data[0])
    weights = str(tmp_path / "runs" / "model" / "best.safetensors")
    rows = Predict(
        checkpoint=weights, segment=str(made / "phantom.zarr"), out=str(tmp_path / "rows.zarr"), tile=64, overlap=16
    )
    result(predict(rows))
    wanted = open_map(rows.out)
    assert np.array_equal(shown, wanted.read(wanted.window))
    assert shown.any()
    assert job.settings.near == (100, 50)
    # where it began decides no pixel, and is no setting of the map
    assert open_map(job.out).attributes["settings"] == wanted.attributes["settings"]


def test_what_is_seen_and_what_is_drawn_restrict_the_map(widget, viewer):
    whole = widget.settings()
    assert whole.region is None
    assert whole.device == "cpu"
    widget.where.setCurrentText(SEEN)
    seen = widget.settings().region
    assert all(abs(got - wanted) <= 2 for got, wanted in zip(seen, (70, 130, 20, 80), strict=True))
    widget.where.setCurrentText(DRAWN)
    assert widget.settings() is None
    assert "draw one" in widget._message.text()
    viewer.add_shapes([(np.array([[10, 20], [10, 50], [30, 50], [30, 20]]) - 0.5) * VOXEL])
    assert widget.settings().region == (10, 30, 20, 50)


def test_out_of_sight_is_said_in_words(widget, viewer):
    widget.where.setCurrentText(SEEN)
    viewer.dims.ndisplay = 3
    assert widget.settings() is None
    assert "not on the screen" in widget._message.text()


def test_without_a_model_or_a_segment_it_says_what_to_do(qapp, tmp_path, qtbot, monkeypatch):
    chosen = Preferences(cache=tmp_path, runs=tmp_path / "runs")
    for module in (task_widget, predict_widget):
        monkeypatch.setattr(module, "preferences", lambda: chosen)
    widget = PredictWidget(ViewerModel())
    qtbot.addWidget(widget)
    qtbot.waitUntil(lambda: not widget.weights.looking, timeout=20_000)
    assert widget.start() is None
    assert "Fine-tune one first" in widget._message.text()
    widget.weights.add("model.safetensors")
    assert widget.start() is None
    assert "Choose a segment" in widget._message.text()
    widget.segment.add("https://example.org/segment.zarr")
    settings = widget.settings()
    assert (settings.segment, settings.near, settings.region) == ("https://example.org/segment.zarr", None, None)


def test_an_unfinished_map_that_is_loaded_is_followed(widget, viewer, tmp_path, qtbot):
    from volumen.plugin.live_map import show_map

    ink_map = create_map(tmp_path / "other.zarr", shape=SHAPE, settings={}, voxel_um=VOXEL)
    layer = show_map(viewer, ink_map.path).layer
    told = []
    layer.events.set_data.connect(lambda event: told.append(event))
    ink_map.write(ink_map.window, np.full(SHAPE, 9, np.uint8))
    qtbot.waitUntil(lambda: bool(told), timeout=10_000)
    ink_map.finish()
    qtbot.waitUntil(lambda: not any(watch.watching for watch in widget._watches), timeout=10_000)
    assert np.asarray(layer.data)[5, 5] == 9


def test_a_map_that_is_gone_is_said_and_leaves_a_former_one_in_peace(widget, viewer, tmp_path):
    create_map(tmp_path / "former.zarr", shape=SHAPE, settings={}, voxel_um=VOXEL)
    widget._show_map(tmp_path / "former.zarr")
    widget._show_map(tmp_path / "gone.zarr")
    assert "gone.zarr" in widget._message.text()
    assert widget._live is None
    assert [layer.name for layer in maps(viewer)] == ["former"]


def test_a_layer_that_comes_asks_nothing_of_the_maps_that_are_there(widget, viewer, tmp_path, monkeypatch):
    from volumen.plugin import live_map

    create_map(tmp_path / "other.zarr", shape=SHAPE, settings={}, voxel_um=VOXEL).finish()
    live_map.show_map(viewer, tmp_path / "other.zarr")
    monkeypatch.setattr(live_map, "open_map", lambda path: pytest.fail(f"the window reads {path}"))
    viewer.add_points([(0, 0)])


def test_the_next_map_gets_another_name(widget, tmp_path):
    first = widget.out.value()
    assert first.startswith(str(tmp_path / "runs" / "phantom_ink_"))
    create_map(first, shape=(8, 8), settings={})
    widget.propose_out()
    assert widget.out.value() == first.replace("_1.zarr", "_2.zarr")
    widget.out.set_value("/mine.zarr")
    widget.propose_out()
    assert widget.out.value() == "/mine.zarr"
