"""JobPanel: a job as a person watches it: progress with time left, curves, messages, and what can be done about it."""

from __future__ import annotations

import time
from functools import cache
from html import escape
from typing import TYPE_CHECKING

from napari.qt.threading import thread_worker
from napari.utils.notifications import show_info
from qtpy.QtCore import QCoreApplication, Qt, QTimer, QUrl, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QApplication,
    QCheckBox,
    QGridLayout,
    QLabel,
    QProgressBar,
    QTextEdit,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from volumen.errors import VolumenError
from volumen.plugin.asking import take_no_place
from volumen.plugin.colors import BAD, DOUBTFUL
from volumen.plugin.curves import CurvePlot
from volumen.plugin.field_names import for_forms
from volumen.plugin.job_story import JobStory
from volumen.plugin.jobs import Job, bunches
from volumen.plugin.parts import button

if TYPE_CHECKING:
    from collections.abc import Collection, Generator
    from pathlib import Path

    from volumen.events import Event

_PARTS = 1000  # of the progress bar
_DOCK_SECONDS = 0.5  # between updates of the activity dock, each of which runs the window's event loop
_COLORS = {"note": DOUBTFUL, "error": BAD}
_SHOW_MS = 200
_STOPPING = "Stopping: what is finished is being saved…"
_STATES = {"finished": "Finished", "stopped": "Stopped", "failed": "Failed"}
_ENDING: dict[Path, Job] = {}  # jobs that are to end with napari, by their folders
_AGAIN = {
    True: ("Resume", "Go on from what was saved last"),
    False: ("Start again", "Begin it again from the start: nothing was saved that it could go on from"),
}


