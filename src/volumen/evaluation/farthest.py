"""pick_farthest: choose rows that are worth much and far from all that is known or chosen, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from volumen.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from volumen.evaluation.nearest import Rows

_CHUNK_VALUES = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Pick:
    """A row that was chosen, what it was worth, and how far it then was from all that was known and chosen."""

    row: int
    worth: float
    distance: float


def pick_farthest(
    vectors: Rows,
    worth: NDArray[np.float64],
    count: int,
    *,
    known: NDArray[np.float64] | None = None,
    weight: float = 1.0,
    clashing: Callable[[int], NDArray[np.bool_]] | None = None,
) -> list[Pick]:
    """Choose rows greedily by ``worth · distance^weight``, the distance being to the nearest known or chosen row.

    With equal worth and ``weight`` 1 this is farthest-first traversal, which covers all rows with balls of at most
    twice the smallest radius that as many centres allow (Gonzalez 1985). Of equals, the first is taken.

    Parameters
    ----------
    vectors
        (rows, channels); read once for each choice, a chunk at a time.
    worth
        Of each row, at least 0; a row of worth 0 is never chosen.
    count
        How many to choose; fewer where no more can be.
    known
        L2 distance of each row from the nearest known vector; None where nothing is known, and the first choice goes
        by worth alone.
    weight
        0 chooses by worth alone.
    clashing
        From a chosen row to the rows that cannot be chosen beside it.

    Raises
    ------
    SettingsError
        There is not one worth, or one distance, a row, or a worth is negative or no number.

    Examples
    --------
    >>> picks = pick_farthest(np.array([[0.0], [1.0], [9.0], [10.0]]), np.array([1.0, 2.0, 1.0, 1.0]), 2)
    >>> [(pick.row, pick.distance) for pick in picks]
    [(1, inf), (3, 9.0)]
    """
    total, channels = vectors.shape
    if worth.shape != (total,) or (known is not None and known.shape != (total,)):
        raise SettingsError(f"Expected a worth and a distance for each of {total} rows; got {worth.shape}.")
    if not np.isfinite(worth).all() or (worth < 0).any():
        raise SettingsError("Expected every worth to be a number, at least 0.")
    free = worth > 0
    distance = np.full(total, np.inf) if known is None else known.astype(np.float64)
    picks: list[Pick] = []
    while len(picks) < count and free.any():
        reach = np.where(np.isinf(distance), 1.0, distance) ** weight  # before anything is known, worth alone counts
        row = int(np.argmax(np.where(free, worth * reach, -1.0)))
        picks.append(Pick(row=row, worth=float(worth[row]), distance=float(distance[row])))
        free[row] = False
        if clashing is not None:
            free &= ~clashing(row)
        chosen = np.asarray(vectors[row : row + 1], dtype=np.float64)
        step = max(1, _CHUNK_VALUES // channels)
        for start in range(0, total, step):
            part = np.asarray(vectors[start : start + step], dtype=np.float64)
            away = np.sqrt(np.square(part - chosen).sum(axis=1))
            np.minimum(distance[start : start + step], away, out=distance[start : start + step])
    return picks
