"""Results of a comparison: each cell's scores over its seeds, and whether the report's order of the runs holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from volumen.evaluation.paired import drawn_interval, mean_interval, paired_difference
from volumen.recipes.comparing.ink.cells import Cell
from volumen.recipes.comparing.ink.scoring import FINAL, SCORES
from volumen.recipes.comparing.rows import Row
from volumen.settings.comparing import RANDOM

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from volumen.recipes.comparing.ink.scoring import RunScores

Outcome = dict[Cell, "tuple[RunScores, ...]"]
"""The runs of every cell, in the order of their seeds."""


def score_rows(outcome: Outcome) -> tuple[Row[Cell], ...]:
    """Return every score of every cell, of the best epoch and then of the last."""
    return tuple(
        Row(
            cell=cell,
            than=None,
            score=score,
            epoch=epoch,
            estimate=mean_interval(values),
            drawn=_drawn(runs, score, epoch),
            values=values,
        )
        for epoch, scores in (("best", SCORES), ("final", FINAL))
        for cell, runs in outcome.items()
        for score in scores
        for values in [_values(runs, score, epoch)]
    )


def difference_rows(outcome: Outcome) -> tuple[Row[Cell], ...]:
    """Return, share by share, the differences that the report claims, of the best epoch and then of the last."""
    return tuple(
        Row(
            cell=better,
            than=worse,
            score=score,
            epoch=epoch,
            estimate=paired_difference(first, second),
            drawn=_drawn(outcome[better], score, epoch, outcome[worse]),
            values=tuple(one - other for one, other in zip(first, second, strict=True)),
        )
        for epoch, scores in (("best", SCORES), ("final", FINAL))
        for better, worse in claims(tuple(outcome))
        for score in scores
        for first, second in [(_values(outcome[cell], score, epoch) for cell in (better, worse))]
    )


def claims(cells: Sequence[Cell]) -> Iterator[tuple[Cell, Cell]]:
    """Yield (better, worse) as the report orders the four runs, for every encoder file at every share.

    Random weights frozen are worst, pretrained ones frozen better, random ones trained better still, and pretrained
    ones trained best. Where training is also done without augmentation, that is claimed to be worse.
    """
    by_name = {(cell.share, cell.encoder, cell.frozen): cell for cell in cells if cell.augmented}
    for share in dict.fromkeys(cell.share for cell in cells):
        encoders = dict.fromkeys(cell.encoder for cell in cells if cell.encoder != RANDOM)
        frozen, full = by_name[share, RANDOM, True], by_name[share, RANDOM, False]
        for encoder in encoders:
            mine_frozen, mine_full = by_name[share, encoder, True], by_name[share, encoder, False]
            yield from ((mine_frozen, frozen), (full, mine_frozen), (mine_full, full))
        if not encoders:
            yield (full, frozen)
    for cell in cells:
        if not cell.augmented:
            yield (by_name[cell.share, cell.encoder, cell.frozen], cell)


def _values(runs: Sequence[RunScores], score: str, epoch: str) -> tuple[float, ...]:
    return tuple((run.best if epoch == "best" else run.final)[score] for run in runs)


def _drawn(
    runs: Sequence[RunScores], score: str, epoch: str, less: Sequence[RunScores] | None = None
) -> tuple[float, float]:
    """Return the interval over blocks; only the map of the best epoch is drawn from."""
    if epoch != "best" or any(score not in run.draws for run in runs):
        return (float("nan"), float("nan"))
    return drawn_interval(_draws(runs, score), None if less is None else _draws(less, score))


def _draws(runs: Sequence[RunScores], score: str) -> list[NDArray[np.float64]]:
    return [run.draws[score] for run in runs]
