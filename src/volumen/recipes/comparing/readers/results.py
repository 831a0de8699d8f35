"""Results of a comparison of readers: each cell's scores over its seeds, and what pretraining changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from volumen.recipes.comparing.readers.scoring import SCORES
from volumen.recipes.comparing.rows import Row, difference_row, mean_row
from volumen.settings.comparing import RANDOM

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
    """Return each pretrained cell's scores minus those of random weights of its decoder, share and mode.

    The claim is that pretraining is better. Pairs are the runs of a seed: they learn from the same lines.
    """
    rows = []
    for cell in outcome:
        if cell.encoder == RANDOM:
            continue
        ours, theirs = outcome[cell], outcome[cell.random]
        for score in SCORES:
            values = ([run.scores[score] for run in ours], [run.scores[score] for run in theirs])
            drawn = ([run.draws[score] for run in ours], [run.draws[score] for run in theirs])
            rows.append(difference_row((cell, cell.random), score, values, drawn))
    return tuple(rows)
