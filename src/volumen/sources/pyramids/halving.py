"""Halving: one step down a pyramid, in Y and X."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Downsampling = Literal["mean", "nearest"]


def halve(block: NDArray[Any], downsampling: Downsampling = "mean") -> NDArray[Any]:
    """Halve the last two axes; an odd last row or column is the mean of the pixels that exist.

    Integers are rounded half up.

    Examples
    --------
    >>> halve(np.array([[1, 2, 9], [3, 4, 10]], dtype=np.uint8)).tolist()
    [[3, 10]]
    """
    if downsampling == "nearest":
        return block[..., ::2, ::2]
    if block.ndim == 2:
        return _mean(block)
    half = np.empty((*block.shape[:-2], -(-block.shape[-2] // 2), -(-block.shape[-1] // 2)), dtype=block.dtype)
    for layer in range(block.shape[0]):  # layer by layer, so that the wider sums stay small
        half[layer] = halve(block[layer])
    return half


def _mean(layer: NDArray[Any]) -> NDArray[Any]:
    """Average 2 x 2 pixels of a YX layer."""
    height, width = layer.shape
    # Repeating an odd last row keeps its mean and leaves one rule for all pixels.
    if height % 2 or width % 2:
        layer = np.pad(layer, [(0, height % 2), (0, width % 2)], mode="edge")
    if layer.dtype.kind == "f":
        rows = layer[0::2] * 0.5 + layer[1::2] * 0.5
        return np.asarray((rows[:, 0::2] + rows[:, 1::2]) * 0.5, dtype=layer.dtype)
    wide = {1: np.int16, 2: np.int32}.get(layer.dtype.itemsize, np.int64)
    sums = np.add(layer[0::2], layer[1::2], dtype=wide)
    total = sums[:, 0::2] + sums[:, 1::2]
    # The shift rounds down, also below zero: with the two added before, half up.
    return np.asarray((total + wide(2)) >> wide(2), dtype=layer.dtype)
