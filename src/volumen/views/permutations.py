"""Permutations: a set of orders that differ from each other in as many places as can be had."""

from __future__ import annotations

import itertools
import math
from functools import lru_cache

import numpy as np

from volumen.errors import SettingsError

_POOL = math.factorial(9)  # orders to choose from; all of them up to nine places


@lru_cache(maxsize=8)
def distant_permutations(places: int, count: int, seed: int = 0) -> tuple[tuple[int, ...], ...]:
    """Choose orders one by one, each as far as possible from those already chosen.

    Distance is Hamming's: in how many places two orders differ. The next order is the one whose nearest chosen one is
    farthest, and among those the one farthest from all together (Noroozi & Favaro, "Unsupervised Learning of Visual
    Representations by Solving Jigsaw Puzzles", ECCV 2016, algorithm 1). Up to nine places, the first ``places`` orders
    differ from each other everywhere. The same arguments give the same orders, on any machine.

    Parameters
    ----------
    places
        How many things are ordered, at least 2.
    count
        How many orders, at least 2. Up to nine places all orders stand for choice, which for nine takes about a
        second, once in a process; beyond, as many drawn ones.
    seed
        Of the first order, of the drawn ones and of ties.

    Raises
    ------
    SettingsError
        If there are not so many orders.

    Examples
    --------
    >>> len(distant_permutations(9, 100))
    100
    >>> sorted(zip(*distant_permutations(3, 3)))  # everything is everywhere once
    [(0, 1, 2), (1, 2, 0), (2, 0, 1)]
    """
    if places < 2 or not 2 <= count <= min(math.factorial(places), _POOL // 2):
        raise SettingsError(
            f"{count} different orders of {places} places cannot be had; choose from 2 to "
            f"{min(math.factorial(max(places, 1)), _POOL // 2)}."
        )
    generator = np.random.default_rng(seed)
    if math.factorial(places) <= _POOL:
        flat = itertools.chain.from_iterable(itertools.permutations(range(places)))
        pool = np.fromiter(flat, dtype=np.int8).reshape(-1, places)
        pool = generator.permutation(pool)  # so that ties are not broken in favour of the first
    else:
        drawn = generator.permuted(np.tile(np.arange(places, dtype=np.int8), (_POOL, 1)), axis=1)
        _, first = np.unique(drawn, axis=0, return_index=True)
        pool = drawn[np.sort(first)]
    by_place = np.ascontiguousarray(pool.T)
    nearest, total = np.full(len(pool), places + 1), np.zeros(len(pool), dtype=np.int64)
    chosen = [0]
    while len(chosen) < count:
        distance = (by_place != pool[chosen[-1]][:, None]).sum(axis=0)
        np.minimum(nearest, distance, out=nearest)
        total += distance
        chosen.append(int(np.argmax(nearest * (places * count + 1) + total)))
    return tuple(tuple(int(place) for place in pool[index]) for index in chosen)
