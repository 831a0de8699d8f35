"""photo_course: any model of photographs taught by any objective, its rate cut where the held-out loss levels off."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from volumen.events import Scored
from volumen.recipes.course import Learner, course
from volumen.training.optimizers import Rates, plateau

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from typing import Any

    from lightning_fabric import Fabric

    from volumen.events import Event
    from volumen.settings.photos import PhotoTraining
    from volumen.training.loop import Outcome
    from volumen.training.run import Run


class PhotoLearner(Learner, Protocol):
    """A model of photographs, ready to be taught."""

    @property
    def settings(self) -> PhotoTraining: ...  # noqa: D102

    @property
    def steps_per_epoch(self) -> int:
        """How many batches see every photograph once."""
        ...


class PlateauRates:
    """Learning rates by step, cut where the held-out losses that a run recorded have levelled off.

    They follow from the run's events alone, so a resumed run has the same. On several devices every process asks for
    the rate of the same step, and is told what the first one read.

    Parameters
    ----------
    run
        Where the scores of each epoch are recorded before its next step.
    fabric
        The devices.
    steps_per_epoch
        When an epoch ends.
    peak
        Rate at first.
    patience
        Cut it after so many epochs without a lower loss; 0 never does.
    """

    def __init__(self, run: Run, fabric: Fabric, *, steps_per_epoch: int, peak: float, patience: int) -> None:
        self._run, self._fabric = run, fabric
        self._steps_per_epoch, self._peak, self._patience = steps_per_epoch, peak, patience
        self._epoch, self._rate = -1, peak

    def __call__(self, step: int) -> Rates:
        """Return the rate of a step, counted from 0."""
        epoch = step // self._steps_per_epoch
        if self._patience and epoch != self._epoch:
            losses = self._losses(epoch) if self._fabric.is_global_zero else None
            losses = self._fabric.broadcast(losses)
            self._epoch, self._rate = epoch, plateau(losses or [], peak=self._peak, patience=self._patience - 1)
        return Rates(self._rate)

    def _losses(self, epochs: int) -> list[float]:
        """Return the held-out loss of each of the first epochs."""
        scored = [event for event in self._run.events() if isinstance(event, Scored)]
        losses = (event.scores["loss"] for event in scored if event.step <= epochs)
        return [math.nan if loss is None else loss for loss in losses]  # a run records NaN as null


def photo_course(
    run: Run, learner: PhotoLearner, *, work: str, detail: Mapping[str, Any], score: str
) -> Generator[Event, None, Outcome]:
    """Teach a learner with Adam, and return how that ended."""
    settings, steps = learner.settings, learner.steps_per_epoch
    peak, patience = settings.learning_rate, settings.plateau
    return (
        yield from course(
            run,
            learner,
            work=work,
            detail=detail,
            score=score,
            epochs=settings.epochs,
            steps_per_epoch=steps,
            rates=PlateauRates(run, learner.fabric, steps_per_epoch=steps, peak=peak, patience=patience),
        )
    )
