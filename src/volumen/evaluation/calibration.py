"""The threshold that maximises F0.5, scores honest about having chosen it, and how reliable probabilities are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from volumen.evaluation.masks import overlap_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from volumen.evaluation.counts import Confusion, LevelCounts

RELIABILITY_BINS = 16


def best_threshold(counts: LevelCounts) -> float:
    """Return the probability in [0, 1] from which on calling a pixel ink gives the largest F0.5.

    F0.5 weighs precision over recall, as papyrologists do who would rather miss a stroke than read one that is
    not there. The threshold lies halfway between two levels; of equals the one nearest to one half is taken.
    NaN where there is no ink, or no background, to choose by.

    Examples
    --------
    >>> import numpy as np
    >>> from volumen.evaluation.counts import LevelCounts
    >>> level = np.array([[10, 20, 200, 210]], np.uint8)
    >>> counts = LevelCounts.of(level, np.array([[0, 0, 1, 1]]), np.ones((1, 4), bool))
    >>> round(best_threshold(counts) * 255)  # anything in 21…200 separates them; 128 is nearest to one half
    128
    """
    if counts.ink.sum() == 0 or counts.background.sum() == 0:
        return float("nan")
    found = np.cumsum(counts.ink[::-1])[::-1]
    false = np.cumsum(counts.background[::-1])[::-1]
    f05 = 1.25 * found / (1.25 * found + 0.25 * (counts.ink.sum() - found) + false)
    thresholds = (np.arange(counts.levels) - 0.5).clip(0) / (counts.levels - 1)
    best = np.flatnonzero(f05 == f05.max())
    return float(thresholds[best[np.argmin(np.abs(thresholds[best] - 0.5))]])


@dataclass(frozen=True, kw_only=True)
class CrossFit:
    """Thresholds chosen on each half of the blocks, to judge the other half by.

    Parameters
    ----------
    threshold
        Chosen on all blocks: the one to use from now on.
    first, second
        To judge the first and the second fold by; each was chosen on the other.
    crossed
        Whether both folds had ink and background to choose by. Where not, ``threshold`` stands in for both and
        the scores are optimistic.
    """

    threshold: float
    first: float
    second: float
    crossed: bool

    @classmethod
    def choose(cls, first: LevelCounts, second: LevelCounts) -> CrossFit:
        """Choose the thresholds from the counts of two disjoint folds of blocks."""
        threshold = best_threshold(first + second)
        of_first, of_second = best_threshold(first), best_threshold(second)
        if np.isnan(of_first) or np.isnan(of_second):
            return cls(threshold=threshold, first=threshold, second=threshold, crossed=False)
        return cls(threshold=threshold, first=of_second, second=of_first, crossed=True)

    def judge(self, first: LevelCounts, second: LevelCounts) -> Confusion:
        """Call ink in each fold by the threshold that the other chose; counts of any leading shape."""
        return first.at(self.first) + second.at(self.second)

    def scores(self, first: LevelCounts, second: LevelCounts) -> dict[str, NDArray[np.float64]]:
        """Return the overlap scores of both folds together, without optimism from choosing the threshold.

        Where there was nothing to choose a threshold by, they are all NaN.
        """
        if np.isnan(self.threshold):
            return {name: np.full_like(value, np.nan) for name, value in overlap_scores(first.at(0.5)).items()}
        return overlap_scores(self.judge(first, second))


class Folds:
    """Draws each block into one of two folds, so that both get half of those with ink and half of those without.

    Blocks must come in one order; how many come at a time does not change the result.
    """

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._owed: dict[bool, int | None] = {True: None, False: None}

    def draw(self, counts: LevelCounts) -> NDArray[np.bool_]:
        """Return for each of (blocks, levels) whether it is in the second fold."""
        inked = counts.ink.sum(axis=-1) > 0
        return np.array([self._next(bool(has_ink)) for has_ink in inked], dtype=np.bool_)

    def _next(self, has_ink: bool) -> bool:
        """Toss a coin for the first block of each pair; its partner goes to the other fold."""
        owed = self._owed[has_ink]
        if owed is not None:
            self._owed[has_ink] = None
            return bool(owed)
        fold = int(self._random.integers(2))
        self._owed[has_ink] = 1 - fold
        return bool(fold)


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """What share of the pixels was ink where the map said ``probability``, bin by bin; empty bins are left out."""

    probability: NDArray[np.float64]
    ink_share: NDArray[np.float64]
    pixels: NDArray[np.float64]


def reliability(counts: LevelCounts, bins: int = RELIABILITY_BINS) -> Reliability:
    """Gather counts of shape (levels,) into equally wide bins of probability."""
    ink, background, mean = _binned(counts, bins)
    pixels = ink + background
    kept = pixels > 0
    return Reliability(probability=mean[kept] / pixels[kept], ink_share=ink[kept] / pixels[kept], pixels=pixels[kept])


def calibration_error(counts: LevelCounts, bins: int = RELIABILITY_BINS) -> NDArray[np.float64]:
    """Return the expected calibration error in [0, 1]: the mean gap between probability and share of ink.

    Weighted by pixels, over equally wide bins (Naeini et al. 2015); counts may have any leading shape.
    """
    ink, background, mean = _binned(counts, bins)
    pixels = (ink + background).sum(axis=-1)
    result = np.full(np.shape(pixels), np.nan)
    np.divide(np.abs(mean - ink).sum(axis=-1), pixels, out=result, where=pixels > 0)
    return result


def _binned(counts: LevelCounts, bins: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return ink, background and summed probability in each bin, (..., bins)."""
    edges = np.arange(bins) * counts.levels // bins
    summed = (counts.ink + counts.background) * counts.probability
    return (
        np.add.reduceat(counts.ink, edges, axis=-1),
        np.add.reduceat(counts.background, edges, axis=-1),
        np.add.reduceat(summed, edges, axis=-1),
    )
