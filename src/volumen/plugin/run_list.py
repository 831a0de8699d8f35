"""RunList: every run and job below a folder as it stands, whoever started it; each look reads only what changed."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from volumen.errors import VolumenError
from volumen.plugin.job_story import JobStory
from volumen.plugin.jobs import Job, job_folders
from volumen.plugin.trained import TRAININGS
from volumen.run_folder import RECIPE, RunFolder
from volumen.settings import Predict
from volumen.tail import Tail

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from volumen.plugin.course import Course

    Points = tuple[NDArray[np.float64], NDArray[np.float64]]

_DEPTH = 3  # folders below the runs folder, as those of a comparison are
_BUDGET = 0.2
_QUIET_SECONDS = 180.0
_MOMENT = 5.0

WORDS = {
    "running": "running",
    "elsewhere": "running elsewhere",
    "finished": "finished",
    "stopped": "stopped",
    "failed": "failed",
    "unfinished": "unfinished",
}
"""What a person calls each state; "unfinished" is a run that nobody works on, begun without a window."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A run, or a job that makes none, as it stood when it was looked at.

    Parameters
    ----------
    path
        The run folder; of a job that makes no run, what it writes, or its own folder.
    verb
        As the command line calls it.
    begun
        When it was begun, in seconds since 1970.
    settings
        Its settings by name.
    state
        One of `WORDS`.
    progress, best, brief, error
        In words: how far, the scores of the best epoch, the first of them, what went wrong.
    losses, scores
        Curves by name, over epochs; other objects whenever points were added.
    maps
        Ink maps that were predicted with its weights, the latest first; of a prediction, its own.
    weights
        Its best weights, if there are any yet.
    job
        The latest job that works, or worked, on it; None where it was begun without a window.
    run
        Whether it is a run folder.
    """

    path: Path
    verb: str
    begun: float
    settings: Mapping[str, Any]
    state: str
    progress: str = ""
    best: str = ""
    brief: str = ""
    error: str = ""
    losses: Mapping[str, Points] = field(default_factory=dict, compare=False)
    scores: Mapping[str, Points] = field(default_factory=dict, compare=False)
    maps: tuple[Path, ...] = ()
    weights: Path | None = None
    job: Job | None = None
    run: bool = False

    @property
    def name(self) -> str:
        """What a person calls it."""
        return self.path.name

    def stands_as(self, before: Entry) -> bool:
        """Whether it stands as it did at another look."""
        curves = ((self.losses, before.losses), (self.scores, before.scores))
        return self == before and all(now is then or not (now or then) for now, then in curves)


class RunList:
    """Look at a runs folder again and again; for one thread at a time.

    Parameters
    ----------
    runs
        The folder.

    Attributes
    ----------
    behind
        Whether the last look ran out of its time before it had read everything.
    """

    def __init__(self, runs: Path) -> None:
        self.runs = Path(runs)
        self.behind = False
        self._files: dict[Path, _Reading] = {}
        self._recipes: dict[Path, tuple[float, RunFolder | None]] = {}
        self._jobs: dict[Path, Job | None] = {}
        self._over: dict[Path, tuple[str, str]] = {}  # state and error of jobs that are over

    def look(self, seconds: float = _BUDGET) -> list[Entry]:
        """Return every run and every job that makes none, the latest first; read events for so long at most."""
        until = time.monotonic() + seconds
        self.behind = False
        jobs = self._find_jobs()
        by_out = {os.path.abspath(job.out): job for job in reversed(jobs) if job.out is not None and _makes_run(job)}
        predicted: dict[str, list[Path]] = {}
        for job in jobs:
            if isinstance(job.settings, Predict):
                predicted.setdefault(os.path.abspath(job.settings.checkpoint), []).append(Path(job.settings.out))
        runs = list(self._find_runs())
        known = {os.path.abspath(run.path) for run in runs}
        entries = [self._run_entry(run, by_out.get(os.path.abspath(run.path)), predicted, until) for run in runs]
        for job in jobs:
            if not (_makes_run(job) and job.out is not None and os.path.abspath(job.out) in known):
                entries.append(self._job_entry(job, predicted, until))
        return sorted(entries, key=lambda entry: (entry.begun, str(entry.path)), reverse=True)

    def _run_entry(
        self, run: RunFolder, job: Job | None, predicted: Mapping[str, Sequence[Path]], until: float
    ) -> Entry:
        reading = self._read(run.events_path, until)
        state, error = self._state(job) if job is not None else ("", "")
        if state != "running":
            if reading.story.result is not None:
                state, error = "finished", ""
            elif job is None or reading.written > self._ended(job):  # somebody works on it without a window
                state, error = ("elsewhere" if _fresh(reading.written) else "unfinished"), ""
        settings = run.recipe.get("settings")
        return Entry(
            path=run.path,
            verb=str(run.recipe.get("verb", "?")),
            begun=self._recipes[run.path][0],
            settings=settings if isinstance(settings, dict) else {},
            state=state,
            progress=reading.progress,
            best=reading.story.best_in_words,
            brief=reading.story.best_in_brief,
            error=error,
            losses=reading.losses,
            scores=reading.scores,
            job=job,
            run=True,
            maps=_maps(run.path, predicted),
            weights=run.best_path if run.best_path.is_file() else None,
        )

    def _job_entry(self, job: Job, predicted: Mapping[str, Sequence[Path]], until: float) -> Entry:
        reading = self._read(job.folder / "events.jsonl", until)
        state, error = self._state(job)
        path = job.out if job.out is not None else job.folder
        own = (path,) if path.is_dir() else ()
        return Entry(
            path=path,
            verb=job.verb,
            begun=job.child.started,
            settings=job.settings.model_dump(mode="json"),
            state=state,
            progress=reading.progress,
            best=reading.story.best_in_words,
            brief=reading.story.best_in_brief,
            error=error,
            job=job,
            maps=own if job.verb == "predict" else _maps(path, predicted),
        )

    def _state(self, job: Job) -> tuple[str, str]:
        """Return a job's state and error; once it is over they stay."""
        if job.folder not in self._over:
            state = job.state
            if state == "running":
                return state, ""
            self._over[job.folder] = (state, job.error)
        return self._over[job.folder]

    def _ended(self, job: Job) -> float:
        """Return when a job that is over was heard of last, and a moment."""
        return max(map(_changed, (job.folder / "events.jsonl", job.folder / "exit_code"))) + _MOMENT

    def _find_jobs(self) -> list[Job]:
        """Return the jobs, the latest first; a job's files do not change, so each is opened once."""
        folders = job_folders(self.runs)
        for folder in folders:
            if folder not in self._jobs:
                try:
                    self._jobs[folder] = Job.open(folder)
                except VolumenError:
                    if _fresh(_changed(folder)):  # being started just now: look again
                        continue
                    self._jobs[folder] = None
        self._jobs = {folder: self._jobs[folder] for folder in folders if folder in self._jobs}
        return [job for job in self._jobs.values() if job is not None]

    def _find_runs(self) -> Iterator[RunFolder]:
        """Open the run folders, those that are unchanged from memory."""
        for folder in _walk(self.runs, _DEPTH):
            changed = _changed(folder / RECIPE)
            if self._recipes.get(folder, (None, None))[0] != changed:
                try:
                    self._recipes[folder] = (changed, RunFolder.open(folder))
                except (VolumenError, OSError):
                    self._recipes[folder] = (changed, None)
            run = self._recipes[folder][1]
            if run is not None:
                yield run

    def _read(self, path: Path, until: float) -> _Reading:
        reading = self._files.setdefault(path, _Reading(path))
        while time.monotonic() < until:
            if not reading.advance():
                return reading
        self.behind = self.behind or reading.unread
        return reading


