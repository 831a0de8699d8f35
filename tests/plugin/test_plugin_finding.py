"""Index, Search and Suggest in the window: jobs make what the command line makes, and one steps through it."""

from __future__ import annotations

import json
import threading
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("napari", reason="needs the extra [napari]")
pytest.importorskip("pytestqt", reason="needs pytest-qt")

import torch
from napari.components import ViewerModel
from PIL import Image
from qtpy.QtWidgets import QPushButton

from volumen.crops.normalize import Normalization
from volumen.events import result
from volumen.models.checkpoint import save_checkpoint, save_encoder
from volumen.models.unet import build_encoder, build_unet
from volumen.plugin import index_widget, search_widget, suggest_widget, task_widget
from volumen.plugin.index_widget import IndexWidget
from volumen.plugin.layers import segment_data
from volumen.plugin.painted_window import Grid
from volumen.plugin.place_steps import PlaceOnLayer, PlaceSteps
from volumen.plugin.preferences import Preferences
from volumen.plugin.search_widget import LAYER, SearchWidget
from volumen.plugin.suggest_widget import SuggestWidget
from volumen.recipes.finding.search import search
from volumen.settings import Phantom, Search
from volumen.sources.index.window_index import WindowIndex
from volumen.sources.open import open_segment
from volumen.sources.synthetic.phantom import make_phantom

VOXEL = 7.91


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Make a segment, an encoder and a model, both never trained, where the widgets look for them."""
    folder = tmp_path_factory.mktemp("finding")
    result(make_phantom(Phantom(out=str(folder / "phantom.zarr"), size=(192, 256), layers=16)))
    torch.manual_seed(0)
    header = {"layer_count": 8, "surface_offset": -4, "normalization": Normalization().to_dict()}
    for name, verb in (("encoder", "pretrain spark"), ("model", "finetune")):
        run = folder / "runs" / name
        run.mkdir(parents=True)
        (run / "recipe.json").write_text(json.dumps({"verb": verb, "settings": {}}))
    architecture = {"encoder_name": "resnet18", "in_channels": 8}
    save_encoder(folder / "runs" / "encoder" / "best.safetensors", build_encoder("resnet18", 8), architecture, header)
    save_checkpoint(folder / "runs" / "model" / "best.safetensors", build_unet("resnet18", 8), header)
    return folder


@pytest.fixture
def viewer(qapp, made):
    model = ViewerModel()
    model.canvas.size = (300, 300)
    for data, options, kind in segment_data(open_segment(str(made / "phantom.zarr"))):
        getattr(model, f"add_{kind}")(data, **options)
    return model


@pytest.fixture
def preferred(made, monkeypatch):
    chosen = Preferences(cache=made / "cache", runs=made / "runs", device="cpu")
    for module in (task_widget, index_widget, search_widget, suggest_widget):
        monkeypatch.setattr(module, "preferences", lambda: chosen)


@pytest.fixture
def shown(viewer, preferred, qtbot):
    def show(kind):
        widget = kind(viewer)
        qtbot.addWidget(widget)
        if kind is not SearchWidget:
            qtbot.waitUntil(lambda: not widget.weights.looking, timeout=20_000)
        return widget

    return show


def click(widget, y, x, *, moved=0.0):
    """Press and let go as napari's canvas tells it."""
    event = SimpleNamespace(type="mouse_press", pos=(10.0, 10.0), position=(8 * VOXEL, y * VOXEL, x * VOXEL))
    mine = [each for each in widget.viewer.mouse_drag_callbacks if getattr(each, "__self__", None) is widget]
    every = [heard(widget.viewer, event) for heard in mine]
    for going in every:
        next(going)
    event.type, event.pos = "mouse_move", (10.0 + moved, 10.0)
    for going in every:
        next(going)
    event.type = "mouse_release"
    assert all(next(going, "over") == "over" for going in every)


