"""line_course: any model of lines taught by any objective, in rounds of as many steps whatever the number of lines."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Protocol

from volumen.crops.batches import made_ahead, steps_per_epoch
from volumen.crops.width_buckets import width_buckets
from volumen.errors import SourceError
from volumen.events import Warned
from volumen.recipes.bookkeeping import batch_threads
from volumen.recipes.course import Learner, course
from volumen.sources.left_out import told
from volumen.training.optimizers import Rates, warm_up_cosine

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from typing import Any

    from lightning_fabric import Fabric
    from torch import Tensor

    from volumen.crops.line_dataset import LineDataset
    from volumen.crops.line_images import LineBatch
    from volumen.events import Event
    from volumen.settings.lines import LineTraining
    from volumen.training.loop import Outcome
    from volumen.training.run import Run

LEARNED, HELD_OUT, TEST = "lines to learn from", "held-out lines", "test lines"  # parts, as warnings call them


class LineLearner(Learner, Protocol):
    """A model of lines, ready to be taught."""

    @property
    def settings(self) -> LineTraining: ...  # noqa: D102


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
    threads = batch_threads(fabric)

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
        yield from made_ahead(make, todo, threads=threads, ahead=threads + 1)

    return round_from


def left_out(dataset: LineDataset, part: str) -> list[str]:
    """Say which lines of a part cannot be used, as far as is known: damage inside an image shows when it is read."""
    return [f"Left out of the {part}: {reason}: {lines}." for reason, lines in dataset.skipped.items()]


def warn_broken(run: Run, dataset: LineDataset, said: Sequence[str], part: str) -> Iterator[Event]:
    """Record and yield what was found broken of a part's lines since the training began."""
    for text in left_out(dataset, part):
        if text not in said:
            warned = Warned(message=text)
            run.record(warned)
            yield warned


def line_course(
    run: Run,
    learner: LineLearner,
    *,
    work: str,
    detail: Mapping[str, Any],
    score: str,
    lr_scales: Mapping[str, float] | None = None,
) -> Generator[Event, None, Outcome]:
    """Teach a learner, and return how that ended.

    What `fit` calls an epoch is a round of ``score_steps`` steps here, so that few lines are learned from for as long
    as many. AdamW's rate rises in a line, then falls along half a cosine.
    """
    settings = learner.settings
    rounds, per_round = rounds_of(settings)
    total = rounds * per_round
    warm_up = min(settings.warm_up_steps, total // 2)
    return (
        yield from course(
            run,
            learner,
            work=work,
            detail=detail,
            score=score,
            epochs=rounds,
            steps_per_epoch=per_round,
            rates=lambda step: Rates(warm_up_cosine(step, steps=total, warm_up=warm_up, peak=settings.learning_rate)),
            lr_scales=lr_scales,
        )
    )
