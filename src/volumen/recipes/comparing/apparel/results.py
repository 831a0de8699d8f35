"""Results of a comparison of encoders: the scores of each route over its seeds, and every difference of two."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from volumen.evaluation.paired import verdict_of
from volumen.evaluation.retrieval import resampled_means
from volumen.recipes.comparing.apparel.cells import ApparelCell
from volumen.recipes.comparing.apparel.scoring import MASKS, TAGGING
from volumen.recipes.comparing.rows import Row, difference_row, mean_row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from volumen.evaluation.paired import Verdict
    from volumen.recipes.comparing.apparel.scoring import ApparelScores, Finds, Outcome

PRETEXTS = {
    "rotation": ("accuracy", "loss"),
    "triplet": ("overlap", "loss", "alignment", "uniformity", "effective_rank"),
    "spark": ("loss", "mean_patch", "inpaint", "effective_rank"),
}
"""What is told of each pretext task."""

WHOLE, MASKED, MASKING = "overlap", "overlap_masked", "masking"
"""Overlap of what is found in whole photographs, in those without their background, and their difference."""

CHANCE = ApparelCell(name="chance", work="nothing")
"""What photographs drawn at random come to."""


def score_rows(outcome: Outcome) -> tuple[Row[ApparelCell], ...]:
    """Return every score of every route."""
    return tuple(mean_row(cell, score, *_of(runs, score)) for cell, runs in outcome.items() for score in _scores(cell))


def difference_rows(outcome: Outcome) -> tuple[Row[ApparelCell], ...]:
    """Return the differences of all pairs of taggers, those that come later in the list minus those before."""
    taggers = [cell for cell in outcome if cell.work == "tagger"]
    rows = []
    for worse, better in combinations(taggers, 2):
        for score in TAGGING[:4]:
            (ours, our_draws), (theirs, their_draws) = (_of(outcome[cell], score) for cell in (better, worse))
            drawn = (our_draws, their_draws) if our_draws is not None and their_draws is not None else None
            rows.append(difference_row((better, worse), score, (ours, theirs), drawn))
    return tuple(rows)


def retrieval_rows(
    whole: Finds, masked: Finds, chance: NDArray[np.float64], *, resamples: int
) -> tuple[Row[ApparelCell], ...]:
    """Return the overlap of what each encoder finds, and the difference of every two, by a paired bootstrap of queries.

    Parameters
    ----------
    whole, masked
        What was found in photographs as they are and without their background; the second may be empty.
    chance
        Exact overlap of photographs drawn at random, (queries,).
    """
    rows = []
    for score, finds in ((WHOLE, whole), (MASKED, masked)):
        if not finds:
            continue
        values = {cell: [found.overlap for found in runs] for cell, runs in finds.items()}
        values[CHANCE] = [chance] * len(next(iter(values.values())))
        for cell, overlaps in values.items():
            rows.append(mean_row(cell, score, *_means(overlaps, resamples)))
        for worse, better in combinations((CHANCE, *finds), 2):
            rows.append(_difference((better, worse), score, values[better], values[worse], resamples))
    for cell in masked:
        pair = ([found.overlap for found in masked[cell]], [found.overlap for found in whole[cell]])
        rows.append(_difference((cell, cell), MASKING, *pair, resamples))
    return tuple(rows)


def deviation(finds: Finds, cell: ApparelCell) -> float:
    """Return the standard deviation of the overlap over queries, its mean over seeds."""
    return float(np.mean([np.nanstd(found.overlap) for found in finds[cell]]))


def drawn_verdict(row: Row[ApparelCell]) -> Verdict:
    """Say whether a difference is shown by its whole interval over the photographs, these runs given."""
    return verdict_of(*row.drawn)


def _scores(cell: ApparelCell) -> tuple[str, ...]:
    return {"tagger": TAGGING, "segmenter": MASKS, **PRETEXTS}.get(cell.work, ())


def _of(runs: Sequence[ApparelScores], score: str) -> tuple[list[float], list[NDArray[np.float64]] | None]:
    """Return a score of runs, and its draws where there are some."""
    values = [run.scores.get(score, float("nan")) for run in runs]
    return values, [run.draws[score] for run in runs] if all(score in run.draws for run in runs) else None


def _means(overlaps: Sequence[NDArray[np.float64]], resamples: int) -> tuple[list[float], list[NDArray[np.float64]]]:
    means = [float(np.nanmean(each)) for each in overlaps]
    return means, [resampled_means(each, draws=resamples) for each in overlaps]


def _difference(
    cells: tuple[ApparelCell, ApparelCell],
    score: str,
    ours: Sequence[NDArray[np.float64]],
    theirs: Sequence[NDArray[np.float64]],
    resamples: int,
) -> Row[ApparelCell]:
    """Return a difference query by query, so that a query without an overlap is left out of both."""
    paired = [one - other for one, other in zip(ours, theirs, strict=True)]
    kept = [
        (np.where(np.isfinite(gap), one, np.nan), np.where(np.isfinite(gap), other, np.nan))
        for gap, one, other in zip(paired, ours, theirs, strict=True)
    ]
    (our_means, our_draws), (their_means, their_draws) = (_means([each[i] for each in kept], resamples) for i in (0, 1))
    return difference_row(cells, score, (our_means, their_means), (our_draws, their_draws))


def matrix_lines(rows: Sequence[Row[ApparelCell]]) -> Iterator[Row[ApparelCell]]:
    """Yield the differences of two encoders that were both used, without those from chance and of masking."""
    for row in rows:
        if row.than is not None and row.than != CHANCE and row.than != row.cell:
            yield row
