"""PaintWidget: in a real window, a newcomer paints, sees it saved, and loses nothing however napari ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("napari", reason="needs the extra [napari]")

from volumen.plugin.beginning import Beginning
from volumen.plugin.layers import segment_data
from volumen.plugin.painting import painting_of
from volumen.sources.labels.painted import BACKGROUND, INK, UNLABELLED, PaintedLabels
from volumen.sources.open import open_segment
from volumen.sources.pyramids.pyramid import create_pyramid
from volumen.windows import Window

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    sys.platform == "linux" and not (shutil.which("Xvfb") or os.environ.get("DISPLAY")),
    reason="a window needs a display: install Xvfb, as .ci/run does",
)


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A segment of several windows, of which nothing but one chunk is on disk."""
    pyramid = create_pyramid(
        tmp_path / "s.zarr", shape=(3, 6000, 7000), dtype="uint8", chunks=(1, 512, 512), voxel_um=7.91
    )
    block = np.random.default_rng(0).integers(0, 255, (3, 512, 512), dtype=np.uint8)
    pyramid.write(Window((0, 3), (2560, 3072), (3072, 3584)), block)
    return str(pyramid.path)


def add(viewer: Any, path: str) -> None:
    for data, options, kind in segment_data(open_segment(path)):
        getattr(viewer, f"add_{kind}")(data, **options)


def started(viewer: Any, path: str, qtbot: Any, zoom: float = 0.1) -> Any:
    from volumen.plugin.paint_widget import PaintWidget

    add(viewer, path)
    viewer.scene.camera.zoom = zoom
    widget = PaintWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Paint")
    assert widget.painting is None
    widget.start()
    qtbot.waitUntil(lambda: widget.painting is not None, timeout=20_000)
    return widget


def press(layer: Any, key: str) -> None:
    """Do what napari does for a key while the layer is selected."""
    layer.keymap[next(bound for bound in layer.keymap if str(bound) == key)](layer)


def classes(path: str) -> Any:
    """What a fresh reader finds: labelled pixels of each class."""
    segment = open_segment(path)
    trusted = segment.supervised(segment.window)
    ink = segment.raster("ink").read(segment.window) > 0.5
    return {INK: int((trusted & ink).sum()), BACKGROUND: int((trusted & ~ink).sum())}


def test_without_a_segment_it_says_what_to_do(make_napari_viewer_proxy: Any) -> None:
    from volumen.plugin.paint_widget import PaintWidget

    widget = PaintWidget(make_napari_viewer_proxy())
    widget.start()
    assert "Open a segment first" in widget.words
    assert widget.painting is None


def test_a_stroke_is_saved_by_itself_and_keys_choose_what_is_painted(
    make_napari_viewer_proxy: Any, path: str, qtbot: Any
) -> None:
    viewer = make_napari_viewer_proxy()
    widget = started(viewer, path, qtbot)
    layer = widget.painting.layer
    assert str(layer.mode) == "paint"
    assert "Nothing painted yet" in widget.words
    assert "Version 1" in widget.words
    layer.brush_size = 20
    layer.paint((500, 500), INK)
    press(layer, "1")
    layer.paint((600, 600), int(layer.selected_label))
    qtbot.waitUntil(lambda: "Saved" in widget.words, timeout=20_000)
    found = classes(path)
    assert found[INK] == found[BACKGROUND] > 250
    widget.keep()
    assert "kept as it is" in widget.words
    assert painting_of(layer) is widget.painting
    for key, label in (("0", UNLABELLED), ("2", INK), ("E", UNLABELLED)):
        press(layer, key)
        assert layer.selected_label == label
        assert str(layer.mode) == "paint"


