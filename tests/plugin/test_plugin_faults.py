"""Killed processes, a full disk, a deleted segment: the window says so, and work goes on from there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("napari", reason="needs the extra [napari]")
pytest.importorskip("pytestqt", reason="needs pytest-qt")

from volumen.events import Scored, result
from volumen.plugin.job_panel import JobPanel
from volumen.plugin.jobs import Job, find_jobs
from volumen.settings import Finetune, Phantom
from volumen.sources.labels.painted import BACKGROUND, open_painted
from volumen.sources.open import open_segment
from volumen.sources.synthetic.phantom import make_phantom

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.skipif(
        sys.platform == "linux" and not (shutil.which("Xvfb") or os.environ.get("DISPLAY")),
        reason="a window needs a display: install Xvfb, as .ci/run does",
    ),
    pytest.mark.skipif(sys.platform == "win32", reason="processes are killed another way there"),
]

EPOCHS = 5
PATIENCE = 240_000  # ms
FULL_DISK = '''
"""Let saving the resumable state fail as it does on a full disk, as long as a file says so."""
import errno, os

replace = os.replace

def full(source, target):
    if os.path.exists({flag!r}) and str(target).endswith(".pt"):
        raise OSError(errno.ENOSPC, "No space left on device", str(target))
    replace(source, target)

os.replace = full
'''


@pytest.fixture
def segment(tmp_path: Path) -> Path:
    result(make_phantom(Phantom(out=str(tmp_path / "phantom.zarr"), size=(128, 256), layers=8)))
    return tmp_path / "phantom.zarr"


@pytest.fixture
def panel(make_napari_viewer_proxy: Any) -> JobPanel:
    panel = JobPanel()
    make_napari_viewer_proxy().window.add_dock_widget(panel, name="Job")
    return panel


def begin(panel: JobPanel, segment: Path, qtbot: Any) -> Job:
    """Start a training and wait until it has finished an epoch."""
    chosen = Finetune(
        segments=(str(segment),),
        out=str(segment.parent / "run"),
        layers=4,
        window=64,
        stride=32,
        input_size=64,
        resized_crop=False,
        views="flips",
        encoder_name="resnet18",
        epochs=EPOCHS,
        batch=4,
        device="cpu",
        held_out_region="0:128,192:256",
    )
    job = Job.start("finetune", chosen, runs=segment.parent)
    panel.watch(job)
    qtbot.waitUntil(lambda: "held out" in panel.story.losses, timeout=PATIENCE)
    assert job.state == "running", job.error
    return job


def go_on(panel: JobPanel, qtbot: Any) -> None:
    """Press Resume and see the training end with all its epochs."""
    scored: list[int] = []
    panel.event_came.connect(lambda event: scored.append(event.step) if isinstance(event, Scored) else None)
    assert panel.resume_button.isVisibleTo(panel)
    with qtbot.waitSignal(panel.ended, timeout=PATIENCE):
        panel.resume_button.click()
    assert panel.job.state == "finished", panel.job.error
    assert scored[-1] == EPOCHS
    assert len(scored) < EPOCHS, "it went on, and did not begin again"


def test_a_job_that_is_killed_is_told_of_and_goes_on(panel: JobPanel, segment: Path, qtbot: Any) -> None:
    job = begin(panel, segment, qtbot)
    with qtbot.waitSignal(panel.ended, timeout=PATIENCE):
        os.kill(job.child.pid, signal.SIGKILL)
    assert job.state == "failed"
    assert "killed, perhaps because the machine ran out of memory" in panel.messages
    assert "Resume goes on from what was saved last" in panel.messages
    go_on(panel, qtbot)


def test_a_segment_that_is_deleted_meanwhile_is_told_of_and_goes_on_once_it_is_back(
    panel: JobPanel, segment: Path, qtbot: Any
) -> None:
    begin(panel, segment, qtbot)
    with qtbot.waitSignal(panel.ended, timeout=PATIENCE):
        segment.rename(segment.with_name("elsewhere.zarr"))
    assert panel.job.state == "failed"
    assert "phantom.zarr" in panel.messages
    assert "deleted, moved or unmounted while it was read. Put it back" in panel.messages
    segment.with_name("elsewhere.zarr").rename(segment)
    go_on(panel, qtbot)


def test_a_full_disk_is_told_of_and_the_job_goes_on_once_there_is_room(
    panel: JobPanel, segment: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag = segment.parent / "full"
    (segment.parent / "site").mkdir()
    (segment.parent / "site" / "sitecustomize.py").write_text(FULL_DISK.format(flag=str(flag)))
    monkeypatch.setenv("PYTHONPATH", str(segment.parent / "site"))
    begin(panel, segment, qtbot)
    with qtbot.waitSignal(panel.ended, timeout=PATIENCE):
        flag.touch()
    assert panel.job.state == "failed"
    assert "disk is full" in panel.messages
    flag.unlink()
    go_on(panel, qtbot)


def painted(segment: Path) -> Any:
    """Return the classes that a fresh reader finds, YX."""
    labels = open_painted(open_segment(segment), elsewhere=segment.parent / "cache")
    return labels.read(open_segment(segment).window).classes


def test_napari_is_killed_and_neither_strokes_nor_the_job_are(segment: Path) -> None:
    assert not (painted(segment)[45:55, 65:75] == BACKGROUND).any()
    program = f"""
        import napari
        from pathlib import Path
        from qtpy.QtCore import QTimer
        from volumen.plugin.job_panel import JobPanel
        from volumen.plugin.jobs import Job
        from volumen.plugin.layers import segment_data
        from volumen.plugin.paint_widget import PaintWidget
        from volumen.settings import Phantom
        from volumen.sources.open import open_segment

        viewer = napari.Viewer(show=True)
        for data, options, kind in segment_data(open_segment({str(segment)!r})):
            getattr(viewer, "add_" + kind)(data, **options)
        widget, panel = PaintWidget(viewer), JobPanel()
        for part in (widget, panel):
            viewer.window.add_dock_widget(part)
        widget.start()
        runs = Path({str(segment.parent)!r})
        panel.watch(Job.start("phantom", Phantom(out=str(runs / "other.zarr"), size=(1200, 1200), layers=8), runs=runs))
        painted = []

        def look():
            if widget.painting is not None and not painted:
                widget.painting.layer.brush_size = 20
                widget.painting.layer.paint((50, 70), 1)
                painted.append(True)
            elif painted and not widget.painting.status.unsaved:
                print("saved", flush=True)
                return
            QTimer.singleShot(50, look)

        look()
        napari.run()
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        command = ["xvfb-run", "-a", *command]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as napari:
        assert napari.stdout.readline() == "saved\n"
        os.killpg(napari.pid, signal.SIGKILL)
    assert (painted(segment)[45:55, 65:75] == BACKGROUND).all()
    (job,) = find_jobs(segment.parent)
    assert [event for event in job.follow() if event is not None], "it is found again, and followed to its end"
    assert job.state == "finished", job.error
