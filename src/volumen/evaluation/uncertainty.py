"""Uncertainty: how unsure an ink map is, pixel by pixel and over windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from volumen.errors import SettingsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Doubt = Literal["entropy", "margin"]


def doubt(levels: NDArray[np.uint8], kind: Doubt = "entropy") -> NDArray[np.float64]:
    """Return how unsure 8-bit probabilities are, in [0, 1]: 1 at one half, 0 at 0 and 1.

    ``entropy`` is the binary entropy in bits, ``-p log₂ p - (1 - p) log₂ (1 - p)``; ``margin`` is ``1 - |2p - 1|``.

    Parameters
    ----------
    levels
        Probability times 255, any shape.
    kind
        Which.

    Raises
    ------
    SettingsError
        There is no such kind.

    Examples
    --------
    >>> doubt(np.array([0, 51, 255], np.uint8)).round(3).tolist()
    [0.0, 0.722, 0.0]
    """
    p = np.arange(256) / 255
    if kind == "margin":
        table = 1 - np.abs(2 * p - 1)
    elif kind == "entropy":
        inner = p[1:-1]
        table = np.zeros(256)
        table[1:-1] = -(inner * np.log2(inner) + (1 - inner) * np.log2(1 - inner))
    else:
        raise SettingsError(f"Doubt is measured as entropy or margin; got {kind!r}.")
    return table[levels]


def window_sums(band: NDArray[np.generic], starts: NDArray[np.integer], side: int) -> NDArray[np.float64]:
    """Return the sums over windows of a band as high as they are.

    Parameters
    ----------
    band
        (side, W), numbers or bool.
    starts
        Left edge of each window, in px of the band.
    side
        Width of a window in px.

    Examples
    --------
    >>> window_sums(np.ones((2, 5)), np.array([0, 3]), 2).tolist()
    [4.0, 4.0]
    """
    across = np.concatenate([[0.0], np.cumsum(band.sum(axis=0, dtype=np.float64))])
    sums: NDArray[np.float64] = across[starts + side] - across[starts]
    return sums
