"""Block-bootstrap intervals, in memory that does not grow with the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from volumen.errors import SettingsError
from volumen.evaluation.counts import LevelCounts

if TYPE_CHECKING:
    from numpy.typing import NDArray


class BlockBootstrap:
    """Resampled counts of blocks, gathered as the blocks stream by.

    Neighbouring pixels are not independent, so blocks of pixels are drawn, not pixels. Every block weighs into
    each draw with its own Poisson(1) number of copies: the bootstrap for streams, which needs the running sums
    only and never all blocks at once (Hanley and MacGibbon 2006; Chamandy et al. 2012). Blocks must come in one
    order; how many come at a time does not change the result.

    Parameters
    ----------
    draws
        Number of resampled sets, such as 200.
    seed
        Same seed and same blocks, same intervals.
    levels
        Levels of the counts.

    Examples
    --------
    >>> import numpy as np
    >>> one = np.ones((5, 256))
    >>> bootstrap = BlockBootstrap(draws=10, seed=0)
    >>> bootstrap.add(LevelCounts(ink=one, background=one, soft=one))
    >>> bootstrap.counts.ink.shape, bootstrap.blocks
    ((10, 256), 5)
    """

    def __init__(self, *, draws: int, seed: int, levels: int = 256) -> None:
        if draws < 1:
            raise SettingsError(f"A bootstrap needs at least one draw; got {draws}.")
        self.blocks = 0
        self._draws = draws
        self._random = np.random.default_rng(seed)
        self._sums = np.zeros((draws, 3 * levels))

    def add(self, counts: LevelCounts) -> None:
        """Take in blocks: counts of shape (blocks, levels). Blocks without a pixel are passed over."""
        kept = counts.pixels > 0
        rows = np.concatenate([counts.ink[kept], counts.background[kept], counts.soft[kept]], axis=-1)
        copies = self._random.poisson(1.0, size=(len(rows), self._draws))
        self._sums += copies.T.astype(np.float64) @ rows
        self.blocks += len(rows)

    @property
    def counts(self) -> LevelCounts:
        """Counts of every draw, of shape (draws, levels)."""
        ink, background, soft = np.split(self._sums, 3, axis=-1)
        return LevelCounts(ink=ink, background=background, soft=soft)


def percentile_interval(values: NDArray[np.float64], share: float = 0.95) -> tuple[float, float]:
    """Return the interval that holds the middle ``share`` of the draws of a score.

    Draws in which the score is undefined are left out; when they are more than half, the interval is (NaN, NaN).
    With fewer than about 20 blocks, percentile intervals come out too narrow.
    """
    defined = values[np.isfinite(values)]
    if 2 * len(defined) <= len(values):
        return (float("nan"), float("nan"))
    low, high = np.quantile(defined, [(1 - share) / 2, (1 + share) / 2])
    return (float(low), float(high))
