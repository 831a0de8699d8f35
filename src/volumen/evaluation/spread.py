"""Feature spread: whether an encoder still tells images apart, or maps all of them to one point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from volumen.errors import DivergedError, SettingsError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def feature_spread(features: NDArray[Any]) -> dict[str, float]:
    """Measure how far features spread over the directions that they could take.

    Parameters
    ----------
    features
        One row per image or place, (N, C) with N of at least 2; any real type.

    Returns
    -------
    dict
        ``spread``: the standard deviation over rows of the L2-normalised features, times sqrt(C), averaged over
        channels. 1 where directions are spread alike over all channels, 0 where every row points the same way,
        which is how collapse shows (Chen and He 2021, arXiv 2011.10566, section 4.1). Features that cannot be
        negative share a direction, so theirs stays well below 1 without any collapse: watch its course.

        ``effective_rank``: exp(-sum p log p), where p are the singular values of the centred features divided by
        their sum (Roy and Vetterli 2007, EUSIPCO, definition 1). Between 1 and ``min(N - 1, C)``; 0 where all rows
        are equal.

        ``rank_share``: the effective rank divided by ``min(N - 1, C)``.

    Raises
    ------
    SettingsError
        The features are not of two axes with at least two rows and one channel.
    DivergedError
        They hold NaN or infinity.

    Examples
    --------
    >>> import numpy as np
    >>> scores = feature_spread(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]))
    >>> {name: round(value, 3) for name, value in scores.items()}
    {'spread': 1.0, 'effective_rank': 2.0, 'rank_share': 1.0}
    """
    if features.ndim != 2 or features.shape[0] < 2 or features.shape[1] < 1:
        raise SettingsError(
            f"Feature spread needs features of shape (rows, channels) with at least two rows; got {features.shape}."
        )
    rows = features.astype(np.float64)
    if not np.isfinite(rows).all():
        raise DivergedError("Expected finite features; got NaN or infinity. Lower the learning rate and start again.")
    count, channels = rows.shape
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    directions = np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)
    rank = _effective_rank(rows)
    return {
        "spread": float(directions.std(axis=0).mean() * np.sqrt(channels)),
        "effective_rank": rank,
        "rank_share": rank / min(count - 1, channels),
    }


def _effective_rank(rows: NDArray[np.float64]) -> float:
    values = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False)
    # equal rows leave rounding errors when they are centred, which are no directions
    kept = values[values > np.linalg.norm(rows) * max(rows.shape) * np.finfo(np.float64).eps]
    if not kept.size:
        return 0.0
    share = kept / kept.sum()
    return float(np.exp(-(share * np.log(share)).sum()))
