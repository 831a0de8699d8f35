"""Course: any model taught by any objective in epochs or rounds, scored after each; what every learner offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from volumen.events import Started, Warned
from volumen.training.loop import fit
from volumen.training.optimizers import adamw

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping
    from pathlib import Path
    from typing import Any

    from lightning_fabric import Fabric
    from torch import Tensor, nn

    from volumen.events import Event
    from volumen.objectives.terms import LossTerms
    from volumen.training.loop import Outcome
    from volumen.training.optimizers import Rates
    from volumen.training.run import Run


class CourseSettings(Protocol):
    """What settings of a training say, whatever it learns."""

    @property
    def learning_rate(self) -> float: ...  # noqa: D102
    @property
    def weight_decay(self) -> float: ...  # noqa: D102
    @property
    def clip_norm(self) -> float: ...  # noqa: D102
    @property
    def patience(self) -> int: ...  # noqa: D102
    @property
    def save_seconds(self) -> float: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102


class Learner(Protocol):
    """A model, ready to be taught."""

    @property
    def settings(self) -> CourseSettings: ...  # noqa: D102
    @property
    def fabric(self) -> Fabric: ...  # noqa: D102
    @property
    def model(self) -> nn.Module: ...  # noqa: D102
    @property
    def warnings(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def batches(self) -> Callable[[int, int], Iterator[dict[str, Tensor]]]:
        """What is learned from in an epoch, counted from 0, from a step of it on."""
        ...

    def objective(self, model: nn.Module, batch: Mapping[str, Tensor]) -> LossTerms:
        """Score a batch."""
        ...

    def judge(self, model: nn.Module) -> dict[str, float]:
        """Score what is held out: ``loss``, and what else there is to know."""
        ...

    def save(self, path: Path, scores: Mapping[str, float]) -> None:
        """Write the weights."""
        ...


def course(
    run: Run,
    learner: Learner,
    *,
    work: str,
    detail: Mapping[str, Any],
    score: str,
    epochs: int,
    steps_per_epoch: int,
    rates: Callable[[int], Rates],
    lr_scales: Mapping[str, float] | None = None,
) -> Generator[Event, None, Outcome]:
    """Teach a learner with AdamW, which is Adam where nothing decays.

    Parameters
    ----------
    run
        Where it is recorded.
    work, detail
        What `Started` says.
    score
        Held-out score that says which weights are best.
    epochs, steps_per_epoch
        How long.
    rates
        From the step, counted from 0, to its rates.
    lr_scales
        What the rate of some children of the model is multiplied by, by their names.

    Returns
    -------
    Outcome
        How it ended.
    """
    settings, fabric = learner.settings, learner.fabric
    opening = Started(
        work=work,
        total=steps_per_epoch * epochs,
        unit="steps",
        device=str(fabric.device),
        detail={**detail, "steps_per_epoch": steps_per_epoch},
    )
    return (
        yield from fit(
            fabric=fabric,
            model=learner.model,
            objective=learner.objective,
            optimizer=adamw(
                learner.model,
                learning_rate=settings.learning_rate,
                weight_decay=settings.weight_decay,
                lr_scales=lr_scales,
            ),
            rates=rates,
            batches=learner.batches,
            steps_per_epoch=steps_per_epoch,
            epochs=epochs,
            validate=lambda model, _: learner.judge(model),
            score=score,
            patience=settings.patience,
            run=run,
            save_best=lambda path, _, scores: learner.save(path, scores),
            clip_norm=settings.clip_norm,
            save_seconds=settings.save_seconds,
            seed=settings.seed,
            opening=[opening, *(Warned(message=text) for text in learner.warnings)],
        )
    )
