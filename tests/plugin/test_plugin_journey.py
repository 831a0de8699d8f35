"""The whole way in one real window: sample, strokes, training, its curve and map, a stop, and the same pixels again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("napari", reason="needs the extra [napari]")
pytest.importorskip("pytestqt", reason="needs pytest-qt")

from qtpy.QtCore import QPoint, Qt
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from safetensors.numpy import load_file

from volumen.plugin import preferences, segment_widget
from volumen.plugin.finetune_widget import FinetuneWidget
from volumen.plugin.jobs import find_jobs
from volumen.plugin.layers import origin_of
from volumen.plugin.paint_widget import PaintWidget
from volumen.plugin.predict_widget import SEEN, PredictWidget
from volumen.plugin.segment_widget import SegmentWidget
from volumen.run_folder import RunFolder
from volumen.settings import Phantom
from volumen.sources.labels.painted import BACKGROUND, INK, UNLABELLED
from volumen.sources.open import open_segment
from volumen.sources.pyramids.probability_map import open_map

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    sys.platform == "linux" and not (shutil.which("Xvfb") or os.environ.get("DISPLAY")),
    reason="a window needs a display: install Xvfb, as .ci/run does",
)

SIZE = (256, 1100)  # px of the sample: its map is written in three parts
PATIENCE = 240_000  # ms that a step may take
TRAINING = {
    "window": 64,
    "stride": 64,
    "input_size": 64,
    "layers": 8,
    "resized_crop": False,
    "views": "flips",
    "encoder_name": "resnet18",
    "batch": 4,
    "epochs": 4,
}


class Journey:
    """A person at a window: every step goes through what they see and press."""

    def __init__(self, viewer: Any, qtbot: Any) -> None:
        self.viewer, self.qtbot = viewer, qtbot

    def dock(self, widget: Any, name: str) -> Any:
        self.window = self.viewer.window.add_dock_widget(widget, name=name, tabify=True).window()
        return widget

    def wait(self, holds: Any) -> None:
        self.qtbot.waitUntil(lambda: bool(holds()), timeout=PATIENCE)

    def open_sample(self) -> str:
        widget = self.dock(SegmentWidget(self.viewer), "Segment")
        widget.open_sample()
        self.wait(lambda: widget.segment is not None and not widget.waiting)
        self.viewer.reset_view()
        return str(widget.segment.source)

    def stroke(self, *points: tuple[float, float]) -> None:
        """Drag the mouse over the canvas, by shares of its height and width."""
        (canvas,) = (shown for shown in self.window.findChildren(QOpenGLWidget) if shown.isVisible())
        spots = [QPoint(round(x * canvas.width()), round(y * canvas.height())) for y, x in points]
        self.qtbot.mouseMove(canvas, spots[0])
        self.qtbot.wait(50)
        self.qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=spots[0])
        for spot in spots[1:]:
            self.qtbot.mouseMove(canvas, spot)
            self.qtbot.wait(50)
        self.qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=spots[-1])
        self.qtbot.wait(50)

    def paint(self) -> Any:
        widget = self.dock(PaintWidget(self.viewer), "Paint")
        widget.start()
        self.wait(lambda: widget.painting is not None)
        painting = widget.painting
        painting.layer.brush_size = 12
        for label, left, right in ((INK, 0.4, 0.6), (BACKGROUND, 0.5, 0.65), (UNLABELLED, 0.45, 0.55)):
            before = np.array(painting.layer.data)
            widget.choose(label)
            self.stroke((0.5, left), (0.51, (left + right) / 2), (0.5, right))
            changed = np.asarray(painting.layer.data)[np.asarray(painting.layer.data) != before]
            assert set(changed) == {label}, "strokes of the mouse change pixels"
        self.wait(lambda: not painting.status.unsaved and "Saved" in widget.words)
        return painting

    def learn(self) -> Any:
        """Fine-tune, stop in the middle, and go on to the end."""
        widget = self.dock(FinetuneWidget(self.viewer), "Fine-tune")
        widget.form.set_values(TRAINING)
        panel = widget.panel
        job = widget.start()
        assert job is not None, widget._message.text()
        self.wait(lambda: panel.story.scores)
        self.wait(lambda: not panel.losses.isHidden())
        assert job.state == "running", job.error
        with self.qtbot.waitSignal(panel.ended, timeout=PATIENCE):
            panel.stop_button.click()
        assert (job.state, panel.resume_button.isVisibleTo(panel)) == ("stopped", True)
        with self.qtbot.waitSignal(panel.ended, timeout=PATIENCE):
            panel.resume_button.click()
        assert panel.job is not job
        assert panel.job.state == "finished", panel.job.error
        curve = panel.story.losses["held out"]
        assert list(curve.x) == list(range(1, TRAINING["epochs"] + 1)), "one curve, from before the stop to the end"
        return panel.job

    def predict(self) -> Any:
        """Predict what is on the screen with the model that was trained just now, and watch it fill in."""
        widget = self.dock(PredictWidget(self.viewer), "Predict")
        widget.where.setCurrentText(SEEN)
        widget.form.set_values({"tile": 64, "overlap": 16})
        self.wait(widget.weights.path)
        shown = []
        widget.panel.event_came.connect(lambda _: shown.append(lit(self.viewer)))
        with self.qtbot.waitSignal(widget.panel.ended, timeout=PATIENCE):
            job = widget.start()
            assert job is not None, widget._message.text()
        assert job.state == "finished", job.error
        assert len(set(shown)) >= 3, "it fills in while it is made"
        return job


def lit(viewer: Any) -> int:
    """Count the pixels of the map on the screen that are not empty."""
    return sum(int(np.count_nonzero(full_size(layer))) for layer in viewer.layers if kind(layer) == "prediction")


def full_size(layer: Any) -> Any:
    return np.asarray(layer.data[0] if layer.multiscale else layer.data)


def kind(layer: Any) -> str:
    origin = origin_of(layer)
    return "" if origin is None else origin.kind


def test_from_the_sample_to_a_map_and_back_to_the_same_pixels(
    make_napari_viewer_proxy: Any, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = {"cache": str(tmp_path / "cache"), "runs": str(tmp_path / "runs")}
    pages = {"folders": SimpleNamespace(**folders), "computing": SimpleNamespace(device="cpu")}
    monkeypatch.setattr(preferences, "_page", pages.get)
    sample = Phantom(out=str(tmp_path / "cache" / "phantom.zarr"), size=SIZE, layers=16)
    (tmp_path / "cache").mkdir()
    monkeypatch.setattr(segment_widget, "phantom_settings", lambda: sample)
    viewer = make_napari_viewer_proxy(show=True)
    journey = Journey(viewer, qtbot)

    segment = journey.open_sample()
    painting = journey.paint()
    training = journey.learn()
    recipe = RunFolder.open(training.out).recipe["settings"]
    assert recipe["ink"][0].startswith(segment), "it learned from what was painted"
    job = journey.predict()
    made = open_map(job.out)
    assert np.array_equal(*(np.asarray(part) for part in (full_size(shown_map(viewer)), made.read(made.window))))

    file = next(job.file for job in find_jobs(tmp_path / "runs") if job.verb == "finetune")
    command = [sys.executable, "-m", "volumen", "run", str(file), "--out", str(tmp_path / "again")]
    subprocess.run(command, check=True, capture_output=True)
    assert weights(tmp_path / "again") == weights(training.out), (
        "the job file does the same, unbroken, without a window"
    )

    painted = np.array(painting.layer.data)
    viewer.layers.selection = {painting.layer}
    written = viewer.layers.save(str(tmp_path / "mine.png"), selected=True)
    assert sorted(os.path.basename(path) for path in written) == ["mine_inklabels.png", "mine_supervision_mask.png"]
    viewer.layers.clear()
    assert painting.closed

    viewer.open(segment, plugin="volumen")
    again = PaintWidget(viewer)
    journey.dock(again, "Paint again")
    again.start()
    journey.wait(lambda: again.painting is not None)
    assert np.array_equal(np.asarray(again.painting.layer.data), painted), "the same pixels in the window"
    fresh = open_segment(segment)
    ink, trusted = fresh.raster("ink").read(fresh.window) > 0.5, fresh.supervised(fresh.window)
    assert np.array_equal(np.where(trusted, np.where(ink, INK, BACKGROUND), UNLABELLED), painted), "and on disk"


def weights(run: Path) -> dict[str, bytes]:
    return {name: tensor.tobytes() for name, tensor in load_file(run / "best.safetensors").items()}


def shown_map(viewer: Any) -> Any:
    (layer,) = (layer for layer in viewer.layers if kind(layer) == "prediction")
    return layer
