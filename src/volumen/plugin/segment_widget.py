"""SegmentWidget: open a segment, see what it is and what speaks against training on it, and convert it."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from qtpy.QtWidgets import QFileDialog, QGridLayout, QLineEdit, QProgressBar, QWidget

from volumen.errors import VolumenError
from volumen.events import Finished
from volumen.plugin.asking import Asking
from volumen.plugin.colors import BAD, DOUBTFUL, GOOD
from volumen.plugin.facts import facts_of, findings_of, output_of, reason_to_convert
from volumen.plugin.field_names import for_forms
from volumen.plugin.forms import SettingsForm
from volumen.plugin.job_panel import JobPanel
from volumen.plugin.jobs import Job
from volumen.plugin.layers import origin_of
from volumen.plugin.parts import button, collapsible, prose, scrolling
from volumen.plugin.preferences import preferences
from volumen.plugin.samples import phantom_path, phantom_settings
from volumen.plugin.showing import open_ahead, show
from volumen.settings import Check, Convert
from volumen.settings.command import full_path
from volumen.sources.open import open_segment

if TYPE_CHECKING:
    from collections.abc import Callable

    from volumen.events import Event
    from volumen.plugin.showing import Opened
    from volumen.settings.base import Settings
    from volumen.sources.segment import Segment

_SIGNS = {"error": "✖", "warning": "⚠", "note": "✓"}
_COLORS = {"error": BAD, "warning": DOUBTFUL, "note": GOOD}


class SegmentWidget(QWidget):
    """Open, describe, check and convert one segment at a time: the one of the selected layer.

    Parameters
    ----------
    napari_viewer
        Where to show it.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._segment: Segment | None = None
        self._asking = Asking(self, self._told_why_not)
        self._lay_out()
        self._forget()
        napari_viewer.layers.selection.events.active.connect(self._follow_selection)
        self._follow_selection()

    def open(self, path: str, *, instead_of: str | None = None) -> None:
        """Open a segment in a thread and show it; the window stays usable meanwhile."""
        if path.strip():
            path = full_path(path.strip())  # by which its layers and its labels are known
            self._path.setText(path)
            self._wait(f"Opening {path} …", open_ahead, path, then=lambda found: self._show(found, instead_of))
        else:
            self._say("Give a path or a URL, or choose a file or folder.", wrong=True)

    def open_sample(self) -> None:
        """Open the phantom; made by a job where it is not there yet."""
        if phantom_path().exists():
            self.open(str(phantom_path()))
        else:
            self._start("phantom", phantom_settings())

    @property
    def waiting(self) -> bool:
        """Whether something is being opened."""
        return self._asking.waiting

    @property
    def segment(self) -> Segment | None:
        """The segment that is described."""
        return self._segment

    @property
    def panel(self) -> JobPanel:
        """Where the present job is watched."""
        return self._panel

    @property
    def words(self) -> str:
        """What is said of the segment, what went wrong, and what was found, as it is shown."""
        shown = (self._name, self._facts, self._state, self._findings)
        return "\n".join(label.text() for label in shown if not label.isHidden())

    def check(self) -> None:
        """Look the segment over in a job, whose findings are then told."""
        self._findings.hide()
        self._submit("check", self._check_form)

    def convert(self) -> None:
        """Convert the segment in a job; its layers are swapped for the converted store's when that is done."""
        self._submit("convert", self._convert_form)

    def _show(self, found: Opened, instead_of: str | None) -> None:
        self._describe(found.segment)
        with self._viewer.layers.selection.events.active.blocker(self._follow_selection):
            show(self._viewer, found, instead_of=instead_of)

    def _follow_selection(self, _event: Any = None) -> None:
        """Describe the segment of the selected layer; offer the file of one that another plugin opened."""
        layer = self._viewer.layers.selection.active
        origin = origin_of(layer)
        if origin is None or origin.kind == "prediction":
            file = getattr(getattr(layer, "source", None), "path", None)
            if origin is None and file and not self._path.text():
                self._path.setText(str(file))
        elif not self.waiting and (self._segment is None or origin.path != self._segment.source):
            self._wait(f"Reading {origin.path} …", open_segment, origin.path, then=self._describe)

    def _describe(self, segment: Segment) -> None:
        self._segment = segment
        self._name.setText(segment.name)
        rows = "".join(
            f"<tr><td style='padding-right:8px'><b>{fact.name}</b></td><td>{html.escape(fact.words)}</td></tr>"
            for fact in facts_of(segment)
        )
        self._facts.setText(f"<table>{rows}</table>")
        self._check_form.give(path=segment.source)
        self._convert_form.give(source=segment.source, resume=True)
        self._convert_form.set_values({"out": str(output_of(segment, preferences().cache))})
        reason = reason_to_convert(segment)
        self._reason.setText(reason or "It is chunked already; a copy is only needed to turn the layers around.")
        for part in (self._name, self._facts, self._checking, self._converting):
            part.show()
        self._findings.hide()
        if reason:
            self._converting.expand(animate=False)
        else:
            self._converting.collapse(animate=False)

    def _forget(self) -> None:
        for part in (self._name, self._facts, self._checking, self._converting, self._findings, self._busy):
            part.hide()

    def _submit(self, verb: str, form: SettingsForm) -> None:
        if form.check():
            self._start(verb, form.settings())

    def _start(self, verb: str, settings: Settings) -> None:
        """Start a job and watch it; a former one goes on unwatched, and the Runs widget finds it."""
        try:
            job = Job.start(verb, settings, runs=preferences().runs)
        except (VolumenError, ValidationError) as error:
            self._say(str(error), wrong=True)
            return
        former = self._panel.job
        unwatched = former is not None and former.state == "running"
        self._say(f"The {former.verb} goes on; the Runs widget shows it." if former is not None and unwatched else "")
        self._panel.watch(job)
        self._look_busy()

    def _hear(self, event: Event) -> None:
        job = self._panel.job
        if isinstance(event, Finished) and job is not None and job.verb == "check":
            self._tell_findings(event)

    def _tell_findings(self, event: Finished) -> None:
        lines = "".join(
            f"<p style='margin:2px 0'><span style='color:{_COLORS[told.severity]}'>{_SIGNS[told.severity]}</span> "
            f"{html.escape(told.words)}</p>"
            for told in findings_of(event.result)
        )
        self._findings.setText(lines)
        self._findings.show()

    def _look_busy(self, _job: Any = None) -> None:
        """Do not offer to start what the watched job is doing."""
        job = self._panel.job
        running = job.verb if job is not None and job.state == "running" else ""
        for verb, starter in self._starters.items():
            starter.setEnabled(verb != running)

    def _conclude(self, job: Job) -> None:
        """Show what a job made."""
        self._look_busy()
        if job.state != "finished" or job.out is None:
            return
        if job.verb == "phantom":
            self.open(str(job.out))
        elif isinstance(job.settings, Convert):
            self.open(str(job.out), instead_of=job.settings.source)

    def _wait(self, words: str, work: Callable[[str], Any], path: str, *, then: Callable[[Any], None]) -> None:
        """Do something in a thread; the latest that was asked for counts."""
        self._say(words)
        self._busy.show()
        self._asking.ask(work, path, then=lambda found: self._take(found, then), words=words)

    def _take(self, found: Any, then: Callable[[Any], None]) -> None:
        self._told_why_not("")
        then(found)
        self._follow_selection()  # another layer may have been selected meanwhile

    def _told_why_not(self, words: str) -> None:
        self._busy.hide()
        self._say(words, wrong=True)

    def _say(self, words: str, *, wrong: bool = False) -> None:
        self._state.setStyleSheet(f"color: {BAD}" if wrong else "")
        self._state.setText(for_forms(words))
        self._state.setVisible(bool(words))

    def _choose_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a TIFF, .npy or picture", self._path.text())
        if path:
            self.open(path)

    def _choose_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Open a folder of layers or a .zarr", self._path.text())
        if path:
            self.open(path)

    def _lay_out(self) -> None:
        self._path = QLineEdit()
        self._path.setPlaceholderText("Path or URL of a segment")
        self._path.setToolTip(
            "A folder of layer images, TIFF, .npy, zarr or OME-Zarr; on this machine, https:// or s3://"
        )
        self._path.returnPressed.connect(lambda: self.open(self._path.text()))
        above = QGridLayout()
        above.addWidget(self._path, 0, 0, 1, 3)
        open_button = button("Open", "Open what the path says", lambda: self.open(self._path.text()))
        above.addWidget(button("File…", "Choose a TIFF, .npy or picture", self._choose_file), 1, 0)
        above.addWidget(button("Folder…", "Choose a folder of layers or a .zarr", self._choose_folder), 1, 1)
        above.addWidget(open_button, 1, 2)
        tip = "A synthetic papyrus with known ink to try everything on; made once, in some seconds"
        self._starters = {"phantom": button("Open the sample", tip, self.open_sample)}
        above.addWidget(self._starters["phantom"], 2, 0, 1, 3)
        self._busy = QProgressBar()
        self._busy.setRange(0, 0)
        self._busy.setMaximumHeight(6)
        self._state, self._name, self._facts, self._reason, self._findings = (prose() for _ in range(5))
        self._name.setStyleSheet("font-weight: bold; font-size: 13pt")
        self._check_form = SettingsForm(Check, ("layers", "window"), hidden=_all_but(Check, "layers", "window"))
        self._checking = collapsible("Check before training", self._check_form)
        self._starters["check"] = button("Check", "Look for what makes a training fail or mislead", self.check)
        self._checking.addWidget(self._starters["check"])
        hidden = ("source", "ink", "supervision", "held_out_mask", "mask", "resume", "overwrite")
        self._convert_form = SettingsForm(Convert, ("out", "reverse", "voxel_um"), hidden=hidden)
        self._converting = collapsible("Convert to OME-Zarr", self._reason, self._convert_form)
        tip = "Goes on where an interrupted conversion stopped; the layers are swapped when it is done"
        self._starters["convert"] = button("Convert", tip, self.convert)
        self._converting.addWidget(self._starters["convert"])
        self._panel = JobPanel(told_elsewhere=("check",))  # in the findings
        self._panel.event_came.connect(self._hear)
        self._panel.ended.connect(self._conclude)
        self._panel.resumed.connect(self._look_busy)
        scrolling(
            self,
            above,
            self._busy,
            self._state,
            self._name,
            self._facts,
            self._checking,
            self._findings,
            self._converting,
            self._panel,
        )


def _all_but(kind: type[Settings], *shown: str) -> tuple[str, ...]:
    return tuple(name for name in kind.model_fields if name not in shown)
