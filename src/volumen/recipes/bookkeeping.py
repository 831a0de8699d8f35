"""How every training is begun, recorded, gone on with and concluded, whatever it learns."""

from __future__ import annotations

import os
import platform
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch

from volumen.crops.batches import batches
from volumen.drafts import clear_drafts
from volumen.errors import SettingsError, SourceError
from volumen.events import Finished, Scored
from volumen.recipes.first_weights import first_digests
from volumen.run_folder import RECIPE
from volumen.settings.command import absolute
from volumen.settings.job_file import JobFile
from volumen.settings.verbs import verb_of
from volumen.training.devices import first_process, open_fabric
from volumen.training.run import Run, check_free

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from lightning_fabric import Fabric
    from torch import Tensor

    from volumen.crops.batches import Samples
    from volumen.events import Event
    from volumen.settings.base import Settings
    from volumen.settings.computing import Computing
    from volumen.training.loop import Outcome

    L = TypeVar("L", bound="Learner")

_PACKAGES = ("volumen", "torch", "numpy", "segmentation-models-pytorch", "timm", "zarr")
_FREE = ("resume", "overwrite", "out", "save_seconds", "memory_fraction")  # what may differ when a run is gone on with


def recipe_of(settings: Settings, identities: Sequence[Mapping[str, Any]], **found: Any) -> dict[str, Any]:
    """Say everything that is needed to do the work again, and what was found out before it began."""
    return {
        "verb": verb_of(settings),
        "settings": settings.recorded(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "segments": list(identities),
        **found,
    }


def begun(settings: Any) -> Run | None:
    """Return the run at the output path where ``settings.resume`` says to go on with it; else see that one can be made.

    Weights to start from may have been moved: they are known by what is in the file.

    Raises
    ------
    SettingsError
        The run there was begun with other settings, which the message lists.
    OutputExistsError
        Something is there, and is neither to be gone on with nor to be overwritten.
    """
    path = Path(settings.out)
    if not settings.resume or not path.exists():
        if first_process():  # the others may come when it has made the run
            check_free(path, overwrite=settings.overwrite)
        return None
    if first_process():
        clear_drafts(path)
    run, verb = Run.open(path), verb_of(settings)
    job = JobFile.read(path / RECIPE)
    if job.verb != verb:
        raise SettingsError(
            f"{path} is a run of `volumen {job.verb}`, not of `volumen {verb}`. "
            f"Give another path, or go on with it: `volumen resume {path}`."
        )
    before, now = job.settings.recorded(), settings.recorded()
    differing = [name for name, value in now.items() if name not in _FREE and before[name] != value]
    moved = _moved(run, settings) if differing else ()
    changed = [f"{name} was {before[name]!r}, now {now[name]!r}" for name in differing if name not in moved]
    if changed:
        raise SettingsError(
            f"{path} was begun with other settings: {'; '.join(changed)}. "
            f"Give those again, or `volumen resume {path}`, or begin another run."
        )
    return run


def _moved(run: Run, settings: Any) -> list[str]:
    """Return which settings name weights that are those that the run was begun with, wherever they are."""
    then = run.recipe.get("weights")
    known = then if isinstance(then, dict) else {}
    return [name for name, found in first_digests(settings).items() if known.get(name) == found]


def check_identities(run: Run, now: Sequence[Mapping[str, Any]]) -> None:
    """Raise a `SourceError` where the data are not those that the run was begun with."""
    then = run.said("segments", list)
    if len(then) != len(now):
        raise SourceError(
            f"{run.path} was begun with {len(then)} segments; there are {len(now)}. "
            "Give those again, or begin another run."
        )
    for before, after in zip(then, now, strict=True):
        if before != after:
            told = before if isinstance(before, dict) else {}
            changed = ", ".join(key for key in after if told.get(key) != after[key])
            raise SourceError(
                f"{after['source']} is not what the run was begun with: {changed} changed. "
                f"Bring the former data back, or begin another run."
            )


def check_first_weights(run: Run, now: Mapping[str, str]) -> None:
    """Raise a `SourceError` where the weights to start from are not those that the run was begun with.

    It matters where the encoder is frozen: its features are computed again whenever a run is gone on with. Else the
    saved state has everything.

    Parameters
    ----------
    now
        From `first_digests`. Runs of former versions, which do not say what they began with, pass.
    """
    then = run.recipe.get("weights")
    for name, digest in now.items():
        if isinstance(then, dict) and then.get(name, digest) != digest:
            raise SourceError(
                f"{run.settings.get(name)} is not what the run was begun with: the weights in it changed. "
                f"Bring the former file back, or begin another run."
            )


def fabric_of(settings: Computing) -> Fabric:
    """Start the devices' processes that settings ask for, as `volumen.training.devices.open_fabric` does."""
    return open_fabric(
        device=settings.device,
        devices=settings.devices,
        num_nodes=settings.num_nodes,
        precision=settings.precision,
        memory_fraction=settings.memory_fraction,
    )


class Learner(Protocol):
    """What is ready to be trained: everything that can fail has been done."""

    @property
    def fabric(self) -> Fabric:
        """Devices to train on, launched."""
        ...

    @property
    def identities(self) -> Sequence[Mapping[str, Any]]:
        """What the data are; a run resumes only on the same."""
        ...

    @property
    def found(self) -> Mapping[str, Any]:
        """What was found out about the data, for the record."""
        ...


def carry_out(
    settings: Any, *, prepare: Callable[[Any], L], train: Callable[[Run, L], Iterator[Event]]
) -> Iterator[Event]:
    """Begin a run at the output path, or go on with the one that is there; one that is finished only says so again.

    Only one process at a time does, with those that it starts for its devices; another gets an `InUseError` that
    names it.

    Parameters
    ----------
    settings
        Of a verb that trains.
    prepare
        From the settings to a learner: what can fail does so before a run is made.
    train
        Carries the training out in its run.

    Raises
    ------
    SettingsError, OutputExistsError
        What `begun` raises.
    SourceError
        The data, or the weights to start from, are not those that the run was begun with.
    InUseError
        Another process writes the run.
    """
    settings = absolute(settings)
    run = begun(settings)
    if run is not None and run.finished:
        yield from [event for event in run.events() if isinstance(event, Finished)][-1:]
        return
    with ExitStack() as held:
        if run is not None and first_process():
            held.enter_context(run.sole_writer())
        if run is not None and getattr(settings, "freeze", False):
            check_first_weights(run, first_digests(settings))
        learner = prepare(settings)
        if run is not None:
            check_identities(run, learner.identities)
        elif learner.fabric.is_global_zero:
            found = {**learner.found, "weights": first_digests(settings)}
            recipe = recipe_of(settings, learner.identities, **found)
            held.enter_context(Run.create(settings.out, recipe, overwrite=settings.overwrite).sole_writer())
        learner.fabric.barrier()
        yield from train(Run.open(settings.out), learner)


def conclude(run: Run, outcome: Outcome, **found: Any) -> Iterator[Event]:
    """Record and yield the end of a training, with what else was found."""
    finished = Finished(
        result={
            "run": str(run.path),
            "checkpoint": str(run.best_path),
            "epochs": outcome.epochs,
            "best_epoch": outcome.stopping.best_epoch,
            "stopped_early": outcome.stopped_early,
            "scores": _best_scores(run, outcome.stopping.best_epoch),
            **found,
            "seconds": outcome.seconds,
        }
    )
    run.record(finished)
    yield finished


def _best_scores(run: Run, epoch: int) -> Mapping[str, float]:
    """Read the scores of the best epoch back from the run's events, the one place where they are kept."""
    return next((e.scores for e in run.events() if isinstance(e, Scored) and e.step == epoch), {})


def epochs_of(dataset: Samples, *, batch: int, fabric: Fabric) -> Callable[[int, int], Iterator[dict[str, Tensor]]]:
    """Return what `fit` asks for: this process's batches of an epoch (from 0) from a step on."""
    threads = batch_threads(fabric)
    return lambda epoch, first: batches(
        dataset,
        epoch=epoch,
        start_step=first,
        batch=batch,
        rank=fabric.global_rank,
        world_size=fabric.world_size,
        threads=threads,
        ahead=threads + 1,  # every thread has one to make while the next is ready
        pin=fabric.device.type == "cuda",
    )


def batch_threads(fabric: Fabric) -> int:
    """Return how many threads make batches: on a CPU the model needs the cores, on a GPU they would be idle."""
    cores = os.cpu_count() or 1
    return 1 if fabric.device.type == "cpu" else max(1, cores // (2 * torch.cuda.device_count() or 2))
