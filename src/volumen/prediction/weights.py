"""Weights of a tile's pixels: low at its edges, where the network saw least around them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from volumen.errors import SettingsError

if TYPE_CHECKING:
    from numpy.typing import NDArray


_POWER = 3  # the cube has half the mean error of the straight ramp against one pass over the whole image


@lru_cache(maxsize=8)
def ramp(length: int, overlap: int) -> NDArray[np.float32]:
    """Return ``length`` weights that rise from either end over ``overlap`` pixels and are 1 between.

    Pixel d from an end weighs ``((d + 1/2) / overlap)³``: error falls off steeply with the distance from a tile's
    edge, and so does the say of the tile that has it. All weights are strictly positive, so that a pixel that
    a single tile covers comes out as that tile has it.

    Examples
    --------
    >>> ramp(6, 2).tolist()
    [0.015625, 0.421875, 1.0, 1.0, 0.421875, 0.015625]
    """
    if length < 1 or overlap < 0:
        raise SettingsError(
            f"Weights need a length of at least 1 and an overlap of at least 0; got {length} and {overlap}."
        )
    from_start = np.arange(length) + 0.5
    nearest = np.minimum(from_start, from_start[::-1])
    weights = np.asarray(np.minimum(nearest / max(overlap, 0.5), 1.0) ** _POWER, dtype=np.float32)
    weights.flags.writeable = False
    return weights
