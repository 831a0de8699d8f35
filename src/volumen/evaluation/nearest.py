"""Nearest: the exact nearest vectors of some others, by L2 distance, out of more than fit into memory at once."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from volumen.errors import DivergedError, MissingExtraError, SettingsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Engine = Literal["auto", "numpy", "faiss"]

_CHUNK_VALUES = 1 << 23  # of float64: 64 MiB of vectors at a time
_SPARE = 16  # neighbours that FAISS is asked for beside those wanted, so that most ties are settled at once


class Rows(Protocol):
    """Vectors that are read when they are sliced: an array, a memory map, a zarr array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(vectors, channels)."""
        ...

    def __getitem__(self, key: slice, /) -> Any:
        """Read some vectors in their order."""
        ...


@dataclass(frozen=True, eq=False)
class Neighbours:
    """What lies nearest to each of some queries, nearest first; of equals, the one that comes first.

    Parameters
    ----------
    index
        Which vectors, int64 (queries, k).
    distance
        How far each is, L2, float64 (queries, k).
    """

    index: NDArray[np.int64]
    distance: NDArray[np.float64]


def nearest(
    vectors: Rows, queries: NDArray[Any], k: int, *, engine: Engine = "auto", chunk: int | None = None
) -> Neighbours:
    """Find the k nearest vectors of each query, exactly.

    Distances are sums of squared differences in float64. What a faster sum (a matrix product, or FAISS in float32)
    cannot tell apart within its rounding error is summed so before it is ranked: every engine finds the same.

    Parameters
    ----------
    vectors
        What to search, (vectors, channels), any real type; read a chunk at a time, once.
    queries
        (queries, channels), any real type.
    k
        How many neighbours; at least 1, at most as many as there are vectors.
    engine
        ``numpy``; ``faiss``, a flat index of FAISS a chunk at a time; or FAISS where it is installed.
    chunk
        Vectors to hold in memory at once; 64 MiB of them if not given.

    Raises
    ------
    SettingsError
        The shapes do not fit, or there are fewer vectors than k.
    DivergedError
        A vector or query holds NaN or infinity.
    MissingExtraError
        FAISS was asked for and is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> found = nearest(np.array([[0.0], [1.0], [5.0], [1.0]]), np.array([[0.9]]), k=3)
    >>> found.index.tolist(), found.distance.round(3).tolist()
    ([[1, 3, 0]], [[0.1, 0.1, 0.9]])
    """
    _check(vectors, queries, k, chunk)
    near = _near_by_faiss if _use_faiss(engine) else _near_by_product
    wanted = _finite(queries, "query")
    count, channels = vectors.shape
    step = chunk or max(1, _CHUNK_VALUES // channels)
    best: list[tuple[NDArray[np.int64], NDArray[np.float64]]]
    best = [(np.empty(0, np.int64), np.empty(0, np.float64)) for _ in wanted]
    for start in range(0, count, step):
        part = _finite(np.asarray(vectors[start : start + step]), "vector")
        worst = np.array([distances[-1] if len(distances) == k else np.inf for _, distances in best])
        for number, rows in enumerate(near(part, wanted, k, worst)):
            exact = np.square(part[rows] - wanted[number]).sum(axis=1)
            index = np.concatenate([best[number][0], rows + start])
            squared = np.concatenate([best[number][1], exact])
            order = np.lexsort((index, squared))[:k]
            best[number] = (index[order], squared[order])
    shape = (len(wanted), k)
    return Neighbours(
        index=np.array([index for index, _ in best], dtype=np.int64).reshape(shape),
        distance=np.sqrt(np.array([squared for _, squared in best], dtype=np.float64)).reshape(shape),
    )


def _check(vectors: Rows, queries: NDArray[Any], k: int, chunk: int | None) -> None:
    if len(vectors.shape) != 2 or queries.ndim != 2 or vectors.shape[1] != queries.shape[1] or not vectors.shape[1]:
        raise SettingsError(
            "A search needs vectors (N, C) and queries (Q, C) of as many channels; got shapes "
            f"{tuple(vectors.shape)} and {queries.shape}."
        )
    if not 1 <= k <= vectors.shape[0]:
        raise SettingsError(f"Expected k in 1…{vectors.shape[0]}, the number of vectors; got {k}.")
    if chunk is not None and chunk < 1:
        raise SettingsError(f"Expected a chunk of at least one vector; got {chunk}.")


def _finite(rows: NDArray[Any], what: str) -> NDArray[np.float64]:
    known = np.asarray(rows, dtype=np.float64)
    if not np.isfinite(known).all():
        raise DivergedError(f"Expected finite vectors to search; a {what} holds NaN or infinity. Embed it again.")
    return known


def _use_faiss(engine: Engine) -> bool:
    if engine == "numpy":
        return False
    there = importlib.util.find_spec("faiss") is not None
    if engine == "faiss" and not there:
        raise MissingExtraError("FAISS is not installed: pip install 'volumen[search]', or search with numpy.")
    return there


def _near_by_product(
    part: NDArray[np.float64], queries: NDArray[np.float64], k: int, worst: NDArray[np.float64]
) -> list[NDArray[np.int64]]:
    """Return, query by query, the rows of a part that may be among the k nearest, the worst so far being given.

    ``|a - b|² = |a|² + |b|² - 2ab``, whose rounding error is below ``(C + 8) · eps · (|a| + |b|)²``.
    """
    lengths = np.square(part).sum(axis=1)
    found = []
    block = max(1, _CHUNK_VALUES // len(part))
    for start in range(0, len(queries), block):
        some = queries[start : start + block]
        own = np.square(some).sum(axis=1)
        rough = lengths + own[:, None] - 2 * (some @ part.T)  # (block, rows)
        slack = _slack(part.shape[1], np.float64, lengths.max(), own)
        reach = np.partition(rough, k - 1, axis=1)[:, k - 1] if len(part) > k else np.full(len(some), np.inf)
        limit = np.minimum(reach, worst[start : start + block]) + 2 * slack
        found += [np.flatnonzero(row <= most) for row, most in zip(rough, limit, strict=True)]
    return found


def _near_by_faiss(
    part: NDArray[np.float64], queries: NDArray[np.float64], k: int, worst: NDArray[np.float64]
) -> list[NDArray[np.int64]]:
    """Return what `_near_by_product` does, but for rows that FAISS shows to be too far away."""
    faiss = importlib.import_module("faiss")
    asked = k + _SPARE
    if len(part) <= asked or not len(queries):
        return _near_by_product(part, queries, k, worst)
    rounded, some = part.astype(np.float32), queries.astype(np.float32)
    index = faiss.IndexFlatL2(part.shape[1])
    index.add(rounded)
    rough, rows = index.search(some, asked)  # (queries, asked) both
    own = np.square(queries).sum(axis=1)
    slack = _slack(part.shape[1], np.float32, np.square(part).sum(axis=1).max(), own)
    # all further rows are at least as far as the last one found, as FAISS sees it
    settled = (rough[:, -1].astype(np.float64) > rough[:, k - 1] + 2 * slack) & (rows >= 0).all(axis=1)
    found: list[NDArray[np.int64]] = [np.asarray(row, dtype=np.int64) for row in rows]
    for number in np.flatnonzero(~settled):
        one = slice(number, number + 1)
        found[number] = _near_by_product(part, queries[one], k, worst[one])[0]
    return found


def _slack(
    channels: int, kind: type[np.floating[Any]], longest: float, own: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Bound the error of a squared distance that was summed in a number format, for each query."""
    largest = np.square(np.sqrt(longest) + np.sqrt(own))
    bound: NDArray[np.float64] = (channels + 8) * float(np.finfo(kind).eps) * largest
    return bound
