"""line_course: any model of lines taught by any objective, in rounds of as many steps whatever the number of lines."""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from volumen.crops.batches import made_ahead, steps_per_epoch
from volumen.crops.width_buckets import width_buckets
from volumen.errors import SourceError
from volumen.events import Started, Warned
from volumen.recipes.bookkeeping import batch_threads
from volumen.sources.line_list import told
from volumen.training.loop import fit
from volumen.training.optimizers import Rates, adamw, warm_up_cosine

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from lightning_fabric import Fabric
    from torch import Tensor, nn

    from volumen.crops.line_dataset import LineDataset
    from volumen.crops.line_images import LineBatch
    from volumen.events import Event
    from volumen.objectives.terms import LossTerms
    from volumen.settings.lines import LineTraining
    from volumen.training.loop import Outcome
    from volumen.training.run import Run


class LineLearner(Protocol):
    """A model of lines, ready to be taught."""

    @property
    def settings(self) -> LineTraining: ...  # noqa: D102
    @property
    def fabric(self) -> Fabric: ...  # noqa: D102
    @property
    def model(self) -> nn.Module: ...  # noqa: D102
    @property
    def warnings(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def batches(self) -> Callable[[int, int], Iterator[dict[str, Tensor]]]:
        """What is learned from in a round, counted from 0, from a step of it on."""
        ...

    def objective(self, model: nn.Module, batch: Mapping[str, Tensor]) -> LossTerms:
        """Score a batch."""
        ...

    def judge(self, model: nn.Module) -> dict[str, float]:
        """Score what is held out."""
        ...

    def save(self, path: Path, scores: Mapping[str, float]) -> None:
        """Write the weights."""
        ...


def rounds_of(settings: LineTraining) -> tuple[int, int]:
    """Return how many rounds a training has, and how many steps each: as near to what is asked for as they divide.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> rounds_of(SimpleNamespace(steps=1200, score_steps=500))
    (3, 400)
    """
    rounds = -(-settings.steps // settings.score_steps)
    return rounds, -(-settings.steps // rounds)


def line_steps(
    dataset: LineDataset,
    settings: LineTraining,
    fabric: Fabric,
    tensors: Callable[[LineBatch, int], dict[str, Tensor]],
    *,
    twice: bool = False,
) -> Callable[[int, int], Iterator[dict[str, Tensor]]]:
    """Return what `fit` asks for: the batches of a round from a step on.

    Passes over all lines follow each other without a break, each shuffled anew, and are cut into rounds.

    Parameters
    ----------
    tensors
        From a batch of lines and the number of its step, from 0, to what the objective takes; called by the threads
        that make batches while the model computes.
    twice
        Show two views of each line.

    Raises
    ------
    SourceError
        No image can be read any more.
    """
    per_pass = steps_per_epoch(len(dataset), settings.batch)
    _, per_round = rounds_of(settings)

    def rows(start: int) -> Iterator[tuple[int, int, list[int]]]:
        number, first = divmod(start, per_pass)
        while True:
            for row in width_buckets(dataset.widths, settings.batch, seed=settings.seed, epoch=number)[first:]:
                yield number, start, row[fabric.global_rank :: fabric.world_size].tolist()
                start += 1
            number, first = number + 1, 0

    def make(item: tuple[int, int, list[int]]) -> dict[str, Tensor]:
        number, step, row = item
        batch = dataset.batch(row, epoch=number, twice=twice, full=True)
        if batch is None:
            raise SourceError(f"None of the images can be read any more: {told(dataset.skipped)}.")
        made = tensors(batch, step)
        return {name: tensor.pin_memory() for name, tensor in made.items()} if fabric.device.type == "cuda" else made

    def round_from(number: int, first: int) -> Iterator[dict[str, Tensor]]:
        todo = islice(rows(number * per_round + first), per_round - first)
        yield from made_ahead(make, todo, threads=batch_threads(fabric), ahead=2)

    return round_from


def left_out(dataset: LineDataset) -> list[str]:
    """Say which lines cannot be learned from, as far as is known: damage inside an image shows when it is read."""
    return [f"Left out of what is learned from: {reason}: {lines}." for reason, lines in dataset.skipped.items()]


def warn_broken(run: Run, dataset: LineDataset, said: Sequence[str]) -> Iterator[Event]:
    """Record and yield what was found broken of the lines learned from since the training began."""
    for text in left_out(dataset):
        if text not in said:
            warned = Warned(message=text)
            run.record(warned)
            yield warned


def line_course(
    run: Run, learner: LineLearner, *, work: str, detail: Mapping[str, Any], score: str
) -> Generator[Event, None, tuple[Outcome, float]]:
    """Teach a learner, and return how that ended and how many seconds it took.

    What `fit` calls an epoch is a round of ``score_steps`` steps here, so that few lines are learned from for as long
    as many. AdamW's rate rises in a line, then falls along half a cosine.
    """
    began = time.monotonic()
    settings, fabric = learner.settings, learner.fabric
    rounds, per_round = rounds_of(settings)
    total = rounds * per_round
    opening = Started(
        work=work,
        total=total,
        unit="steps",
        device=str(fabric.device),
        detail={**detail, "steps_per_epoch": per_round},
    )
    outcome = yield from fit(
        fabric=fabric,
        model=learner.model,
        objective=learner.objective,
        optimizer=adamw(learner.model, learning_rate=settings.learning_rate, weight_decay=settings.weight_decay),
        rates=lambda step: Rates(
            warm_up_cosine(
                step, steps=total, warm_up=min(settings.warm_up_steps, total // 2), peak=settings.learning_rate
            )
        ),
        batches=learner.batches,
        steps_per_epoch=per_round,
        epochs=rounds,
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
    return outcome, time.monotonic() - began
