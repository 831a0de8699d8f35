"""Results of a comparison: each cell's scores over its seeds, and whether the report's order of the runs holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from volumen.recipes.comparing.ink.cells import Cell
from volumen.recipes.comparing.ink.scoring import FINAL, SCORES
from volumen.recipes.comparing.rows import Row, difference_row, mean_row
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
        mean_row(cell, score, _values(runs, score, epoch), _draws(runs, score, epoch), epoch=epoch)
        for epoch, scores in (("best", SCORES), ("final", FINAL))
        for cell, runs in outcome.items()
        for score in scores
    )


def difference_rows(outcome: Outcome) -> tuple[Row[Cell], ...]:
    """Return, share by share, the differences that the report claims, of the best epoch and then of the last."""
    rows = []
    for epoch, scores in (("best", SCORES), ("final", FINAL)):
        for pair in claims(tuple(outcome)):
            for score in scores:
                first, second = (_values(outcome[cell], score, epoch) for cell in pair)
                one, other = (_draws(outcome[cell], score, epoch) for cell in pair)
                drawn = None if one is None or other is None else (one, other)
                rows.append(difference_row(pair, score, (first, second), drawn, epoch=epoch))
    return tuple(rows)


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


def _draws(runs: Sequence[RunScores], score: str, epoch: str) -> list[NDArray[np.float64]] | None:
    """Return a score in every draw of blocks; only the map of the best epoch is drawn from."""
    if epoch != "best" or any(score not in run.draws for run in runs):
        return None
    return [run.draws[score] for run in runs]
