"""Forest: parts of things that come one after another, joined where they turn out to hang together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


class Forest:
    """Disjoint sets with path halving (Tarjan and van Leeuwen 1984), each with the measure of its parts.

    A measure is box (y0, y1, x0, x1), area and a sum, float64 (6,); boxes grow around each other, the rest adds up.

    Examples
    --------
    >>> forest = Forest()
    >>> names = forest.plant(np.array([[0, 1, 0, 1, 1, 0.5], [1, 2, 1, 4, 3, 1.5]]))
    >>> forest.join(names[:1], names[1:])
    >>> [measure.tolist() for measure in forest.keep([])]
    [[0.0, 2.0, 0.0, 4.0, 4.0, 2.0]]
    """

    def __init__(self) -> None:
        self._next = 1
        self._parent: dict[int, int] = {}
        self._measure: dict[int, NDArray[np.float64]] = {}

    def plant(self, measures: NDArray[np.float64]) -> NDArray[np.int64]:
        """Add parts, (N, 6), and return the name of each, greater than 0, (N,)."""
        names = np.arange(self._next, self._next + len(measures), dtype=np.int64)
        self._next += len(measures)
        for name, measure in zip(names.tolist(), measures, strict=True):
            self._parent[name], self._measure[name] = name, measure.copy()
        return names

    def join(self, ones: NDArray[np.int64], others: NDArray[np.int64]) -> None:
        """Join parts by their names, pair by pair; where one of a pair is 0 there is nothing to join."""
        both = (ones > 0) & (others > 0)
        for one, other in np.unique(np.stack([ones[both], others[both]]), axis=1).T.tolist():
            self._join(self._root(one), self._root(other))

    def keep(self, names: Iterable[int]) -> list[NDArray[np.float64]]:
        """Forget all names but these; return the measures of the sets that none of them belongs to."""
        kept = {name: self._root(name) for name in names}
        roots = set(kept.values())
        gone = [measure for root, measure in self._measure.items() if root not in roots]
        self._parent = {**kept, **{root: root for root in roots}}
        self._measure = {root: self._measure[root] for root in roots}
        return gone

    def _root(self, name: int) -> int:
        parent = self._parent
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    def _join(self, one: int, other: int) -> None:
        if one == other:
            return
        first, second = sorted((one, other))
        self._parent[second] = first
        mine, theirs = self._measure[first], self._measure.pop(second)
        mine[[0, 2]] = np.minimum(mine[[0, 2]], theirs[[0, 2]])
        mine[[1, 3]] = np.maximum(mine[[1, 3]], theirs[[1, 3]])
        mine[4:] += theirs[4:]
