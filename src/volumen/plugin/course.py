"""Course: a curve that is drawn while it grows, thinned to what a plot can show."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST = 1000


class Course:
    """Points (x, y) with growing x: the means of ever longer stretches, so that there are never too many of them.

    Parameters
    ----------
    most
        Points to thin at, an even number: fewer are kept.

    Examples
    --------
    >>> course = Course(most=4)
    >>> for step in range(6):
    ...     course.add(step, 10 * step)
    >>> course.x.tolist(), course.y.tolist()
    ([0.5, 2.5, 4.5], [5.0, 25.0, 45.0])
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._stretch = 1  # points that one kept point is the mean of
        self._kept: list[tuple[float, float]] = []
        self._open: list[tuple[float, float]] = []

    def add(self, x: float, y: float | None) -> None:
        """Add a point; what is no number is left out, and a step back in x forgets what it goes back over."""
        if y is None or not math.isfinite(y):
            return
        if self._last is not None and x <= self._last:
            self._kept = [point for point in self._kept if point[0] < x]
            self._open = []
        self._open.append((x, y))
        if len(self._open) == self._stretch:
            self._kept.append(_mean(self._open))
            self._open = []
        if len(self._kept) == self._most:
            self._kept = [_mean(list(pair)) for pair in zip(self._kept[::2], self._kept[1::2], strict=True)]
            self._stretch *= 2

    @property
    def x(self) -> NDArray[np.float64]:
        """Where the points are."""
        return np.array([point[0] for point in self._shown])

    @property
    def y(self) -> NDArray[np.float64]:
        """What was measured there."""
        return np.array([point[1] for point in self._shown])

    def __len__(self) -> int:
        return len(self._shown)

    @property
    def _shown(self) -> list[tuple[float, float]]:
        return self._kept + ([_mean(self._open)] if self._open else [])

    @property
    def _last(self) -> float | None:
        points = self._open or self._kept
        return points[-1][0] if points else None


def _mean(points: list[tuple[float, float]]) -> tuple[float, float]:
    count = len(points)
    return (sum(x for x, _ in points) / count, sum(y for _, y in points) / count)
