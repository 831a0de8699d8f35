"""Rerun: the job file of a window, or a run's recipe, done again from the command line."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import volumen  # its front door loads a verb when it is used: a conversion should not wait for torch
from volumen.errors import SettingsError
from volumen.recipes.boxes import boxes
from volumen.settings.base import Settings
from volumen.settings.job_file import JobFile
from volumen.settings.pretrain_lines import PretrainLines
from volumen.settings.verbs import VERBS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from volumen.events import Event
    from volumen.settings import Rerun


def rerun(settings: Rerun) -> Iterator[Event]:
    """Do what a job file or a ``recipe.json`` says; on the same machine a training ends with equal weights.

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
    yield from _recipe(job.verb)(job.settings)


def _recipe(verb: str) -> Callable[[Any], Iterator[Event]]:
    match verb:
        case "demo":
            return volumen.demo
        case "check":
            return volumen.check
        case "convert":
            return volumen.convert
        case "phantom":
            return volumen.make_phantom
        case "pretrain spark":
            return volumen.pretrain_spark
        case verb if issubclass(VERBS.get(verb, Settings), PretrainLines):
            return volumen.pretrain_lines
        case "pretrain photos":
            photos: Callable[[Any], Iterator[Event]] = volumen.pretrain_photos
            return photos
        case "finetune":
            return volumen.finetune
        case "train reader":
            return volumen.train_reader
        case "train segmenter":
            segmenter: Callable[[Any], Iterator[Event]] = volumen.train_segmenter
            return segmenter
        case "train tagger":
            tagger: Callable[[Any], Iterator[Event]] = volumen.train_tagger
            return tagger
        case "compare ink" | "compare handwriting" | "compare apparel" | "compare characters":
            return volumen.compare
        case "resume":
            return volumen.resume
        case "predict":
            return volumen.predict
        case "evaluate":
            return volumen.evaluate
        case "boxes":
            return boxes
        case "index" | "search" | "suggest":
            found: Callable[[Any], Iterator[Event]]
            found = getattr(importlib.import_module(f"volumen.recipes.finding.{verb}"), verb)
            return found
        case "read":
            return volumen.read
        case "report":
            return volumen.report
        case _:
            raise SettingsError(f"A job file names what to do; {verb!r} only names another file. Give that file.")
