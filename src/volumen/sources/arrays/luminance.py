"""luminance: colour and transparency to grey, in the range of the type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_AT_ONCE = 1 << 20  # pixels; what is in between takes up to forty bytes for each


def luminance(pixels: NDArray[Any], *, ground: float = 0.0) -> NDArray[Any]:
    """Turn YXC into YX: luma of the colours (ITU-R BT.601), laid over a ground where it is transparent.

    Parameters
    ----------
    pixels
        YXC, C being grey, grey and alpha, RGB or RGBA; 1-bit becomes 0 and 255, floats stay in [0, 1].
    ground
        What shines through, from 0, black, to 1, white.

    Examples
    --------
    >>> luminance(np.array([[[255, 0, 0], [0, 255, 0], [7, 7, 7]]], np.uint8)).tolist()
    [[76, 150, 7]]
    >>> luminance(np.array([[[40, 255], [40, 0]]], np.uint8), ground=1).tolist()
    [[40, 255]]
    """
    channels = pixels.shape[2]
    if channels == 1:
        return pixels[:, :, 0]
    flat = pixels.reshape(-1, channels)
    grey = np.empty(len(flat), np.uint8 if pixels.dtype == np.bool_ else pixels.dtype)
    for first in range(0, len(flat), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        grey[part] = _grey(flat[part], ground)
    return grey.reshape(pixels.shape[:2])


def _grey(pixels: NDArray[Any], ground: float) -> NDArray[Any]:
    """Turn NC into N."""
    channels = pixels.shape[1]
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    grey = pixels[:, 0]
    fractions = pixels.dtype.kind == "f"
    if channels >= 3 and (pixels[:, :3] != pixels[:, :1]).any():
        # 601 weights in thousandths: exact for greys
        wide: NDArray[Any] = pixels[:, :3].astype(np.float64 if fractions else np.uint32)
        luma = wide[:, 0] * 299 + wide[:, 1] * 587 + wide[:, 2] * 114
        grey = (luma / 1000 if fractions else (luma + 500) // 1000).astype(pixels.dtype)
    if channels in (2, 4):
        top = np.iinfo(pixels.dtype).max if pixels.dtype.kind in "ui" else 1.0
        alpha = pixels[:, channels - 1]
        if (alpha != top).any():
            opaque = alpha / np.float32(top)
            laid = grey * opaque + ground * top * (1 - opaque)
            grey = (laid if fractions else np.rint(laid)).astype(pixels.dtype)
    return grey
