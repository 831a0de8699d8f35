"""Paired statistics: what several seeds, or several blocks, say about a score and about a difference of two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.special import stdtrit

from volumen.errors import SettingsError
from volumen.evaluation.intervals import percentile_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

Verdict = Literal["holds", "does not hold", "undecided"]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean with the interval that it lies in; the interval is NaN where there is nothing to tell it from.

    Parameters
    ----------
    mean
        Of the values that are numbers.
    low, high
        Ends of the interval.
    count
        How many values that was.
    """

    mean: float
    low: float
    high: float
    count: int

    def verdict(self, *, lower_is_better: bool = False) -> Verdict:
        """Say whether this difference, better minus worse as claimed, is shown by its whole interval.

        Examples
        --------
        >>> Estimate(mean=0.2, low=0.1, high=0.3, count=5).verdict()
        'holds'
        >>> Estimate(mean=0.2, low=0.1, high=0.3, count=5).verdict(lower_is_better=True)
        'does not hold'
        >>> Estimate(mean=0.2, low=-0.1, high=0.5, count=2).verdict()
        'undecided'
        """
        return verdict_of(self.low, self.high, lower_is_better=lower_is_better)


def verdict_of(low: float, high: float, *, lower_is_better: bool = False) -> Verdict:
    """Say whether a difference, better minus worse as claimed, is shown by an interval; of NaN, nothing is."""
    if lower_is_better:
        low, high = -high, -low
    if low > 0:
        return "holds"
    return "does not hold" if high < 0 else "undecided"


def mean_interval(values: Sequence[float], share: float = 0.95) -> Estimate:
    """Return the mean of independent values and Student's t interval of it.

    With n values of mean m and standard deviation s (n - 1 in its divisor), the interval is
    ``m ± t · s / √n``, t being the quantile of Student's distribution with n - 1 degrees of freedom (Student 1908).
    Values that are not finite are left out; of a single one there is no interval.

    Parameters
    ----------
    values
        One a seed.
    share
        How often such intervals hold the true mean, in (0, 1).

    Examples
    --------
    >>> estimate = mean_interval([1.0, 2.0, 3.0])
    >>> round(estimate.mean, 3), round(estimate.low, 3), round(estimate.high, 3), estimate.count
    (2.0, -0.484, 4.484, 3)
    """
    known = np.array([value for value in values if np.isfinite(value)], dtype=np.float64)
    nan, count = float("nan"), len(known)
    if count == 0:
        return Estimate(mean=nan, low=nan, high=nan, count=0)
    mean = float(known.mean())
    if count == 1:
        return Estimate(mean=mean, low=nan, high=nan, count=1)
    reach = float(stdtrit(count - 1, (1 + share) / 2)) * float(known.std(ddof=1)) / count**0.5
    return Estimate(mean=mean, low=mean - reach, high=mean + reach, count=count)


def paired_difference(first: Sequence[float], second: Sequence[float], share: float = 0.95) -> Estimate:
    """Return the mean of ``first - second``, pair by pair, with its t interval.

    What a pair has in common (a seed's random weights, its order of crops, the place that it learned from) drops out
    of the difference, so it can be told from nothing where the two means cannot be told apart.

    Parameters
    ----------
    first, second
        One value a seed, in the same order of seeds; pairs in which either is not finite are left out.

    Raises
    ------
    SettingsError
        There are more of one than of the other.

    Examples
    --------
    >>> estimate = paired_difference([0.9, 0.7, 0.5], [0.8, 0.6, 0.4])
    >>> round(estimate.mean, 3), round(estimate.low, 3)
    (0.1, 0.1)
    """
    if len(first) != len(second):
        raise SettingsError(f"Pairs need as many of either; got {len(first)} and {len(second)} values.")
    return mean_interval([one - other for one, other in zip(first, second, strict=True)], share)


def drawn_interval(draws: ArrayLike, less: ArrayLike | None = None) -> tuple[float, float]:
    """Return the 95 % interval over a bootstrap's draws of blocks, the seeds being as they are.

    Parameters
    ----------
    draws
        A score in every draw, (seeds, draws), each seed's of the same blocks in the same order, so that draw k is of
        the same blocks throughout.
    less
        The score to subtract, of the same blocks, same shape; the interval is then of the difference.

    Returns
    -------
    tuple of float
        Low and high end; (NaN, NaN) where the score is undefined in most draws.
    """
    drawn: NDArray[np.float64] = np.asarray(draws, dtype=np.float64)
    if less is not None:
        drawn = drawn - np.asarray(less, dtype=np.float64)
    return percentile_interval(drawn.mean(axis=0))  # seeds draws -> draws
