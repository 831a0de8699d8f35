"""Go on with a run, whichever verb began it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from volumen.errors import SettingsError
from volumen.recipes.verbs import load_recipe
from volumen.run_folder import RECIPE
from volumen.settings.computing import Computing
from volumen.settings.job_file import JobFile
from volumen.training.run import Run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from volumen.events import Event
    from volumen.settings import Resume


def resume(settings: Resume) -> Iterator[Event]:
    """Continue an interrupted run to the weights that an unbroken run on the same CPU ends with.

    On CUDA it is so but for what kernels add up in no fixed order, which torch calls nondeterministic.

    Parameters
    ----------
    settings
        Which run: that of `finetune`, `pretrain` or `train`.

    Yields
    ------
    Event
        Those of the verb that began the run, from where it stopped; one that is finished only says so again.

    Raises
    ------
    SourceNotFoundError
        The folder is no run.
    SourceError
        The data, or the weights to start from, are not those that the run was begun with.
    SettingsError
        The run was begun by a verb that cannot be resumed.
    InUseError
        Another process writes the run.

    Examples
    --------
    >>> from volumen import settings
    >>> result(resume(settings.Resume(run="runs/first")))["scores"]  # doctest: +SKIP
    """
    run = Run.open(settings.run)
    job = JobFile.read(run.path / RECIPE)
    if not isinstance(job.settings, Computing):
        raise SettingsError(
            f"Expected a run of `volumen pretrain`, `volumen finetune` or `volumen train`; {settings.run} is one "
            f"of {job.verb!r}."
        )
    yield from load_recipe(job.verb)(job.told(resume=True).elsewhere(str(run.path)).settings)
