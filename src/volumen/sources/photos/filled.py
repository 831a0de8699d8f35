"""Filled polygons: which pixels have their centre inside, so that the count of pixels follows the exact area."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from volumen.sources.outlines import FARTHEST, area_of, box_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from volumen.sources.outlines import Outline

FEW_CORNERS = "polygon of fewer than three corners"
NOT_FINITE = "polygon with a corner that is no number"
NO_AREA = "polygon without area"
OUTSIDE_IMAGE = "polygon wholly outside the image"
REACHING_OUT = "polygon cut at the image's edge"


def polygon_fault(corners: Outline, shape: tuple[int, int]) -> str:
    """Say why a polygon marks nothing of an image of (H, W) px; empty where it does.

    Examples
    --------
    >>> polygon_fault(((0, 0), (4, 0)), (10, 10))
    'polygon of fewer than three corners'
    >>> polygon_fault(((0, 0), (4, 4), (8, 8)), (10, 10))
    'polygon without area'
    """
    if len(corners) < 3:
        return FEW_CORNERS
    if not all(math.isfinite(side) for corner in corners for side in corner):
        return NOT_FINITE
    if not area_of(corners):
        return NO_AREA
    xs, ys = zip(*corners, strict=True)
    height, width = shape
    outside = max(xs) <= 0 or max(ys) <= 0 or min(xs) >= width or min(ys) >= height
    return OUTSIDE_IMAGE if outside or max(map(abs, (*xs, *ys))) > FARTHEST else ""


def reaches_out(corners: Outline, shape: tuple[int, int]) -> bool:
    """Whether a part of a polygon lies beyond an image of (H, W) px."""
    height, width = shape
    return any(not (0 <= x <= width and 0 <= y <= height) for x, y in corners)


def filled(polygons: Iterable[Outline], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which pixels of an image lie in any of the polygons.

    A pixel's centre stands half a pixel right of and below its corner, so that a box from 0 to 10 fills ten pixels
    and not eleven. Where a polygon crosses itself, what it goes round twice is outside (the even-odd rule).

    Parameters
    ----------
    polygons
        Corners (x, y) in px; without a `polygon_fault`.
    shape
        (H, W) of the image.

    Examples
    --------
    >>> filled([((1, 0), (3, 0), (3, 2), (1, 2))], (3, 4)).astype(int).tolist()
    [[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    """
    canvas = np.zeros(shape, dtype=np.bool_)
    for corners in polygons:
        y0, y1, x0, x1 = box_of(corners, shape)
        if y0 < y1 and x0 < x1:
            canvas[y0:y1, x0:x1] |= _inside(np.asarray(corners, dtype=np.float64), (y0, y1, x0, x1))
    return canvas


def _inside(corners: NDArray[np.float64], box: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    """Return which pixel centres of a box are inside: those with an odd number of edges to their left."""
    y0, y1, x0, x1 = box
    # one more column takes the edges that lie right of all centres
    edges = np.zeros((y1 - y0, x1 - x0 + 1), dtype=np.int64)
    centres = np.arange(y0, y1) + 0.5
    for (x, y), (u, v) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        # half-open, so that a corner between two edges is crossed once
        rows = np.flatnonzero((min(y, v) <= centres) & (centres < max(y, v)))
        crossed = x + (centres[rows] - y) * (u - x) / (v - y) if rows.size else np.zeros(0)
        columns = np.ceil(crossed - 0.5).clip(x0, x1).astype(np.int64) - x0
        edges[rows, columns] += 1  # each row once
    odd: NDArray[np.bool_] = edges.cumsum(axis=1)[:, :-1] % 2 == 1
    return odd
