"""width_buckets: lines of like width put into batches together, so that little is padded; shuffled all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

from volumen.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_STREAM = crc32(b"width buckets")  # apart from what else is drawn of the same seed
_JITTER = 0.1  # of the logarithm of a width, either way: who is beside whom changes from epoch to epoch


def width_buckets(
    widths: Sequence[int] | NDArray[np.int64], batch: int, *, seed: int, epoch: int
) -> list[NDArray[np.int64]]:
    """Part lines into the batches of an epoch, in the order in which to learn from them.

    Lines are ranked by width, give or take 10 %, drawn anew in each epoch, cut into batches, and the batches
    shuffled. Every batch is full and holds no line twice: where the count does not divide, two batches share lines,
    so every line is seen at least once.

    Parameters
    ----------
    widths
        Px of each line.
    batch
        Lines in a batch; of fewer lines, all make one.
    seed, epoch
        Draw the batches.

    Returns
    -------
    list of NDArray
        Indices of the lines of each batch.

    Examples
    --------
    >>> sorted(sorted(row.tolist()) for row in width_buckets([10, 500, 11, 480, 520, 12], 3, seed=0, epoch=0))
    [[0, 2, 5], [1, 3, 4]]
    """
    _check(widths, batch)
    rng = np.random.default_rng([seed, epoch, _STREAM])
    keys = np.log(widths) + rng.uniform(-_JITTER, _JITTER, len(widths))
    ranked = np.argsort(keys, kind="stable")
    count = -(-len(ranked) // batch)
    twice = count * batch - len(ranked)
    place = int(rng.integers(count - 1)) if count > 1 else 0  # the batch that shares lines with the next one
    starts = [index * batch - twice * (index > place) for index in range(count)]
    rows = [ranked[start : start + batch] for start in starts]
    return [rng.permutation(rows[index]) for index in rng.permutation(len(rows))]


def by_width(widths: Sequence[int] | NDArray[np.int64], batch: int) -> list[NDArray[np.int64]]:
    """Part lines into batches to be read once each: ranked by width, the last batch perhaps smaller.

    Examples
    --------
    >>> [row.tolist() for row in by_width([10, 500, 11], 2)]
    [[0, 2], [1]]
    """
    _check(widths, batch)
    ranked = np.argsort(np.asarray(widths), kind="stable")
    return [ranked[start : start + batch] for start in range(0, len(ranked), batch)]


def _check(widths: Sequence[int] | NDArray[np.int64], batch: int) -> None:
    if not len(widths) or min(widths) < 1 or batch < 1:
        raise SettingsError(f"Expected lines of at least 1 px and a batch of one or more; got {len(widths)}, {batch}.")
