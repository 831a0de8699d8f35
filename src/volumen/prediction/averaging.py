"""Averages over views of the same voxels, for fewer chance errors at so many times the cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from volumen.prediction.stream import Predictor

_Y, _X = 2, 3  # axes of NCHW
_MIRRORS = ((_Y,), (_X,), (_Y, _X))


@dataclass(frozen=True)
class Mirrored:
    """Average the probabilities of a batch and of its three mirror images in Y, in X and in both.

    Examples
    --------
    >>> first_layer = Mirrored(lambda voxels: voxels[:, 0].astype(np.float32))
    >>> first_layer(np.eye(2, dtype=np.float32)[None, None])[0].tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """

    model: Predictor

    def __call__(self, voxels: NDArray[Any], /) -> NDArray[np.float32]:
        """Predict one batch, NCHW to NHW."""
        total = self.model(voxels).astype(np.float32)
        for axes in _MIRRORS:
            mirrored = self.model(np.ascontiguousarray(np.flip(voxels, axes)))
            total += np.flip(mirrored, tuple(axis - 1 for axis in axes))  # the map has no channels
        total /= 1 + len(_MIRRORS)
        return total


@dataclass(frozen=True)
class BothDirections:
    """Average the probabilities of a batch and of the same batch with its layers last to first."""

    model: Predictor

    def __call__(self, voxels: NDArray[Any], /) -> NDArray[np.float32]:
        """Predict one batch, NCHW to NHW."""
        total = self.model(voxels).astype(np.float32)
        total += self.model(np.ascontiguousarray(voxels[:, ::-1]))
        total /= 2
        return total