class _Reading:
    """The events of a file as far as they were read, and what they amount to."""

    def __init__(self, path: Path) -> None:
        self.story = JobStory()
        self.written = 0.0
        self.losses: dict[str, Points] = {}
        self.scores: dict[str, Points] = {}
        self._tail = Tail(path)
        self._restarts = 0

    def advance(self) -> bool:
        """Read on; return whether there was anything to read."""
        self.written = _changed(self._tail.path)
        told = self._tail.read()
        if self._tail.restarts != self._restarts:
            self._restarts, self.story = self._tail.restarts, JobStory()
        for event in told:
            self.story.hear(event)
        if told:  # whole arrays, which the window may draw while the story goes on
            self.losses, self.scores = _points(self.story.losses), _points(self.story.scores)
        return bool(told)

    @property
    def unread(self) -> bool:
        """Whether there is more than was read."""
        return self._tail.behind

    @property
    def progress(self) -> str:
        """How far it is; without a rate, which what is read afterwards does not show."""
        return "" if self.story.part is None else self.story.progress.split(" · ")[0]


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    """Find the folders with a recipe; what lies inside a run or a volume is not looked at."""
    try:
        inside = [entry for entry in os.scandir(folder) if not entry.name.startswith(".") and entry.is_dir()]
    except OSError:
        return
    for entry in inside:
        if os.path.isfile(os.path.join(entry.path, RECIPE)):
            yield Path(entry.path)
        elif depth > 1 and not entry.name.endswith(".zarr"):
            yield from _walk(Path(entry.path), depth - 1)


def _maps(run: Path, predicted: Mapping[str, Sequence[Path]]) -> tuple[Path, ...]:
    """Return the maps that were made with a run's weights, the latest first; ``predicted`` has them by checkpoint."""
    weights = (run, RunFolder(run, {}).best_path)
    made = [path for checkpoint in weights for path in predicted.get(os.path.abspath(checkpoint), ())]
    found = {path for path in (*made, *(run / "predictions").glob("*.zarr")) if path.is_dir()}
    return tuple(sorted(found, key=_changed, reverse=True))


def _makes_run(job: Job) -> bool:
    return job.verb in (*TRAININGS, "resume")


def _points(courses: Mapping[str, Course]) -> dict[str, Points]:
    return {name: (course.x, course.y) for name, course in courses.items()}


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _fresh(when: float) -> bool:
    return time.time() - when < _QUIET_SECONDS
