"""Job: one piece of work in a process of its own, with a folder from which any window finds it again."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from volumen.errors import SourceError, SourceNotFoundError, VolumenError
from volumen.events import Finished, from_json
from volumen.plugin.child import Child
from volumen.plugin.last_words import last_words
from volumen.plugin.trained import TRAININGS
from volumen.run_folder import RECIPE, RunFolder
from volumen.settings import Resume
from volumen.settings.command import absolute, command_line
from volumen.settings.job_file import JobFile
from volumen.tail import Tail
from volumen.whole_files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from volumen.events import Event
    from volumen.settings.base import Settings

State = Literal["running", "finished", "stopped", "failed"]

_FOLDER = ".jobs"
ADDING = ("resume", "index")  # verbs that take up what is at their output path without being told to
_PROCESS = "process.json"
_EXIT = "exit_code"
_STOPPED = "stopped"
_INTERRUPTED = 130  # what the command line returns when it was interrupted
_LOOK_SECONDS = 0.1
_QUIET_SECONDS = 300.0
_BUNCH = 300
_BREATH_SECONDS = 0.03


@dataclass(frozen=True)
class Job:
    """A verb with its settings, carried out by a process of its own that may outlive the window.

    Its folder, ``RUNS/.jobs/ID/``, holds ``job.json`` (which ``volumen run`` carries out again), ``process.json``,
    ``events.jsonl``, ``errors.txt``, and at the end ``exit_code`` and, where a person stopped it, ``stopped``.

    Parameters
    ----------
    folder
        Where these are.
    verb
        As the command line calls it, such as ``"finetune"``.
    settings
        Those of the verb; local paths in full.
    child
        The process.
    """

    folder: Path
    verb: str
    settings: Settings
    child: Child = field(repr=False)

    @classmethod
    def start(cls, verb: str, settings: Settings, *, runs: Path) -> Job:
        """Start a job; nothing is imported or computed here, and it is under way once this returns.

        Raises
        ------
        SourceError
            No folder can be made for it below ``runs``, or the process cannot be started.
        """
        work = JobFile(verb, absolute(settings))
        name = f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{verb.replace(' ', '_')}_{uuid.uuid4().hex[:6]}"
        folder = Path(os.path.abspath(runs)) / _FOLDER / name
        try:
            folder.mkdir(parents=True)
            work.write(folder)
            child = Child.start(
                # -P: nothing is imported from the folder that napari happened to be started in
                [sys.executable, "-P", "-m", "volumen", "run", str(folder / "job.json"), "--json"],
                stdout=folder / "events.jsonl",
                stderr=folder / "errors.txt",
                ended=lambda code: _note(folder / _EXIT, str(code)),
            )
            try:
                write_whole(folder / _PROCESS, json.dumps(asdict(child)))
            except OSError:
                child.stop()  # nobody could find it
                raise
        except OSError as error:
            raise SourceError(
                f"No job can be started in {folder.parent}: {error}. Choose another runs folder in the preferences."
            ) from error
        return cls(folder, work.verb, work.settings, child)

    @classmethod
    def open(cls, folder: str | Path) -> Job:
        """Find a job again by its folder, whoever started it.

        Raises
        ------
        SourceNotFoundError, SourceError, SettingsError
            The folder holds no job that was started, or its files are damaged or of another version.
        """
        folder = Path(folder)
        work = JobFile.read(folder)
        try:
            child = Child(**json.loads((folder / _PROCESS).read_text(encoding="utf-8")))
        except FileNotFoundError as error:
            raise SourceNotFoundError(f"The job in {folder} was never started.") from error
        except (OSError, ValueError, TypeError) as error:
            raise SourceError(f"{folder / _PROCESS} is damaged: {error}.") from error
        return cls(folder, work.verb, work.settings, child)

    @property
    def runs(self) -> Path:
        """The runs folder that it belongs to."""
        return self.folder.parent.parent

    @property
    def file(self) -> Path:
        """The job file, which ``volumen run`` carries out again."""
        return self.folder / "job.json"

    @property
    def out(self) -> Path | None:
        """The run folder, map or file that it writes; None where it writes none."""
        name = "run" if isinstance(self.settings, Resume) else "out"
        out = getattr(self.settings, name, None)
        return None if out is None else Path(out)

    @property
    def command(self) -> str:
        """The exact command line that does the same, to be pasted into a terminal."""
        return command_of(self.verb, self.settings)

    @property
    def state(self) -> State:
        """How it stands; "running" also where it runs on another machine and was heard of in the last minutes."""
        if self.child.alive or (not self.child.here and self._heard_of()):
            return "running"
        if isinstance(_last_event(self.folder / "events.jsonl"), Finished):
            return "finished"
        if (self.folder / _STOPPED).exists() or self._exit_code == _INTERRUPTED:
            return "stopped"
        return "failed"

    @property
    def error(self) -> str:
        """What went wrong and what to do, in words; empty where nothing did."""
        if self.state != "failed":
            return ""
        return last_words(self.folder, code=self._exit_code, cure=self._cure)

    @property
    def continuation(self) -> tuple[str, Settings]:
        """Verb and settings of a job that goes on where this one ended, or begins it again if it had saved nothing."""
        out = self.out
        if self.verb in TRAININGS:
            begun = out is not None and (out / RECIPE).is_file()
            return ("resume", Resume(run=str(out))) if begun else (self.verb, self.settings)
        flags: Mapping[str, Any] = {}
        if "resume" in type(self.settings).model_fields and out is not None and out.exists():
            flags = {"resume": True, "overwrite": False}
        return (self.verb, self.settings.model_copy(update=flags))

    @property
    def goes_on(self) -> bool:
        """Whether `continuation` takes up what was saved, rather than begin again."""
        verb, settings = self.continuation
        return verb in ADDING or bool(getattr(settings, "resume", False))

    def past(self) -> Iterator[Event | None]:
        """Yield what was told of the run before this job went on with it; nothing, of a job that began one."""
        if not isinstance(self.settings, Resume):
            return
        tail = Tail(RunFolder(Path(self.settings.run), {}).events_path)
        while told := tail.read():
            yield from (event for event in told if not isinstance(event, Finished))

    def follow(self) -> Iterator[Event | None]:
        """Yield all events from the start, then those that come, and None where there is nothing to tell yet.

        After a None it sleeps for a tenth of a second before it looks again, so it belongs in a thread. It ends with
        the process.
        """
        tail = Tail(self.folder / "events.jsonl")
        while True:
            running = self.state == "running"  # asked before reading: what a dead process said is then all there
            while told := tail.read():
                yield from told
            if not running:
                time.sleep(_LOOK_SECONDS)  # its exit code is noted meanwhile
                return
            yield None
            time.sleep(_LOOK_SECONDS)

    def cancel(self) -> None:
        """Stop it: an interrupt, which leaves it a moment to put its work in order, then a kill; returns at once.

        Raises
        ------
        SourceError
            It runs on another machine.
        """
        if not self.child.here:
            raise SourceError(f"The job runs on {self.child.host}; stop it there (process {self.child.pid}).")
        if self.child.alive:
            _note(self.folder / _STOPPED, "")
            self.child.stop()

    @property
    def _exit_code(self) -> int | None:
        try:
            return int((self.folder / _EXIT).read_text())
        except (OSError, ValueError):
            return None

    @property
    def _cure(self) -> str:
        return "Resume goes on from what was saved last." if self.goes_on else "Nothing was saved yet: start it again."

    def _heard_of(self) -> bool:
        """Say whether it told something in the last minutes; all that can be known of a process elsewhere."""
        try:
            return time.time() - (self.folder / "events.jsonl").stat().st_mtime < _QUIET_SECONDS
        except OSError:
            return False


def command_of(verb: str, settings: Settings) -> str:
    """Return the command line that stands for settings, to be pasted into a terminal.

    Examples
    --------
    >>> command_of("resume", Resume(run="my runs/first"))
    "volumen resume 'my runs/first'"
    """
    words = ["volumen", *command_line(verb, settings)]
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)


def bunches(told: Iterator[Event | None], *, most: int = _BUNCH) -> Iterator[list[Event]]:
    """Gather what `Job.follow` yields into lists: one, perhaps empty, each time that there is nothing more to tell yet.

    Of a long story it pauses after every bunch, so that whoever listens can do other things in between.

    Examples
    --------
    >>> from volumen.events import Warned
    >>> [len(bunch) for bunch in bunches(iter([Warned(message="a"), None, None, Warned(message="b")]))]
    [1, 0, 1]
    """
    bunch: list[Event] = []
    for event in told:
        if event is not None:
            bunch.append(event)
        if event is None or len(bunch) == most:
            yield bunch
            if len(bunch) == most:
                time.sleep(_BREATH_SECONDS)
            bunch = []
    if bunch:
        yield bunch


def find_jobs(runs: Path) -> list[Job]:
    """Return the jobs of a runs folder, the latest first; what is damaged or of another version is left out."""
    jobs = []
    for folder in job_folders(runs):
        with suppress(VolumenError):
            jobs.append(Job.open(folder))
    return jobs


def job_folders(runs: Path) -> list[Path]:
    """Return where the jobs of a runs folder are, the latest first."""
    try:
        return sorted((Path(runs) / _FOLDER).iterdir(), reverse=True)
    except OSError:
        return []


def _last_event(path: Path) -> Event | None:
    """Return the event of the last whole line, read from the end of the file; None where there is none."""
    reach = 2**14
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            while True:
                start = max(0, size - reach)
                file.seek(start)
                *lines, _ = file.read().split(b"\n")  # what follows the last line end is not whole
                if start == 0 or len(lines) > 1:
                    return from_json(lines[-1].decode()) if lines else None
                reach *= 4
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _note(path: Path, text: str) -> None:
    """Write a file if there is a folder and room for it: the job goes on without."""
    with suppress(OSError):
        if path.parent.is_dir():
            write_whole(path, text)
