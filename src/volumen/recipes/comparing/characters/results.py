"""Results of a comparison for characters: each cell's overlaps over its seeds, and what its claims come to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from volumen.evaluation.photo_overlap import SCORES
from volumen.recipes.comparing.rows import Row, difference_row, mean_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from volumen.recipes.comparing.characters.cells import CharacterCell
    from volumen.recipes.comparing.characters.scoring import Outcome


def score_rows(outcome: Outcome) -> tuple[Row[CharacterCell], ...]:
    """Return every overlap of every cell."""
    return tuple(
        mean_row(cell, score, [run.scores[score] for run in runs], [run.draws[score] for run in runs])
        for cell, runs in outcome.items()
        for score in SCORES
    )


def difference_rows(outcome: Outcome) -> tuple[Row[CharacterCell], ...]:
    """Return the differences that `claims` names. Pairs are the runs of a seed, scored on the same photographs."""
    rows = []
    for pair in claims(outcome):
        ours, theirs = (outcome[cell] for cell in pair)
        for score in SCORES:
            values = ([run.scores[score] for run in ours], [run.scores[score] for run in theirs])
            drawn = ([run.draws[score] for run in ours], [run.draws[score] for run in theirs])
            rows.append(difference_row(pair, score, values, drawn))
    return tuple(rows)


def claims(cells: Iterable[CharacterCell]) -> Iterator[tuple[CharacterCell, CharacterCell]]:
    """Yield (better, worse): each model above those named before it, of one loss; the first loss above the others."""
    every = list(cells)
    for loss in dict.fromkeys(cell.loss for cell in every):
        alike = [cell for cell in every if cell.loss == loss]
        for number, better in enumerate(alike):
            yield from ((better, worse) for worse in alike[:number])
    for model in dict.fromkeys(cell.model for cell in every):
        first, *others = [cell for cell in every if cell.model == model]
        yield from ((first, other) for other in others)