@pytest.fixture
def index(shown, qtbot, made):
    """Index the segment by the widget, once."""
    found = sorted((made / "runs").glob("index_*"))
    if not found:
        widget = shown(IndexWidget)
        widget.form.set_values({"window": 32, "stride": 32, "stage": 3})
        with qtbot.waitSignal(widget.panel.ended, timeout=120_000):
            job = widget.start()
        assert job.state == "finished", job.error
        found = [job.out]
    return found[0]


def test_a_click_marks_the_places_that_the_recipe_finds_and_next_goes_there(index, shown, viewer, qtbot, made):
    widget = shown(SearchWidget)
    qtbot.waitUntil(lambda: widget.index.value() == str(index), timeout=20_000)
    widget.form.set_values({"k": 5})
    corner = WindowIndex.open(index).parts[0].corners[7]
    y, x = (int(edge) + 15 for edge in corner)
    widget.pick.setChecked(True)
    with qtbot.waitSignal(widget.panel.ended, timeout=60_000):
        click(widget, y, x)
    assert not widget.pick.isChecked()
    assert widget.panel.job.state == "finished", widget.panel.job.error
    wanted = result(search(Search(index=str(index), at=((str(made / "phantom.zarr"), y, x),), k=5)))["places"]
    (layer,) = [each for each in viewer.layers if each.name == LAYER]
    boxes = [place["box"] for place in wanted]
    middles = [((y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2) for y0, y1, x0, x1 in boxes]
    np.testing.assert_allclose(layer.data, middles)
    assert tuple(layer.scale) == (VOXEL, VOXEL)
    assert list(layer.features["rank"]) == [1, 2, 3, 4, 5]
    for number in (0, 1):
        widget.steps.next.click()
        assert set(layer.selected_data) == {number}
        np.testing.assert_allclose(viewer.scene.camera.center[-2:], np.array(middles[number]) * VOXEL)
    widget.steps.previous.click()
    assert widget.steps.words.startswith("1 of 5: score ")
    widget.steps.previous.click()
    assert widget.steps.words.startswith("5 of 5")


def test_a_drag_a_click_elsewhere_and_a_click_without_the_button_search_nothing(index, shown, viewer):
    widget = shown(SearchWidget)
    click(widget, 50, 60)
    widget.pick.setChecked(True)
    click(widget, 50, 60, moved=40)
    assert widget.pick.isChecked()
    click(widget, 5000, 60)
    assert "no segment under" in widget._message.text()
    assert widget.panel.job is None


def test_what_is_missing_is_said(shown, viewer, made):
    widget = shown(SearchWidget)
    widget.index.set_value(str(made / "somewhere"))
    assert widget.start() is None
    assert "Which place" in widget._message.text()
    lone = shown(IndexWidget)
    lone.segments.tick(lone.segments.paths()[0], False)
    assert lone.start() is None
    assert "Tick a segment" in lone._message.text()


def test_an_index_is_looked_for_while_the_window_goes_on(shown, made, monkeypatch, qtbot):
    may, threads = threading.Event(), []

    def slow(folder):
        threads.append(threading.current_thread())
        assert may.wait(20)
        return [folder / "index"]

    monkeypatch.setattr(search_widget, "find_indices", slow)
    widget = shown(SearchWidget)
    widget.start()
    qtbot.waitUntil(lambda: len(threads) == 2, timeout=20_000)
    assert not widget.index.value()
    assert "Reading" in widget._message.text()
    may.set()
    qtbot.waitUntil(lambda: "Which place" in widget._message.text(), timeout=20_000)
    assert widget.index.value() == str(made / "runs" / "index")
    assert threading.main_thread() not in threads


@pytest.mark.parametrize("kind", [IndexWidget, SuggestWidget])
def test_a_region_is_taken_from_a_shape_and_a_missing_one_is_said(shown, viewer, kind):
    widget = shown(kind)
    widget.form._more.expand(animate=False)
    (button,) = widget.form.editor("region").findChildren(QPushButton)
    button.click()
    assert "no rectangle on the segment" in widget._message.text()
    viewer.add_shapes([(np.array([[10, 20], [10, 50], [30, 50], [30, 20]]) - 0.5) * VOXEL])
    button.click()
    assert widget.form.values()["region"] == "10:30,20:50"
    assert not widget._message.text()


def test_while_a_click_is_waited_for_no_brush_is_in_the_hand(shown, viewer):
    widget = shown(SearchWidget)
    layer = viewer.add_labels(np.zeros((192, 256), np.uint8))
    layer.mode = "paint"
    widget.pick.setChecked(True)
    assert str(layer.mode) == "pan_zoom"
    widget.show()
    widget.hide()
    assert not widget.pick.isChecked(), "nobody sees any more what a click would do"


def test_suggestions_are_boxes_to_step_through(shown, viewer, qtbot, made, tmp_path):
    for layer in list(viewer.layers):
        if layer.name.endswith(("_ink", "_supervision")):
            viewer.layers.remove(layer)
    widget = shown(SuggestWidget)
    nothing = tmp_path / "nothing.png"
    Image.fromarray(np.zeros((192, 256), np.uint8)).save(nothing)
    widget.form.set_values({"n": 3, "window": 32, "supervision": [str(nothing)]})
    with qtbot.waitSignal(widget.panel.ended, timeout=180_000):
        job = widget.start()
        widget.segment.add("/another/segment.zarr")  # chosen meanwhile: the boxes belong to the job's
    assert job.state == "finished", job.error
    (layer,) = [each for each in viewer.layers if each.name == suggest_widget.LAYER]
    written = json.loads((job.out / "suggestions.json").read_text())["features"]
    assert len(layer.data) == len(written) == 3
    for corners, feature in zip(layer.data, written, strict=True):
        y0, y1, x0, x1 = feature["properties"]["box"]
        wanted = [[y0 - 0.5, x0 - 0.5], [y0 - 0.5, x1 - 0.5], [y1 - 0.5, x1 - 0.5], [y1 - 0.5, x0 - 0.5]]
        np.testing.assert_allclose(np.asarray(corners)[:, -2:], wanted)
    widget.steps.next.click()
    assert set(layer.selected_data) == {0}
    assert "uncertainty" in widget.steps.words


@pytest.mark.parametrize(("zoom", "changes"), [(1.0, False), (0.01, True), (50.0, True)])
def test_the_zoom_changes_only_where_a_place_cannot_be_seen(viewer, qtbot, zoom, changes):
    steps = PlaceSteps(viewer, "none")
    qtbot.addWidget(steps)
    place = PlaceOnLayer(rank=1, box=(10, 74, 20, 84), scores={})
    steps.set_places([place], Grid(scale=(1.0, 1.0), translate=(5.0, 7.0)), None)
    viewer.scene.camera.zoom = zoom
    steps.step(1)
    assert tuple(viewer.scene.camera.center[-2:]) == (46.5, 58.5)
    assert (viewer.scene.camera.zoom != zoom) == changes
    assert 30 <= 64 * viewer.scene.camera.zoom <= 300


def test_a_closed_widget_is_let_go(make_napari_viewer_proxy, preferred, qtbot):
    viewer = make_napari_viewer_proxy(show=True)
    before = list(viewer.mouse_drag_callbacks)
    for _ in range(2):
        widget = SearchWidget(viewer)
        viewer.window.add_dock_widget(widget, name="Search to test")
        qtbot.waitUntil(widget.isVisible, timeout=20_000)
        widget.pick.setChecked(True)
        assert len(viewer.mouse_drag_callbacks) == len(before) + 1
        viewer.window.remove_dock_widget(widget)  # as its cross does
        assert list(viewer.mouse_drag_callbacks) == before
