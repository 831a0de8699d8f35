"""Retrieval: how much the tags of what was found for a query agree with the query's own, and what chance would find."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from volumen.errors import LabelError, SettingsError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_CHUNK = 256  # queries whose overlap with the whole index is held in memory at a time


def retrieval_overlap(queries: ArrayLike, index: ArrayLike, found: ArrayLike) -> NDArray[np.float64]:
    """Return for each query the mean intersection over union of its tags and those of what was found for it.

    Parameters
    ----------
    queries
        (Q, L), 1 or True where a query has a tag.
    index
        (M, L), the same of what was searched.
    found
        int (Q, k), rows of the index that were found for each query.

    Returns
    -------
    numpy.ndarray
        float64 (Q,). Pairs that have no tag at all have no overlap and are left out; a query that has only such is NaN.

    Raises
    ------
    LabelError
        The shapes do not fit, or a row that was found is not in the index.

    Examples
    --------
    >>> index = [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    >>> retrieval_overlap([[1, 1, 0]], index, [[1, 0]]).tolist()
    [0.75]
    """
    asked, known = _tags(queries, index)
    rows = np.asarray(found)
    if rows.ndim != 2 or len(rows) != len(asked) or not rows.size or rows.dtype.kind not in "iu":
        raise LabelError(f"Expected rows of the index, int ({len(asked)}, k); got {rows.dtype} {rows.shape}.")
    if rows.min() < 0 or rows.max() >= len(known):
        raise LabelError(f"Rows of the index are 0 … {len(known) - 1}; got {rows.min()} … {rows.max()}.")
    shown = known[rows]  # Q k L
    overlap = _overlap((asked[:, None] & shown).sum(axis=2), asked.sum(axis=1)[:, None] + shown.sum(axis=2))
    return _mean(overlap)


def chance_overlap(queries: ArrayLike, index: ArrayLike) -> NDArray[np.float64]:
    """Return for each query the overlap that rows drawn at random from the index have on average, exactly.

    Which is its mean over the whole index, however many are drawn. Over queries it spreads less than a few draws would.

    Parameters
    ----------
    queries, index
        As for `retrieval_overlap`.

    Returns
    -------
    numpy.ndarray
        float64 (Q,).
    """
    asked, known = _tags(queries, index)
    count = known.sum(axis=1)
    parts = []
    for start in range(0, len(asked), _CHUNK):
        some = asked[start : start + _CHUNK]
        both = some.astype(np.float32) @ known.T.astype(np.float32)  # exact: counts of a few tags
        parts.append(_mean(_overlap(both.astype(np.int64), some.sum(axis=1)[:, None] + count)))
    return np.concatenate(parts)


def draw_found(queries: int, size: int, k: int, *, seed: int) -> NDArray[np.int64]:
    """Draw for each query ``k`` different rows of an index of ``size`` at random, int64 (Q, k): a search by chance.

    Raises
    ------
    SettingsError
        There are fewer rows than are asked for.
    """
    if not 1 <= k <= size:
        raise SettingsError(f"Of {size} rows, 1 to {size} can be drawn; got {k}.")
    rng = np.random.default_rng(seed)
    return np.stack([rng.choice(size, k, replace=False) for _ in range(queries)])


def resampled_means(values: ArrayLike, *, draws: int, seed: int = 0) -> NDArray[np.float64]:
    """Return the mean over resampled queries, (draws,), each drawn with replacement (Efron 1979).

    The same number of queries, draws and seed give the same resampled queries, whatever was found: draws of two
    searches are pairs, for `volumen.evaluation.paired.drawn_interval`.

    Parameters
    ----------
    values
        float (Q,), one a query; NaN is left out of the means.

    Raises
    ------
    SettingsError
        There is no draw to make, or no query.
    """
    given = np.asarray(values, dtype=np.float64)
    if draws < 1 or given.ndim != 1 or not len(given):
        raise SettingsError(f"A bootstrap needs a draw and a value a query; got {draws} draws, shape {given.shape}.")
    known = np.isfinite(given)
    rng = np.random.default_rng(seed)
    means = np.empty(draws)
    for draw in range(draws):
        drawn = rng.integers(0, len(given), len(given))
        kept = drawn[known[drawn]]
        means[draw] = given[kept].mean() if len(kept) else np.nan
    return means


def _tags(queries: ArrayLike, index: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    asked, known = np.asarray(queries).astype(bool), np.asarray(index).astype(bool)
    if asked.ndim != 2 or known.ndim != 2 or asked.shape[1] != known.shape[1] or not asked.size or not known.size:
        raise LabelError(
            f"Queries (Q, L) and index (M, L) have the same tags and rows; got {asked.shape} and {known.shape}."
        )
    return asked, known


def _overlap(both: NDArray[Any], sum_of_each: NDArray[Any]) -> NDArray[np.float64]:
    """Return intersection over union, NaN over nothing."""
    either = sum_of_each - both
    result = np.full(both.shape, np.nan)
    np.divide(both, either, out=result, where=either > 0)
    return result


def _mean(overlap: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of each row over what is defined, NaN of nothing."""
    known = np.isfinite(overlap)
    count = known.sum(axis=1)
    result = np.full(len(overlap), np.nan)
    np.divide(np.where(known, overlap, 0.0).sum(axis=1), count, out=result, where=count > 0)
    return result
