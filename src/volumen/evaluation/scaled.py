"""ScaledRows: vectors brought to a common measure while they are read, so that distances mean something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from volumen.errors import SettingsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from volumen.evaluation.nearest import Rows

Comparison = Literal["plain", "unit", "standardized"]

_CHUNK_VALUES = 1 << 22


@dataclass(frozen=True, eq=False)
class ScaledRows:
    """Rows of other vectors, less ``mean``, over ``scale``; with ``unit`` each is then brought to length 1.

    Examples
    --------
    >>> rows = ScaledRows.of(np.array([[0.0, 10.0], [2.0, 30.0]]), "standardized")
    >>> rows[0:2].tolist()
    [[-1.0, -1.0], [1.0, 1.0]]
    """

    rows: Rows
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    unit: bool = False

    @classmethod
    def of(cls, rows: Rows, comparison: Comparison, *, unit: bool = False) -> ScaledRows:
        """Fit on all rows, read once.

        Parameters
        ----------
        rows
            (vectors, channels).
        comparison
            ``plain`` leaves them; ``unit`` brings each to length 1, so that directions are compared; ``standardized``
            takes each channel less its mean over its standard deviation, those that never change left 0.
        unit
            Whether to bring standardized rows to length 1 as well.

        Raises
        ------
        SettingsError
            There is no such comparison, or no row.
        """
        if comparison not in get_args(Comparison):
            raise SettingsError(f"Vectors are compared as {', '.join(get_args(Comparison))}; got {comparison!r}.")
        count, channels = rows.shape
        mean, scale = np.zeros(channels), np.ones(channels)
        if comparison == "standardized":
            if not count:
                raise SettingsError("Expected vectors to standardize; there are none.")
            mean, deviation = _moments(rows)
            scale = np.where(deviation > 0, deviation, np.inf)
        return cls(rows, mean, scale, unit=unit or comparison == "unit")

    @property
    def shape(self) -> tuple[int, ...]:
        """(vectors, channels)."""
        return self.rows.shape

    def __getitem__(self, key: slice) -> NDArray[np.float64]:
        """Read and scale some rows."""
        return self.scaled(self.rows[key])

    def scaled(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """Scale rows (N, channels) that were read elsewhere."""
        moved: NDArray[np.float64] = (np.asarray(rows, dtype=np.float64) - self.mean) / self.scale
        if not self.unit:
            return moved
        length = np.linalg.norm(moved, axis=1, keepdims=True)
        moved /= np.where(length > 0, length, 1.0)
        return moved


def _moments(rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of each channel, merged chunk by chunk (Chan et al. 1979, equation 2.1)."""
    count, channels = rows.shape
    mean, squares, seen = np.zeros(channels), np.zeros(channels), 0
    step = max(1, _CHUNK_VALUES // channels)
    for start in range(0, count, step):
        part = np.asarray(rows[start : start + step], dtype=np.float64)
        own = part.mean(axis=0)
        apart, total = own - mean, seen + len(part)
        squares += np.square(part - own).sum(axis=0) + np.square(apart) * seen * len(part) / total
        mean += apart * len(part) / total
        seen = total
    return mean, np.sqrt(squares / count)
