"""The Segment widget opens, describes, checks and converts; what goes wrong is said in words."""

import os
import shutil
import sys

import numpy as np
import pytest
import tifffile

from volumen.events import result
from volumen.plugin.facts import facts_of, findings_of, output_of, reason_to_convert
from volumen.settings import Phantom
from volumen.sources.labels.rasters import Raster
from volumen.sources.open import open_segment
from volumen.sources.segment import Segment
from volumen.sources.synthetic.phantom import make_phantom

components = pytest.importorskip("napari.components", reason="needs the extra [napari]")

from volumen.plugin.layers import origin_of, prediction_data  # noqa: E402
from volumen.plugin.preferences import Preferences  # noqa: E402
from volumen.plugin.showing import open_ahead, show  # noqa: E402
from volumen.sources.pyramids.probability_map import create_map  # noqa: E402

needs_display = pytest.mark.skipif(
    sys.platform == "linux" and not (shutil.which("Xvfb") or os.environ.get("DISPLAY")),
    reason="a window needs a display: install Xvfb, as .ci/run does",
)


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    path = tmp_path_factory.mktemp("segment") / "phantom.zarr"
    result(make_phantom(Phantom(out=str(path), size=(192, 256), layers=16)))
    return str(path)


@pytest.fixture
def layers(tmp_path):
    """Return a folder of layer images in the model's order reversed, as scans often come."""
    volume = np.random.default_rng(0).integers(1, 255, (6, 90, 70), np.uint8)
    folder = tmp_path / "scan"
    folder.mkdir()
    for index, layer in enumerate(volume):
        tifffile.imwrite(folder / f"{index:02}.tif", layer)
    return folder, volume


@pytest.fixture
def widget(make_napari_viewer_proxy, monkeypatch, tmp_path):
    from volumen.plugin import samples, segment_widget

    chosen = Preferences(cache=tmp_path / "cache", runs=tmp_path / "runs")
    for module in (segment_widget, samples):
        monkeypatch.setattr(module, "preferences", lambda: chosen)
    viewer = make_napari_viewer_proxy()
    widget = segment_widget.SegmentWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Segment")
    return widget


def words_of(segment):
    return {fact.name: fact.words for fact in facts_of(segment)}


def test_facts_are_told_in_words(phantom):
    words = words_of(open_segment(phantom))
    assert words["Size"] == "192 × 256 px (height × width), 1.52 × 2.02 mm"
    assert words["Layers"] == "16, writing surface in layer 8"
    assert words["Voxel"] == "7.91 µm, uint8"
    assert words["Ink labels"] == words["Papyrus mask"] == "found, in the store"
    assert words["Held out"].startswith("none")


def test_what_is_not_known_is_said_too():
    ink = Raster.of(np.zeros((60, 64)), source="/labels/a_inklabels.png").fit((64, 64), "volume")
    words = words_of(
        Segment(name="a", source="a.npy", levels=(np.zeros((5, 64, 64), np.uint16),), ink=ink, reverse=True)
    )
    assert words["Voxel"] == "size unknown, uint16"
    assert words["Layers"] == "5, writing surface in layer 2, read last to first"
    assert words["Ink labels"] == "found, a_inklabels.png, for 60 × 64 px from the top left"


def test_conversion_is_offered_where_it_pays(phantom, layers):
    folder, _ = layers
    assert reason_to_convert(open_segment(phantom)) == ""
    assert "pyramid" in reason_to_convert(open_segment(folder))
    remote = Segment(name="a", source="https://host/a.zarr", levels=(np.zeros((1, 8, 8)),))
    assert "network" in reason_to_convert(remote)


def test_the_copy_goes_beside_the_source_and_never_onto_it(phantom, layers, tmp_path):
    folder, _ = layers
    assert output_of(open_segment(folder), tmp_path / "cache") == folder.parent / "scan.zarr"
    assert output_of(open_segment(phantom), tmp_path).name == "phantom_converted.zarr"
    remote = Segment(name="a", source="https://host/a.zarr", levels=(np.zeros((1, 8, 8)),))
    assert output_of(remote, tmp_path / "cache") == tmp_path / "cache" / "a.zarr"


def test_findings_are_told_worst_first_in_the_words_of_the_forms():
    told = findings_of(
        {
            "findings": [
                {"code": "a", "message": "Sizes are unknown. Give --voxel-um.", "severity": "warning"},
                {"code": "b", "message": "The label does not fit.", "severity": "error"},
            ],
            "notes": ["No validation mask."],
        }
    )
    assert [one.severity for one in told] == ["error", "warning", "note"]
    assert told[1].words == "Sizes are unknown. Give “Voxel edge (µm)”."


def test_nothing_found_is_good_news():
    assert [one.words for one in findings_of({"findings": []})] == ["Nothing speaks against training on this segment."]


@pytest.mark.parametrize("depth", [5, 6])
def test_the_slider_starts_at_the_surface(depth, tmp_path):
    np.save(tmp_path / "a.npy", np.arange(depth * 16, dtype=np.uint8).reshape(depth, 4, 4))
    viewer = components.ViewerModel()
    show(viewer, open_ahead(str(tmp_path / "a.npy")))
    assert viewer.dims.current_step[0] == depth // 2