def test_begun_by_two_widgets_it_is_one_painting_and_an_error_of_the_disk_is_said(
    make_napari_viewer_proxy: Any, path: str, qtbot: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    from volumen.plugin import paint_widget

    viewer = make_napari_viewer_proxy()
    widget = started(viewer, path, qtbot)
    painting = widget.painting
    other = paint_widget.PaintWidget(viewer)
    qtbot.addWidget(other)
    other._begin(path, Beginning.read(painting.labels, None, source=path, rescued=tmp_path), tmp_path)
    assert other.painting is widget.painting
    assert len([layer for layer in viewer.layers if painting_of(layer)]) == 1

    def refuse(segment: Any, elsewhere: Any) -> None:
        raise PermissionError(f"{path} cannot be written")

    monkeypatch.setattr(paint_widget, "open_painted", refuse)
    viewer.layers.remove(widget.painting.layer)
    other.start()
    qtbot.waitUntil(lambda: "cannot be written" in other.words, timeout=20_000)


def test_the_window_goes_on_while_labels_are_read_and_another_choice_drops_them(
    make_napari_viewer_proxy: Any, path: str, qtbot: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    from volumen.plugin import paint_widget

    may, threads = threading.Event(), []
    read = PaintedLabels.read_level

    def wait(labels: PaintedLabels, level: int, key: Any) -> Any:
        threads.append(threading.current_thread())
        assert may.wait(20)
        return read(labels, level, key)

    viewer = make_napari_viewer_proxy()
    add(viewer, path)
    np.save(tmp_path / "other.npy", np.zeros((3, 64, 64), np.uint8))
    add(viewer, str(tmp_path / "other.npy"))
    viewer.layers.selection.active = viewer.layers["s"]
    widget = paint_widget.PaintWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Paint")
    monkeypatch.setattr(PaintedLabels, "read_level", wait)
    widget.start()
    qtbot.waitUntil(lambda: bool(threads), timeout=20_000)
    assert "Reading the labels" in widget.words
    assert not widget._start.isEnabled()
    viewer.layers.selection.active = viewer.layers["other"]
    may.set()
    qtbot.waitUntil(lambda: widget._start.isEnabled(), timeout=20_000)
    assert not [layer for layer in viewer.layers if painting_of(layer)]
    viewer.layers.selection.active = viewer.layers["s"]
    may.clear()
    threads.clear()
    widget.start()
    qtbot.waitUntil(lambda: bool(threads), timeout=20_000)
    may.set()
    qtbot.waitUntil(lambda: widget.painting is not None, timeout=20_000)
    assert threading.main_thread() not in threads, "what the window shows at first was read before"


def test_a_painting_ends_with_its_window(make_napari_viewer_proxy: Any, path: str, qtbot: Any) -> None:
    viewer = make_napari_viewer_proxy()
    widget = started(viewer, path, qtbot)
    painting = widget.painting
    painting.layer.paint((500, 500), INK)
    widget.window().destroyed.emit()  # not destroyed in truth: the fixture closes it
    qtbot.waitUntil(lambda: painting.closed, timeout=20_000)
    assert classes(path)[INK] > 1000


def test_the_view_is_what_becomes_background_and_what_the_window_follows(
    make_napari_viewer_proxy: Any, path: str, qtbot: Any
) -> None:
    viewer = make_napari_viewer_proxy()
    widget = started(viewer, path, qtbot)
    painting = widget.painting
    widget.label_view_as_background()
    painting.flush()
    height, width = viewer.canvas.size
    seen = (height / 0.1 / 7.91) * (width / 0.1 / 7.91)
    assert classes(path)[BACKGROUND] == pytest.approx(seen, rel=0.02)
    painting.layer.undo()
    painting.flush()
    assert classes(path)[BACKGROUND] == 0
    before = painting.window
    viewer.scene.camera.center = (0, 5800 * 7.91, 6800 * 7.91)
    qtbot.waitUntil(lambda: painting.window != before, timeout=20_000)
    assert (painting.window.y[1], painting.window.x[1]) == (6000, 7000)
    viewer.scene.camera.zoom = 0.01
    qtbot.waitUntil(lambda: "Zoom in to paint" in widget.words, timeout=20_000)
    assert str(painting.layer.mode) == "pan_zoom"
    qtbot.waitUntil(lambda: not any(button.isEnabled() for button in widget._tools._classes.buttons()), timeout=5_000)
    viewer.layers.remove(painting.layer)
    qtbot.waitUntil(lambda: "Zoom in" not in widget.words, timeout=5_000)
    assert "Nothing painted yet" not in widget.words, "nothing is said any more of what is over"


@pytest.mark.parametrize("end", ["viewer.window._qt_window.close()", "application.quit()"])
def test_a_stroke_just_before_napari_ends_is_on_disk(path: str, end: str) -> None:
    program = f"""
        import napari
        from qtpy.QtCore import QTimer
        from qtpy.QtWidgets import QApplication
        from volumen.plugin.layers import segment_data
        from volumen.plugin.paint_widget import PaintWidget
        from volumen.sources.open import open_segment

        viewer = napari.Viewer(show=True)
        application = QApplication.instance()
        for data, options, kind in segment_data(open_segment({path!r})):
            getattr(viewer, "add_" + kind)(data, **options)
        widget = PaintWidget(viewer)
        viewer.window.add_dock_widget(widget, name="Paint")
        widget.start()

        def go_on():
            if widget.painting is None:
                QTimer.singleShot(50, go_on)
                return
            widget.painting.layer.paint((500, 500), 2)
            {end}

        QTimer.singleShot(50, go_on)
        napari.run()
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        command = ["xvfb-run", "-a", *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert classes(path)[INK] > 1000