class JobPanel(QWidget):
    """Watch one job at a time; `watch` may be called again for another.

    Parameters
    ----------
    told_elsewhere
        Verbs whose warnings the window tells in another place, so not here again.

    Signals
    -------
    event_came
        An event of the job, each once, in order; also those from before the panel watched.
    ended
        The job, when its process is over.
    resumed
        The `Job` that the person began from here to go on with one that had ended; the panel watches it.
    """

    event_came = Signal(object)
    ended = Signal(object)
    resumed = Signal(object)

    def __init__(self, parent: QWidget | None = None, *, told_elsewhere: Collection[str] = ()) -> None:
        super().__init__(parent)
        self._told_elsewhere = told_elsewhere
        self._job: Job | None = None
        self._story = JobStory()
        self._shown = 0
        self._docked_at = 0.0
        self._soon = QTimer(self)  # events may come by the hundred: a picture of them now and then will do
        self._soon.setSingleShot(True)
        self._soon.setInterval(_SHOW_MS)
        self._soon.timeout.connect(self._show)
        self._lay_out()
        self._show()
        _listen_for_the_end()

    @property
    def job(self) -> Job | None:
        """The job that is watched."""
        return self._job

    @property
    def story(self) -> JobStory:
        """What its events amount to so far."""
        return self._story

    @property
    def messages(self) -> str:
        """What was told, in words, as it is shown."""
        return str(self._messages.toPlainText())

    def watch(self, job: Job) -> None:
        """Show a job from its first event on, and follow it to its end."""
        self._quit()
        self._job, self._story, self._shown = job, JobStory(), 0
        self.keep_box.setChecked(self.keep_box.isChecked() and job.folder not in _ENDING)
        self._wish()
        self._messages.clear()
        self._messages.setVisible(False)
        self.stop_button.setEnabled(True)
        for plot in (self.losses, self.scores):
            plot.clear()
        self._worker = _follow(job, _progress={"total": 0, "desc": _title(job)})
        self._worker.yielded.connect(self._hear)
        self._worker.returned.connect(self._end)
        take_no_place(self._worker)
        self.destroyed.connect(self._worker.quit)
        self._worker.start()
        self._show()

    def _hear(self, told: tuple[Job, list[Event], bool]) -> None:
        job, events, past = told
        if job is not self._job or not events:
            return
        for event in events:
            self._story.hear(event)
            if not past:
                self.event_came.emit(event)
        if past:
            self._story.pause()
        if not self._soon.isActive():
            self._soon.start()
        self._dock()

    def _end(self, job: Job) -> None:
        if job is not self._job:
            return
        self._show()
        if job.error:
            self._tell("error", job.error)
        self.ended.emit(job)

    def _dock(self) -> None:
        """Bring napari's activity dock up to date; last of all, since it lets the event loop run."""
        bar, pace = self._worker.pbar, self._story.pace
        if time.monotonic() - self._docked_at < _DOCK_SECONDS or not pace.total:
            return
        self._docked_at = time.monotonic()
        if bar.total != pace.total:
            bar.total = pace.total
        bar.update(pace.done - bar.n)

    def _show(self) -> None:
        job, story = self._job, self._story
        if job is None:
            self.setVisible(False)
            return
        state = job.state
        running = state == "running"
        self._title.setText(_title(job))
        self._title.setToolTip(job.command)
        self._state.setText(self._running_in_words if running else _STATES[state])
        self._bar.setRange(0, _PARTS if story.part or not running else 0)  # 0 to 0: busy, nobody knows how long
        self._bar.setValue(_PARTS if state == "finished" else round(_PARTS * story.fraction))
        self._progress.setText(_progress_in_words(story, running=running))
        self._best.setText(story.best_in_words)
        self._best.setVisible(bool(story.best_in_words))
        self.stop_button.setVisible(running)
        self.keep_box.setVisible(running)
        self.resume_button.setVisible(state in ("stopped", "failed"))
        if state in ("stopped", "failed"):
            text, tip = _AGAIN[job.goes_on]
            self.resume_button.setText(text)
            self.resume_button.setToolTip(tip)
        for plot, courses in ((self.losses, story.losses), (self.scores, story.scores)):
            plot.setVisible(bool(courses))
            plot.set_x_label(story.x_label)
            for name, course in courses.items():
                plot.set_points(name, course.x, course.y)
        for kind, text in story.messages[self._shown :]:
            if not (kind == "note" and job.verb in self._told_elsewhere):
                self._tell(kind, text)
        self._shown = len(story.messages)
        self.setVisible(True)  # last: what changes in sight is painted at once, a part at a time

    @property
    def _running_in_words(self) -> str:
        if not self.stop_button.isEnabled():
            return _STOPPING
        return f"Running: {self._story.headline}" if self._story.headline else "Starting…"

    def _tell(self, kind: str, text: str) -> None:
        color = _COLORS.get(kind, "")
        style = f' style="color:{color}"' if color else ""
        self._messages.append(f"<span{style}>{escape(for_forms(text))}</span>")
        self._messages.setVisible(True)

    def _stop_job(self) -> None:
        if self._job is not None:
            self.stop_button.setEnabled(False)
            try:
                self._job.cancel()
            except VolumenError as error:
                self._tell("error", str(error))
                self.stop_button.setEnabled(True)
            self._show()

    def _resume_job(self) -> None:
        if self._job is None:
            return
        try:
            job = Job.start(*self._job.continuation, runs=self._job.runs)
        except VolumenError as error:
            self._tell("error", str(error))
            return
        self.watch(job)
        self.resumed.emit(job)

    def _copy(self) -> None:
        clipboard = QApplication.clipboard()
        if self._job is not None and clipboard is not None:
            clipboard.setText(self._job.command)
            show_info(f"Copied: {self._job.command}")

    def _open_folder(self) -> None:
        if self._job is not None:
            out = self._job.out
            folder = out if out is not None and out.is_dir() else self._job.folder
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))

    def _wish(self, _on: bool = True) -> None:
        """Note whether the job is to end with napari; that holds when the panel is gone, or watches another."""
        if self._job is None:
            return
        if self.keep_box.isChecked():
            _ENDING.pop(self._job.folder, None)
        else:
            _ENDING[self._job.folder] = self._job

    def _quit(self) -> None:
        """Let the former job go on unwatched."""
        if self._job is not None:
            self._worker.quit()

    def _lay_out(self) -> None:
        self._title, self._state = QElidingLabel(), QElidingLabel()
        self._title.setStyleSheet("font-weight: bold")
        self._bar = QProgressBar()
        self._bar.setTextVisible(False)
        self._bar.setMaximumHeight(10)
        self._progress, self._best = QElidingLabel(), QLabel()
        self._best.setWordWrap(True)
        self.losses, self.scores = (
            CurvePlot("Loss", "steps", logarithmic=True),
            CurvePlot("Score on held-out pixels", "epoch"),
        )
        self._messages = QTextEdit()
        self._messages.setReadOnly(True)
        self._messages.setMaximumHeight(90)
        self._messages.setVisible(False)
        self.keep_box = QCheckBox("Keep running when napari closes")
        self.keep_box.setChecked(True)
        self.keep_box.toggled.connect(self._wish)
        self.keep_box.setToolTip("The job is a process of its own. The Runs widget finds it again.")
        self.stop_button = button("Stop", "Stop the job within two seconds; what is saved is kept", self._stop_job)
        self.resume_button = button(*_AGAIN[True], self._resume_job)
        self.copy_button = button("Copy as command", "Copy the command line that does what this job does", self._copy)
        folder = button("Open folder", "Show the files of this job", self._open_folder)
        buttons = QGridLayout()
        for one in (self.stop_button, self.resume_button):  # never both
            buttons.addWidget(one, 0, 0, 1, 2)
        for column, one in enumerate((self.copy_button, folder)):
            buttons.addWidget(one, 1, column)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        above: tuple[QWidget, ...] = (self._title, self._state, self._bar, self._progress, self._best)
        below: tuple[QWidget, ...] = (self.keep_box, self.losses, self.scores, self._messages)
        for widget in above:
            layout.addWidget(widget)
        layout.addLayout(buttons)
        for widget in below:
            layout.addWidget(widget)
        layout.setAlignment(Qt.AlignmentFlag.AlignTop)


@cache
def _listen_for_the_end() -> None:
    """Stop the jobs that are to end with napari when it ends; once for all panels, of which some are closed by then."""
    application = QCoreApplication.instance()
    if application is not None:
        application.aboutToQuit.connect(_end_jobs)


def _end_jobs() -> None:
    while _ENDING:
        _, job = _ENDING.popitem()
        if job.child.here:
            job.cancel()


@thread_worker  # type: ignore[untyped-decorator]
def _follow(job: Job) -> Generator[tuple[Job, list[Event], bool], None, Job]:
    """Hand the job's events over, a bunch at a time, in a thread; first, of a run that it goes on with, the past."""
    for events in bunches(job.past()):
        yield job, events, True
    for events in bunches(job.follow()):
        yield job, events, False
    return job


def _title(job: Job) -> str:
    return f"{job.verb}: {job.out.name}" if job.out is not None else job.verb


def _progress_in_words(story: JobStory, *, running: bool) -> str:
    if story.part is None:
        return ""
    return story.progress if running else story.progress.split(" · ")[0]
