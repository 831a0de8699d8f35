"""LocalRows: vectors of windows less the mean of those around them, so that what changes slowly drops out."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from volumen.errors import SettingsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from volumen.evaluation.nearest import Rows


class LocalRows:
    """Vectors of windows that lie row by row on a plane, each less the mean over its surroundings, itself among them.

    On papyrus most of what tells two windows apart is the ground: fibres, depth, brightness. It changes slowly, a mark
    does not. The surroundings are the windows whose corners lie within ``reach`` px in both directions.

    Parameters
    ----------
    rows
        (windows, channels), read when they are needed, a row of windows at a time.
    corners
        y and x of each window's top left pixel, (windows, 2), sorted by y and then by x.
    reach
        In px.

    Raises
    ------
    SettingsError
        There is not one corner a vector, or they are not sorted.

    Examples
    --------
    >>> local = LocalRows(np.array([[1.0], [2.0], [9.0]]), np.array([[0, 0], [0, 10], [0, 90]]), reach=20)
    >>> local[0:3].tolist()
    [[-0.5], [0.5], [0.0]]
    """

    def __init__(self, rows: Rows, corners: NDArray[np.integer], reach: int) -> None:
        steps = np.diff(corners.astype(np.int64), axis=0)
        if len(corners) != rows.shape[0] or ((steps[:, 0] < 0) | ((steps[:, 0] == 0) & (steps[:, 1] <= 0))).any():
            raise SettingsError(f"Expected a corner for each of {rows.shape[0]} windows, sorted by y and then by x.")
        self._rows, self._reach = rows, reach
        self._x = corners[:, 1].astype(np.int64)
        self._ys, self._first = np.unique(corners[:, 0].astype(np.int64), return_index=True)
        self._last = np.append(self._first[1:], len(corners))
        most = int((np.searchsorted(self._ys, self._ys + reach, "right") - np.arange(len(self._ys))).max(initial=1))
        self._sums = lru_cache(maxsize=2 * most)(self._running)  # what one row of windows needs, above and below it

    @property
    def shape(self) -> tuple[int, ...]:
        """(windows, channels)."""
        return self._rows.shape

    def __getitem__(self, key: slice) -> NDArray[np.float64]:
        """Read some windows' vectors, less their surroundings."""
        start, stop, _ = key.indices(self.shape[0])
        out = np.empty((max(0, stop - start), self.shape[1]))
        lines = np.flatnonzero((self._last > start) & (self._first < stop))
        for line in map(int, lines):
            first, last = max(start, self._first[line]), min(stop, self._last[line])
            own = np.asarray(self._rows[int(first) : int(last)], dtype=np.float64)
            out[first - start : last - start] = own - self._mean(line, self._x[first:last])
        return out

    def _mean(self, line: int, x: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the mean around windows of a row, (windows, channels)."""
        y = self._ys[line]
        above, below = np.searchsorted(self._ys, [y - self._reach, y + self._reach + 1])
        total, count = np.zeros((len(x), self.shape[1])), np.zeros(len(x))
        for other in range(above, below):
            xs = self._x[self._first[other] : self._last[other]]
            left, right = np.searchsorted(xs, x - self._reach), np.searchsorted(xs, x + self._reach, "right")
            running = self._sums(other)
            total += running[right] - running[left]
            count += right - left
        mean: NDArray[np.float64] = total / count[:, None]
        return mean

    def _running(self, line: int) -> NDArray[Any]:
        """Return the running sums of a row of windows from its left end, 0 first."""
        rows = np.asarray(self._rows[int(self._first[line]) : int(self._last[line])], dtype=np.float64)
        return np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(rows, axis=0)])
