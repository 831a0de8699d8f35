"""Rerun: the job file of a window, or a run's recipe, done again from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from volumen.errors import SettingsError
from volumen.recipes.verbs import load_recipe
from volumen.settings.job_file import JobFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from volumen.events import Event
    from volumen.settings import Rerun


def rerun(settings: Rerun) -> Iterator[Event]:
    """Do what a job file or a ``recipe.json`` says; on the same CPU a training ends with equal weights.

    On CUDA it does so but for what kernels add up in no fixed order, which torch calls nondeterministic.

    Yields
    ------
    Event
        Those of the verb that the file names.

    Raises
    ------
    SourceNotFoundError, SourceError, SettingsError
        The file is missing, damaged, of another version, or lacks what ``out``, ``resume`` or ``overwrite`` ask for.
    """
    job = JobFile.read(settings.job).told(resume=settings.resume, overwrite=settings.overwrite)
    if settings.out is not None:
        job = job.elsewhere(settings.out)
    if job.verb == "run":
        raise SettingsError("A job file names what to do; 'run' only names another file. Give that file.")
    yield from load_recipe(job.verb)(job.settings)
