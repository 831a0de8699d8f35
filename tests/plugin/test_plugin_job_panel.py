"""A person sees what a job does: progress, curves, words; stops it, and goes on with it."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("napari", reason="needs the extra [napari]")
pytest.importorskip("pyqtgraph", reason="needs the extra [napari]")

from napari.settings import get_settings
from napari.utils.theme import get_theme
from qtpy.QtWidgets import QApplication

from volumen.events import Finished, Scored, Stepped, TileWritten, Warned
from volumen.plugin.curves import CurvePlot
from volumen.plugin.job_panel import JobPanel
from volumen.plugin.jobs import Job
from volumen.settings import Finetune, Phantom

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    sys.platform == "linux" and not (shutil.which("Xvfb") or os.environ.get("DISPLAY")),
    reason="a window needs a display: install Xvfb, as .ci/run does",
)

SCARCE = '''
"""Let the second backward pass run out of memory, as a GPU would."""
import torch

passes, backward = [], torch.Tensor.backward

def scarce(self, *args, **options):
    passes.append(self)
    if len(passes) == 2:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB (injected)")
    return backward(self, *args, **options)

torch.Tensor.backward = scarce
'''


@pytest.fixture
def panel(make_napari_viewer_proxy: Callable) -> JobPanel:
    viewer = make_napari_viewer_proxy()
    panel = JobPanel()
    viewer.window.add_dock_widget(panel, name="Job")
    return panel


def phantom(folder: Path, *, side: int) -> Job:
    return Job.start("phantom", Phantom(out=str(folder / "p.zarr"), size=(side, side), layers=8), runs=folder)


def test_memory_that_runs_out_halves_the_batch_and_says_so(
    panel: JobPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: object
) -> None:
    (tmp_path / "scarce").mkdir()
    (tmp_path / "scarce" / "sitecustomize.py").write_text(SCARCE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "scarce"))
    np.save(tmp_path / "seg.npy", np.random.default_rng(0).integers(0, 255, (6, 96, 128), np.uint8))
    ink = np.zeros((96, 128), np.uint8)
    ink[20:40, 10:120] = 255
    np.save(tmp_path / "seg_inklabels.npy", ink)
    chosen = Finetune(
        segments=(str(tmp_path / "seg.npy"),),
        ink=(str(tmp_path / "seg_inklabels.npy"),),
        out=str(tmp_path / "run"),
        layers=4,
        window=32,
        input_size=32,
        encoder_name="resnet18",
        epochs=2,
        batch=8,
        held_out_region="0:96,96:128",
        device="cpu",
    )
    heard: list[object] = []
    panel.event_came.connect(heard.append)
    job = Job.start("finetune", chosen, runs=tmp_path)
    with qtbot.waitSignal(panel.ended, timeout=240_000):
        panel.watch(job)
    assert (job.state, job.error) == ("finished", "")
    assert isinstance(heard[-1], Finished)
    assert len([event for event in heard if isinstance(event, Warned) and "out of memory" in event.message]) == 1
    assert "ran out of memory with 8 samples; going on with 4 at a time" in panel.messages
    steps = [event for event in heard if isinstance(event, Stepped)]
    x, y = panel.losses.points("training")
    assert len(x) == len(steps)
    assert y[-1] == pytest.approx(steps[-1].values["loss"])
    assert x[-1] == pytest.approx(2)
    epochs = [event for event in heard if isinstance(event, Scored)]
    assert panel.scores.points("AUC")[1].tolist() == [event.scores["auc"] for event in epochs]


def test_stop_ends_the_job_and_resume_begins_the_next(panel: JobPanel, tmp_path: Path, qtbot: object) -> None:
    job = phantom(tmp_path, side=6000)
    panel.watch(job)
    qtbot.waitUntil(lambda: panel.story.pace.done > 0, timeout=60_000)
    assert panel.isVisibleTo(panel.parent())
    assert not panel.resume_button.isVisibleTo(panel)
    with qtbot.waitSignal(panel.ended, timeout=60_000):
        panel.stop_button.click()
        assert not panel.stop_button.isEnabled()
        panel._show()  # as what the job still tells has it done
        assert panel._state.text().startswith("Stopping")
    assert job.state == "stopped"
    assert panel.resume_button.isVisibleTo(panel)
    assert panel.resume_button.text() == "Start again", "a phantom is not gone on with"
    with qtbot.waitSignal(panel.resumed, timeout=60_000) as began:
        panel.resume_button.click()
    (again,) = began.args
    assert panel.job is again
    assert again.verb == "phantom"
    assert panel.stop_button.isEnabled()
    with qtbot.waitSignal(panel.ended, timeout=60_000):
        again.cancel()


def test_an_error_is_shown_with_its_cure(panel: JobPanel, tmp_path: Path, qtbot: object) -> None:
    (tmp_path / "p.zarr").mkdir()
    (tmp_path / "p.zarr" / "precious").touch()
    with qtbot.waitSignal(panel.ended, timeout=60_000):
        panel.watch(phantom(tmp_path, side=64))
    assert "is already there; give another path, or remove it first" in panel.messages, "a window has no --overwrite"


def test_a_job_begun_before_is_watched_from_its_first_event(panel: JobPanel, tmp_path: Path, qtbot: object) -> None:
    job = phantom(tmp_path, side=64)
    told = [event for event in job.follow() if event is not None]
    heard: list[object] = []
    panel.event_came.connect(heard.append)
    for _ in range(2):
        heard.clear()
        with qtbot.waitSignal(panel.ended, timeout=60_000):
            panel.watch(Job.open(job.folder))
        assert heard == told


def test_only_the_latest_job_is_heard(panel: JobPanel, tmp_path: Path, qtbot: object) -> None:
    first = phantom(tmp_path / "first", side=6000)
    panel.watch(first)
    qtbot.waitUntil(lambda: panel.story.pace.done > 0, timeout=60_000)
    ended: list[Job] = []
    panel.ended.connect(ended.append)
    second = phantom(tmp_path / "second", side=64)
    with qtbot.waitSignal(panel.ended, timeout=60_000):
        panel.watch(second)
    assert first.state == "running", "it goes on unwatched"
    assert ended == [second]
    first.cancel()
    qtbot.waitUntil(lambda: first.state == "stopped", timeout=60_000)
    assert ended == [second]


@pytest.mark.parametrize("keep", [True, False])
def test_closing_napari_stops_the_job_only_if_wanted(
    panel: JobPanel, tmp_path: Path, qtbot: object, *, keep: bool
) -> None:
    job = phantom(tmp_path, side=6000)
    panel.watch(job)
    qtbot.waitUntil(lambda: panel.story.pace.done > 0, timeout=60_000)
    panel.keep_box.setChecked(keep)
    QApplication.instance().aboutToQuit.emit()  # from here on nobody watches: napari ends its threads
    assert (job.folder / "stopped").exists() is not keep
    job.cancel()
    qtbot.waitUntil(lambda: job.state == "stopped", timeout=60_000)


def test_what_is_to_end_with_napari_does_so_without_its_panel(panel: JobPanel, tmp_path: Path, qtbot: object) -> None:
    lone = JobPanel()
    jobs = [phantom(tmp_path / name, side=6000) for name in ("first", "second")]
    for job in jobs:
        lone.watch(job)
        lone.keep_box.setChecked(False)
    lone.watch(Job.open(jobs[0].folder))
    assert not lone.keep_box.isChecked()
    with qtbot.waitSignal(lone.destroyed, timeout=20_000):
        lone.deleteLater()
    QApplication.instance().aboutToQuit.emit()
    assert all((job.folder / "stopped").exists() for job in jobs)
    qtbot.waitUntil(lambda: all(job.state == "stopped" for job in jobs), timeout=60_000)


def test_the_command_line_can_be_copied(panel: JobPanel, tmp_path: Path, qtbot: object) -> None:
    job = phantom(tmp_path, side=64)
    with qtbot.waitSignal(panel.ended, timeout=60_000):
        panel.watch(job)
    panel.copy_button.click()
    assert QApplication.clipboard().text() == job.command


def test_curves_change_in_place_and_follow_the_theme(panel: JobPanel) -> None:
    plot = CurvePlot("Loss", "epoch", logarithmic=True)
    plot.set_points("a", [1, 2, 3], [1.0, 0.5, 0.4])
    line = plot._curves["a"]
    plot.set_points("a", [1, 2, 3, 4], [1.0, 0.5, 0.4, 60.0])
    plot.set_points("b & c", [1], [2.0])
    assert plot._curves["a"] is line
    assert plot.points("a")[1].tolist() == [1.0, 0.5, 0.4, 60.0], "as measured, also where the axis is logarithmic"
    assert plot.names == ("a", "b & c")
    before = plot._plot.getAxis("left").textPen().color().name()
    get_settings().appearance.theme = "light"
    after = plot._plot.getAxis("left").textPen().color().name()
    assert before != after == get_theme("light").text.as_hex()
    get_settings().appearance.theme = "dark"
    plot.keep(["b & c"])
    assert plot.names == ("b & c",)
    plot.clear()
    assert plot.names == ()
    plot.deleteLater()


def test_what_is_computed_moves_the_bar_and_what_is_written_does_not(panel: JobPanel) -> None:
    panel.story.hear(Stepped(done=6, total=8, values={"pixels_per_second": 1.0}))
    panel.story.hear(TileWritten(done=1, total=4, box=(0, 1, 0, 1)))
    assert panel.story.fraction == 0.75
