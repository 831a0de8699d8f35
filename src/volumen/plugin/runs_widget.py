"""RunsWidget: every run of the runs folder, whoever started it: state, curves, settings, and what to do with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info, show_warning
from qtpy.QtCore import Qt, QTimer, QUrl, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QApplication,
    QGridLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSplitter,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel
from superqt.utils import create_worker

from volumen.errors import VolumenError
from volumen.plugin.asking import take_no_place
from volumen.plugin.curves import CurvePlot
from volumen.plugin.field_names import for_forms
from volumen.plugin.finetune_widget import FinetuneWidget
from volumen.plugin.job_panel import JobPanel
from volumen.plugin.job_story import SCORES, name_of
from volumen.plugin.jobs import Job, command_of
from volumen.plugin.live_map import show_map
from volumen.plugin.parts import button
from volumen.plugin.preferences import preferences
from volumen.plugin.run_list import RunList
from volumen.plugin.run_table import RunTable
from volumen.plugin.settings_table import SettingsTable
from volumen.settings import Report, Resume
from volumen.settings.job_file import JobFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtGui import QHideEvent, QShowEvent

    from volumen.plugin.run_list import Entry, Points
    from volumen.settings.base import Settings

_LOOK_MS = 2000
_CATCH_UP_MS = 100
_MOST_CURVES = 8
_LONGEST_NAME = 80
_JOB_TAB = 2
_BUTTONS_A_ROW = 3


class RunsWidget(QWidget):
    """Look over runs and jobs, compare them, and go on from them.

    Parameters
    ----------
    napari_viewer
        Where predictions are shown.

    Signals
    -------
    encoder_chosen
        Path of the weights that the person wants to use as an encoder.
    """

    encoder_chosen = Signal(str)

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._list = RunList(preferences().runs)
        self._looking = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.refresh)
        self._lay_out()
        self._choose()

    @property
    def table(self) -> RunTable:
        """The list of runs."""
        return self._table

    @property
    def panel(self) -> JobPanel:
        """Where a job that was begun here is watched."""
        return self._panel

    def showEvent(self, event: QShowEvent | None) -> None:
        """Look at the folder while it is seen."""
        super().showEvent(event)
        self.refresh()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Rest while it is not seen."""
        super().hideEvent(event)
        self._timer.stop()

    def refresh(self) -> None:
        """Look at the runs folder, in a thread; the table follows."""
        if self._looking:
            return
        runs = preferences().runs
        if self._list.runs != runs:
            self._list = RunList(runs)
        self._looking = True
        # not Asking: the list is for one look at a time, also where this widget was closed meanwhile; nor napari's own
        # worker, which would have napari ask before it closes, though nothing would be lost
        worker = create_worker(
            self._list.look, _connect={"returned": self._show, "finished": self._rest}, _start_thread=False
        )
        take_no_place(worker)
        worker.start()

    def _show(self, entries: list[Entry]) -> None:
        self._table.show_entries(entries)
        self._empty.setVisible(not entries)
        self._folder.setText(str(self._list.runs))

    def _rest(self) -> None:
        self._looking = False
        if self.isVisible():
            self._timer.start(_CATCH_UP_MS if self._list.behind else _LOOK_MS)

    def _choose(self) -> None:
        """Show what is selected, and offer what can be done with it."""
        chosen = self._table.selected
        one = chosen[0] if len(chosen) == 1 else None
        working = one is not None and one.state in ("running", "elsewhere")
        offers: dict[str, bool] = {
            "Resume": one is not None and not working and one.state != "finished" and (one.run or one.job is not None),
            "Stop": any(entry.state == "running" and entry.job is not None for entry in chosen),
            "Report": bool(chosen) and all(entry.run for entry in chosen),
            "Load prediction": one is not None and bool(one.maps),
            "Use as encoder": one is not None and one.weights is not None,
            "Copy as command": one is not None,
            "Open folder": one is not None,
        }
        for name, offered in offers.items():
            self.buttons[name].setEnabled(offered)
        if chosen or not self._table.rowCount():
            self._words.setText(for_forms(one.error) or one.best if one is not None else "")
        else:
            self._words.setText("Select a run to see its curves and settings, or several to compare them.")
        self._words.setVisible(bool(self._words.text()))
        names = _names(chosen)
        self.settings.compare({name: entry.settings for name, entry in names.items()})
        self._draw(dict(list(names.items())[:_MOST_CURVES]))

    def _draw(self, entries: dict[str, Entry]) -> None:
        """Draw the losses of one run, or of several the one that all have; and the scores alike."""
        for plot, curves in (
            (self.losses, _curves(entries, "losses", "held out")),
            (self.scores, _curves(entries, "scores", name_of(SCORES[0]))),
        ):
            plot.keep(tuple(curves))
            plot.setVisible(bool(curves))
            for name, (x, y) in curves.items():
                plot.set_points(name, x, y)

    def _resume(self) -> None:
        entry = self._table.selected[0]
        if entry.job is None or entry.run:
            self._start("resume", Resume(run=str(entry.path)))
        else:
            self._start(*entry.job.continuation)

    def _stop(self) -> None:
        for entry in self._table.selected:
            if entry.job is not None:
                self._try(entry.job.cancel)

    def _report(self) -> None:
        runs = [entry.path for entry in self._table.selected]
        together = "_".join(path.name for path in runs)[:_LONGEST_NAME]
        out = runs[0] / "report" if len(runs) == 1 else self._list.runs / "reports" / together
        self._start("report", Report(runs=tuple(map(str, runs)), out=str(out)))

    def _load(self) -> None:
        path = self._table.selected[0].maps[0]
        self._try(lambda: show_map(self._viewer, path))

    def _use_as_encoder(self) -> None:
        weights = self._table.selected[0].weights
        if weights is None:
            return
        self.encoder_chosen.emit(str(weights))
        _, widget = self._viewer.window.add_plugin_dock_widget(
            "volumen", "Fine-tune"
        )  # the one that is open, if one is
        if isinstance(widget, FinetuneWidget):
            widget.weights.add(str(weights))

    def _copy(self) -> None:
        entry = self._table.selected[0]

        def copy() -> None:
            # of a run, the command that makes it, not the one that last went on with it
            work = JobFile.read(entry.path if entry.run or entry.job is None else entry.job.folder)
            command = command_of(work.verb, work.settings)
            clipboard = QApplication.clipboard()
            if clipboard is not None:
                clipboard.setText(command)
                show_info(f"Copied: {command}")

        self._try(copy)

    def _open_folder(self) -> None:
        entry = self._table.selected[0]
        path = entry.path if entry.path.is_dir() or entry.job is None else entry.job.folder
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(path)))

    def _start(self, verb: str, settings: Settings) -> None:
        def start() -> None:
            self._panel.watch(Job.start(verb, settings, runs=self._list.runs))
            self._idle.hide()
            self._tabs.setCurrentIndex(_JOB_TAB)
            self.refresh()

        self._try(start)

    def _ended(self, job: Job) -> None:
        """Show the page that a report wrote."""
        self.refresh()
        result = self._panel.story.result
        if job.verb == "report" and job.state == "finished" and result is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(result["path"])))

    def _try(self, action: Callable[[], Any]) -> None:
        try:
            action()
        except VolumenError as error:
            show_warning(for_forms(str(error)))

    def _lay_out(self) -> None:
        self._table, self.settings, self._panel = RunTable(), SettingsTable(), JobPanel()
        self._table.chosen.connect(self._choose)
        self._panel.ended.connect(self._ended)
        self.losses = CurvePlot("Loss", "epoch", logarithmic=True)
        self.scores = CurvePlot("Score on held-out pixels", "epoch")
        self._folder = QElidingLabel()
        self._folder.setToolTip("The runs folder; choose another in napari's Preferences")
        self._empty = QLabel("No runs yet. Pretrain, Fine-tune and Predict put them here.")
        self._empty.setWordWrap(True)
        self._words = QLabel()
        self._words.setWordWrap(True)
        self._tabs = QTabWidget()
        self._tabs.addTab(_scrolling(self.losses, self.scores), "Curves")
        self._tabs.addTab(self.settings, "Settings")
        self._idle = QLabel("A job that you begin here, with Resume or Report, is watched here.")
        self._idle.setWordWrap(True)
        self._tabs.addTab(_scrolling(self._idle, self._panel), "Job")
        split = QSplitter()
        split.setOrientation(Qt.Orientation.Vertical)
        split.addWidget(self._table)
        split.addWidget(self._tabs)
        layout = QVBoxLayout(self)
        for widget in (self._folder, self._empty):
            layout.addWidget(widget)
        layout.addWidget(split, stretch=1)
        layout.addWidget(self._words)
        layout.addLayout(self._button_grid())

    def _button_grid(self) -> QGridLayout:
        grid = QGridLayout()
        self.buttons: dict[str, QPushButton] = {}
        for number, (name, tip, clicked) in enumerate(
            (
                ("Resume", "Go on from what was saved last, or begin again where nothing was", self._resume),
                ("Stop", "Stop the selected jobs within two seconds; what is saved is kept", self._stop),
                ("Report", "Write a page about the selected runs, and open it in the browser", self._report),
                ("Load prediction", "Show the latest ink map that was made with this run", self._load),
                ("Use as encoder", "Begin the next fine-tuning from these weights", self._use_as_encoder),
                ("Copy as command", "Copy the command line that does exactly the same", self._copy),
                ("Open folder", "Show the files", self._open_folder),
            )
        ):
            self.buttons[name] = button(name, tip, clicked)
            grid.addWidget(self.buttons[name], *divmod(number, _BUTTONS_A_ROW))
        return grid


def _names(entries: list[Entry]) -> dict[str, Entry]:
    """Return entries by their names, with their folders' where two share one."""
    names = [entry.name for entry in entries]
    return {
        entry.name if names.count(entry.name) == 1 else f"{entry.path.parent.name}/{entry.name}": entry
        for entry in entries
    }


def _curves(entries: dict[str, Entry], kind: str, common: str) -> dict[str, Points]:
    """Return all curves of one run, or of several the common one of each."""
    if len(entries) == 1:
        return dict(getattr(next(iter(entries.values())), kind))
    found = {name: getattr(entry, kind) for name, entry in entries.items()}
    return {name: curves[common] for name, curves in found.items() if common in curves}


def _scrolling(*widgets: QWidget) -> QScrollArea:
    inside = QWidget()
    layout = QVBoxLayout(inside)
    for widget in widgets:
        layout.addWidget(widget)
    layout.addStretch()
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setWidget(inside)
    return area