def test_the_scale_bar_is_on(phantom):
    viewer = components.ViewerModel()
    show(viewer, open_ahead(phantom))
    assert viewer.canvas.overlays.scale_bar.visible


def test_the_first_view_is_read_before_the_window_has_it(phantom):
    opened = open_ahead(phantom)
    assert all("pixels" in getattr(opened.segment, name).__dict__ for name in ("ink", "supervision", "mask"))


def test_a_segment_shown_again_takes_its_own_place(phantom, tmp_path):
    create_map(tmp_path / "map.zarr", shape=(192, 256), settings={}, voxel_um=7.91)
    viewer = components.ViewerModel()
    viewer.add_image(np.zeros((4, 4)), name="below")
    show(viewer, open_ahead(phantom))
    data, options, _ = prediction_data(tmp_path / "map.zarr")
    viewer.add_image(data, **options)
    before = [layer.name for layer in viewer.layers]
    show(viewer, open_ahead(phantom))
    assert [layer.name for layer in viewer.layers] == before


@needs_display
def test_a_segment_is_opened_and_described(widget, qtbot, phantom):
    widget.open(phantom)
    qtbot.waitUntil(lambda: widget.segment is not None, timeout=30_000)
    assert "192 × 256 px" in widget.words
    viewer = widget._viewer
    assert [layer.name for layer in viewer.layers][:2] == ["phantom", "phantom_ink"]
    assert viewer.dims.current_step[0] == 8


@needs_display
def test_a_path_from_the_home_folder_is_known_in_full(widget, qtbot, phantom, monkeypatch):
    monkeypatch.setenv("HOME", os.path.dirname(phantom))
    monkeypatch.setenv("USERPROFILE", os.path.dirname(phantom))
    widget.open(" ~/phantom.zarr ")
    qtbot.waitUntil(lambda: widget.segment is not None, timeout=30_000)
    assert widget.segment.source == phantom
    assert {origin_of(layer).path for layer in widget._viewer.layers} == {phantom}


@needs_display
@pytest.mark.parametrize("path", ["/nowhere/at_all.zarr", "https://localhost:9/a.zarr", ""])
def test_what_cannot_be_opened_is_said_in_words(widget, qtbot, path):
    widget.open(path)
    qtbot.waitUntil(lambda: not widget.waiting, timeout=60_000)
    assert widget.segment is None
    assert "Traceback" not in widget.words
    assert (path or "Give a path or a URL") in widget.words
    assert len(widget._viewer.layers) == 0


@needs_display
def test_the_segment_of_the_selected_layer_is_described(widget, qtbot, phantom, layers):
    folder, _ = layers
    viewer = widget._viewer
    viewer.open([phantom], plugin="volumen")
    viewer.open([str(folder)], plugin="volumen")
    qtbot.waitUntil(lambda: widget.segment is not None and widget.segment.source == str(folder), timeout=30_000)
    viewer.layers.selection.active = viewer.layers["phantom_ink"]
    qtbot.waitUntil(lambda: widget.segment.source == phantom, timeout=30_000)


@needs_display
def test_only_the_latest_answer_counts(widget, qtbot, phantom, layers):
    folder, _ = layers
    widget.open(str(folder))
    widget.open(phantom)
    qtbot.waitUntil(lambda: not widget.waiting and widget.segment is not None, timeout=30_000)
    qtbot.wait(200)
    assert widget.segment.source == phantom
    assert {origin_of(layer).path for layer in widget._viewer.layers} == {phantom}


@needs_display
def test_an_error_of_an_earlier_question_does_not_take_the_answer_to_the_last(widget, qtbot, phantom):
    widget.open("/nowhere/at_all.zarr")
    asked = widget._asking._asked
    widget.open(phantom)
    with pytest.raises(ZeroDivisionError):
        widget._asking._take((asked, None, ZeroDivisionError()))
    assert widget.waiting
    qtbot.waitUntil(lambda: widget.segment is not None, timeout=30_000)
    assert widget.segment.source == phantom


@needs_display
def test_findings_come_from_a_job_and_so_does_the_copy(widget, qtbot, layers):
    folder, volume = layers
    widget.open(str(folder))
    qtbot.waitUntil(lambda: widget.segment is not None, timeout=30_000)
    widget.check()
    qtbot.waitUntil(lambda: "✖" in widget.words or "⚠" in widget.words, timeout=120_000)
    assert "20" in widget.words, "six layers are fewer than the twenty that training would see"

    widget._convert_form.set_values({"out": str(folder.parent / "scan.zarr"), "reverse": True})
    widget.convert()
    qtbot.waitUntil(lambda: widget.segment.source.endswith("scan.zarr"), timeout=120_000)
    (layer,) = widget._viewer.layers
    assert origin_of(layer).path == str(folder.parent / "scan.zarr")
    assert np.array_equal(np.asarray(layer.data[2]), volume[::-1][2])
    assert widget._viewer.dims.current_step[0] == 3
    assert str(folder) in widget.panel.job.command


@needs_display
def test_a_job_that_cannot_be_started_is_said_in_words(widget, qtbot, phantom, tmp_path):
    widget.open(phantom)
    qtbot.waitUntil(lambda: widget.segment is not None, timeout=30_000)
    (tmp_path / "runs").write_text("a file where the folder should be")
    widget.check()
    assert "runs folder" in widget.words
