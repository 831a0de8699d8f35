"""TaskWidget: what every widget that starts jobs has: inputs, settings, where to write, start, and the job's panel."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFrame,
    QGridLayout,
    QLabel,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from volumen.errors import VolumenError
from volumen.plugin.asking import Asking
from volumen.plugin.colors import BAD
from volumen.plugin.editors import PathLine, leave_the_wheel_alone
from volumen.plugin.field_names import WRITE_TO, for_forms
from volumen.plugin.forms import SettingsForm
from volumen.plugin.job_panel import JobPanel
from volumen.plugin.jobs import ADDING, Job, command_of
from volumen.plugin.parts import button, tab_through
from volumen.plugin.places import as_text, drawn
from volumen.plugin.preferences import preferences
from volumen.plugin.remembered import remember, remembered
from volumen.settings.command import absolute
from volumen.settings.job_file import JobFile
from volumen.settings.verbs import VERBS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from volumen.events import Event
    from volumen.settings.base import Settings

NOT_DRAWN = "There is no rectangle on the segment. Add a Shapes layer, draw one on it, and press again."
OF_TRAINING = ("ink", "supervision", "held_out_mask")
"""Labels that every verb can be told of, and only those that learn look at."""

_QUIET = 800  # ms without typing, after which the form is remembered
_DEFAULTS = "Defaults"
_READING = "Reading what is chosen…"
_OF_ONE_SEGMENT = ("region", "held_out_region")  # not remembered: on another segment they would mean another place


class TaskWidget(QWidget):
    """A form that starts jobs of one verb, and the panel that shows the latest of them.

    Parameters
    ----------
    napari_viewer
        The viewer.
    verb
        As the command line calls it.
    about
        A sentence or two for somebody who never used it.
    inputs
        What to work on: label and control, in order.
    basic, hidden
        Fields to show first, and fields that the inputs give; see `SettingsForm`.
    presets
        Settings by the name under which they are offered.

    Attributes
    ----------
    read
        What was read for `given`, as `ahead` says; None where nothing was.
    """

    def __init__(
        self,
        napari_viewer: Any,
        *,
        verb: str,
        about: str,
        inputs: Mapping[str, QWidget],
        basic: tuple[str, ...],
        hidden: Collection[str],
        presets: Mapping[str, Mapping[str, Any]],
    ) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.verb = verb
        self.form = SettingsForm(
            VERBS[verb],
            basic,
            hidden={"out", "overwrite", "resume", *_preferred(verb), *hidden},
            pick_region=self.pick_region,
        )
        self.out = PathLine()
        self.panel = JobPanel()
        self.read: Any = None
        self._asking = Asking(self, self._not_read)
        self._presets = presets
        self._proposed = ""
        self._message = QLabel()
        self._message.setWordWrap(True)
        self._lay_out(about, inputs)
        self._typing = QTimer(self)
        self._typing.setSingleShot(True)
        self._typing.setInterval(_QUIET)
        self._typing.timeout.connect(self._remember)
        self.form.set_values(remembered(preferences().runs, verb))
        self.form.changed.connect(self._typing.start)
        self.panel.event_came.connect(self.hear)
        self.panel.ended.connect(self._ended)
        self.panel.resumed.connect(lambda _: self._look_busy())
        self.propose_out()

    def given(self) -> dict[str, Any]:
        """Return the settings that the inputs give; called when a job is about to be made of them.

        Raises
        ------
        VolumenError
            An input is missing or cannot be used; the message says what to do.
        """
        raise NotImplementedError

    def ahead(self) -> tuple[Any, ...] | None:
        """Return a function, and what it is given, that reads in a thread what `given` needs; None if it needs none."""
        return None

    def proposed_out(self) -> Path:
        """Return a free path to write to."""
        raise NotImplementedError

    def layer(self) -> Any:
        """Return the layer of the segment that is worked on, the first of several; None where it is not open."""
        return None

    def pick_region(self) -> str | None:
        """Return the box that was drawn on the segment, as settings read it; None, and say so, where there is none."""
        layer = self.layer()
        box = None if layer is None else drawn(self.viewer, layer)
        self._say(NOT_DRAWN if box is None else "", wrong=True)
        return None if box is None else as_text(box)

    def hear(self, event: Event) -> None:
        """Take in an event of the job."""

    def propose_out(self) -> None:
        """Propose where to write, unless a person typed another place."""
        if self.out.value() in (None, self._proposed):
            self._proposed = str(self.proposed_out())
            self.out.set_value(self._proposed)

    def settings(self) -> Settings | None:
        """Return the settings of the job as it stands; None where they cannot be, which is then said."""
        self._say("")
        self.propose_out()
        try:
            given = self.given()
        except (VolumenError, OSError) as error:
            self._say(str(error), wrong=True)
            return None
        self.form.give(**_preferred(self.verb), **given, out=self.out.value())
        if not self.form.check():
            self._say("Something is missing or cannot be: see above, at the field.", wrong=True)
            problem = self.form.first_problem
            if problem is not None:
                self._scroll.ensureWidgetVisible(problem)
            return None
        settings = absolute(self.form.settings())
        out: Path | None = getattr(settings, "out", None)
        if self.verb not in ADDING and out is not None and os.path.lexists(out):  # no field says to go on or replace
            self._say(f"{out} is already there; choose another place to write to.", wrong=True)
            return None
        return settings

    def start(self) -> Job | None:
        """Start the job and watch it; None where it cannot be, which is then said, or where something is read first."""
        self._remember()
        job: Job | None = self._once_read(self._begin)
        return job

    def _once_read(self, go_on: Callable[[], Any]) -> Any:
        """Go on at once where nothing has to be read first, else when it was, unless another choice was made by then.

        Returns
        -------
        Any
            What ``go_on`` returns; None where something is read first.
        """
        ahead = self.ahead()
        if ahead is None:
            return go_on()
        self._asking.ask(*ahead, then=lambda read: self._go_on(go_on, ahead, read), words=_READING)
        self._say(_READING)
        self._look_busy()
        return None

    def _go_on(self, go_on: Callable[[], Any], ahead: tuple[Any, ...], read: Any) -> None:
        self._not_read("")
        if self.ahead() == ahead:
            self.read = read
            try:
                go_on()
            finally:
                self.read = None  # read again the next time: it may have changed by then

    def _not_read(self, words: str) -> None:
        self._say(words, wrong=True)
        self._look_busy()

    def _begin(self) -> Job | None:
        settings = self.settings()
        if settings is None:
            return None
        try:
            job = Job.start(self.verb, settings, runs=preferences().runs)
        except VolumenError as error:
            self._say(str(error), wrong=True)
            return None
        self.panel.watch(job)
        self._look_busy()
        return job

    def command(self) -> str | None:
        """Return the command line that does the same as Start; None where the settings cannot be."""
        settings = self.settings()
        return None if settings is None else command_of(self.verb, settings)

    def _copy_command(self) -> None:
        command = self.command()
        clipboard = QGuiApplication.clipboard()
        if command is not None and clipboard is not None:
            clipboard.setText(command)
            self._say("Copied. Paste it into a terminal.")

    def _write_file(self) -> None:
        settings = self.settings()
        folder = QFileDialog.getExistingDirectory(self, "Folder for job.json") if settings else ""
        if settings is None or not folder:
            return
        try:
            JobFile(self.verb, settings).write(Path(folder))
        except OSError as error:
            self._say(f"The job file cannot be written: {error}. Choose another folder.", wrong=True)
            return
        self._say(f"Written. `volumen run {Path(folder) / 'job.json'}` does the same on any machine with these data.")

    def _ended(self, job: Job) -> None:
        self._look_busy()
        self.propose_out()

    def _look_busy(self) -> None:
        running = self.panel.job is not None and self.panel.job.state == "running"
        reading = self._asking.waiting
        self._start.setEnabled(not running and not reading)
        self._start.setText("Running…" if running else "Reading…" if reading else "Start")
        for other in (self._copy, self._write):
            other.setEnabled(not reading)

    def _remember(self) -> None:
        self._typing.stop()
        values = {name: value for name, value in self.form.values().items() if name not in _OF_ONE_SEGMENT}
        remember(preferences().runs, self.verb, values)

    def _apply_preset(self, row: int) -> None:
        name = self._preset.itemText(row)
        if row == 0:
            return
        self.form.set_values(self._presets.get(name, {}))
        self._remember()
        self._preset.setCurrentIndex(0)

    def _say(self, words: str, *, wrong: bool = False) -> None:
        self._message.setStyleSheet(f"color: {BAD}" if wrong else "")
        self._message.setText(for_forms(words))
        self._message.setVisible(bool(words))

    def _lay_out(self, about: str, inputs: Mapping[str, QWidget]) -> None:
        intro = QLabel(about)
        intro.setWordWrap(True)
        self._preset = QComboBox()
        self._preset.addItems(["Choose…", _DEFAULTS, *self._presets])
        self._preset.setToolTip("Fill the settings below with a set that belongs together")
        self._preset.activated.connect(self._apply_preset)
        leave_the_wheel_alone(self._preset)
        for row, (label, control) in enumerate({**inputs, "Preset": self._preset}.items()):
            self.form.add_row(label, control, at=row)
        self.form.add_row(WRITE_TO, self.out)
        self._start = button("Start", "Start it in a process of its own; napari stays free", self.start)
        tip = "Copy the command line that does exactly this"
        self._copy = button("Copy as command", tip, lambda: self._once_read(self._copy_command))
        tip = "Write a file that `volumen run` carries out, here or on another machine"
        self._write = button("Write job file…", tip, lambda: self._once_read(self._write_file))
        buttons = QGridLayout()
        buttons.addWidget(self._start, 0, 0, 1, 2)
        for place, other in enumerate((self._copy, self._write)):
            buttons.addWidget(other, 1, place)
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.addWidget(intro)
        column.addWidget(self.form)
        column.addLayout(buttons)
        column.addWidget(self._message)
        column.addWidget(self.panel)
        column.addStretch(1)
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setFrameShape(QFrame.Shape.NoFrame)
        self._scroll.setWidget(inner)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._scroll)
        tab_through([*self.form.parts, self._start, self._copy, self._write, self.panel])
        self._say("")


def _preferred(verb: str) -> dict[str, Any]:
    """Return what a person set once for all jobs, of that which the verb can be told."""
    chosen = preferences()
    preferred = {"device": chosen.device, "memory_fraction": chosen.memory_fraction}
    return {name: value for name, value in preferred.items() if name in VERBS[verb].model_fields}
