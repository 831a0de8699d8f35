"""Go on with a run, whichever verb began it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from volumen.errors import SettingsError
from volumen.recipes.finetune import continue_finetune
from volumen.recipes.photos.pretrain import continue_pretrain_photos
from volumen.recipes.photos.segmenter import continue_train_segmenter
from volumen.recipes.photos.tagger import continue_train_tagger
from volumen.recipes.pretrain import continue_pretrain_spark
from volumen.recipes.reading.pretrain import continue_pretrain_lines
from volumen.recipes.reading.train import continue_train_reader
from volumen.settings.verbs import VERBS
from volumen.training.run import Run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from volumen.events import Event
    from volumen.settings import Resume


def resume(settings: Resume) -> Iterator[Event]:
    """Continue an interrupted run to the weights that an unbroken run on the same device ends with.

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
        The data are not those that the run was begun with.
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
    match run.verb:
        case "finetune":
            yield from continue_finetune(run)
        case "pretrain_spark":
            yield from continue_pretrain_spark(run)
        case "train_reader":
            yield from continue_train_reader(run)
        case "train_segmenter":
            yield from continue_train_segmenter(run)
        case "train_tagger":
            yield from continue_train_tagger(run)
        case "pretrain_photos":
            yield from continue_pretrain_photos(run)
        case verb if verb.startswith("pretrain_") and verb.replace("_", " ") in VERBS:
            yield from continue_pretrain_lines(run)
        case _:
            raise SettingsError(
                f"Expected a run of `volumen pretrain`, `volumen finetune` or `volumen train`; {settings.run} is one "
                f"of {run.verb!r}."
            )
