"""Results of a comparison of readers: each cell's scores over its seeds, and every difference of two."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from volumen.recipes.comparing.readers.scoring import SCORES
from volumen.recipes.comparing.rows import Row, difference_row, mean_row

if TYPE_CHECKING:
    from volumen.recipes.comparing.readers.cells import ReaderCell
    from volumen.recipes.comparing.readers.scoring import Outcome


def score_rows(outcome: Outcome) -> tuple[Row[ReaderCell], ...]:
    """Return every score of every cell."""
    return tuple(
        mean_row(cell, score, [run.scores[score] for run in runs], [run.draws[score] for run in runs])
        for cell, runs in outcome.items()
        for score in SCORES
    )


def difference_rows(outcome: Outcome) -> tuple[Row[ReaderCell], ...]:
    """Return the differences of every two cells of a decoder, share and mode: the later in the list minus the earlier.

    Random weights are first, so that every pretraining is held against them. The claim is that the later is better.
    Pairs are the runs of a seed: they learn from the same lines.
    """
    rows = []
    for worse, better in combinations(outcome, 2):
        if not better.differs_in_weights(worse):
            continue
        ours, theirs = outcome[better], outcome[worse]
        for score in SCORES:
            values = ([run.scores[score] for run in ours], [run.scores[score] for run in theirs])
            drawn = ([run.draws[score] for run in ours], [run.draws[score] for run in theirs])
            rows.append(difference_row((better, worse), score, values, drawn))
    return tuple(rows)
