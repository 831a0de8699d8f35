"""Tally: the running counts of one scope, band by band, and the scores and intervals that come of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from volumen.evaluation.calibration import CrossFit, Folds, calibration_error
from volumen.evaluation.counts import LevelCounts
from volumen.evaluation.intervals import BlockBootstrap, percentile_interval
from volumen.evaluation.masks import cross_entropy, rank_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from volumen.evaluation.masks import Scores


class Tally:
    """Counts of the pixels of one scope, in two folds of blocks, with their bootstrap.

    Bands must come top to bottom, each starting on a multiple of ``block`` and, but for the last, ending on one.
    Memory does not grow with the image.

    Parameters
    ----------
    block
        Side of a block in px; folds and bootstrap draw blocks.
    draws
        Draws of the bootstrap.
    seed
        Seed of the folds and of the bootstrap.

    Examples
    --------
    >>> import numpy as np
    >>> ink = np.zeros((64, 64)); ink[:, ::2] = 1
    >>> tally = Tally(block=16, draws=50, seed=0)
    >>> tally.add((200 * ink).astype(np.uint8), ink, np.ones((64, 64), bool))
    >>> scores = tally.scores()
    >>> scores["auc"], scores["auc_low"], scores["f05"]
    (1.0, 1.0, 1.0)
    """

    def __init__(self, *, block: int, draws: int, seed: int) -> None:
        self._block = block
        self._folds = Folds(seed)
        self._boots = (BlockBootstrap(draws=draws, seed=seed + 1), BlockBootstrap(draws=draws, seed=seed + 2))
        nothing = np.zeros(256)
        empty = LevelCounts(ink=nothing, background=nothing, soft=nothing)
        self._counts = [empty, empty]

    def add(self, level: NDArray[np.uint8], ink: NDArray[np.generic], counted: NDArray[np.bool_]) -> None:
        """Take in a YX band: 8-bit probability, soft label in [0, 1], and which pixels are of this scope."""
        if not counted.any():
            return
        blocks = LevelCounts.per_block(level, ink, counted, block=self._block)
        blocks = _pick(blocks, blocks.pixels > 0)
        in_second = self._folds.draw(blocks)
        for fold, chosen in enumerate((~in_second, in_second)):
            part = _pick(blocks, chosen)
            self._boots[fold].add(part)
            total = LevelCounts(
                ink=part.ink.sum(axis=0), background=part.background.sum(axis=0), soft=part.soft.sum(axis=0)
            )
            self._counts[fold] = self._counts[fold] + total

    @property
    def counts(self) -> LevelCounts:
        """All pixels so far, of shape (256,)."""
        return self._counts[0] + self._counts[1]

    @property
    def blocks(self) -> int:
        """How many blocks held a pixel of this scope."""
        return self._boots[0].blocks + self._boots[1].blocks

    def cross_fit(self) -> CrossFit:
        """Return the threshold of this scope, and those that judge each fold."""
        return CrossFit.choose(*self._counts)

    def scores(self, threshold: float | None = None) -> dict[str, float]:
        """Return every score with its 95 % interval (``_low``, ``_high``), and how much was scored.

        Parameters
        ----------
        threshold
            Probability in [0, 1] from which a pixel is called ink. If not given, it is chosen on this scope,
            on half of the blocks for the other half, so that the scores are not optimistic. The intervals take
            the thresholds as given.
        """
        fit = self._fit(threshold)
        points, draws = _all_scores(fit, *self._counts), self.draws(threshold)
        result: dict[str, float] = {}
        for name, point in points.items():
            low, high = percentile_interval(draws[name])
            result |= {name: float(point), f"{name}_low": low, f"{name}_high": high}
        counts = self.counts
        pixels = float(counts.pixels)
        share = float(counts.ink.sum()) / pixels if pixels else float("nan")
        return {**result, "threshold": fit.threshold, "pixels": pixels, "ink_share": share, "blocks": self.blocks}

    def draws(self, threshold: float | None = None) -> Scores:
        """Return every score in each draw of the bootstrap, (draws,); ``threshold`` as in `scores`.

        Draw k of two maps that were counted over the same pixels with the same seed is of the same blocks, so the
        difference of their scores in it is a paired one.
        """
        return _all_scores(self._fit(threshold), self._boots[0].counts, self._boots[1].counts)

    def _fit(self, threshold: float | None) -> CrossFit:
        if threshold is None:
            return self.cross_fit()
        return CrossFit(threshold=threshold, first=threshold, second=threshold, crossed=False)


def _all_scores(fit: CrossFit, first: LevelCounts, second: LevelCounts) -> Scores:
    """Return all scores of counts of any leading shape, the first fold and the second."""
    both = first + second
    return {
        **rank_scores(both),
        **fit.scores(first, second),
        "bce": cross_entropy(both),
        "ece": calibration_error(both),
    }


def _pick(counts: LevelCounts, chosen: NDArray[np.bool_]) -> LevelCounts:
    return LevelCounts(ink=counts.ink[chosen], background=counts.background[chosen], soft=counts.soft[chosen])
