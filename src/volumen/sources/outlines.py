"""Outlines: polygons drawn on a page or photograph: their area, and the box that holds them."""

from __future__ import annotations

import math

Outline = tuple[tuple[float, float], ...]
"""Corners (x, y) of a polygon, in pixels of the image; the last is joined to the first."""

FARTHEST = 1e7
"""Px; a corner beyond is damage, and nothing is drawn that far."""


def area_of(corners: Outline) -> float:
    """Return the area that a polygon encloses, in px², by the shoelace formula.

    Examples
    --------
    >>> area_of(((0, 0), (4, 0), (4, 3)))
    6.0
    """
    following = (*corners[1:], *corners[:1])
    return abs(sum(x * v - u * y for (x, y), (u, v) in zip(corners, following, strict=True))) / 2


def box_of(corners: Outline, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Return the part of an image of (H, W) px that holds a polygon, (y0, y1, x0, x1), the ends excluded."""
    xs, ys = zip(*corners, strict=True)
    height, width = shape
    return (
        max(0, math.floor(min(ys))),
        min(height, math.floor(max(ys)) + 1),
        max(0, math.floor(min(xs))),
        min(width, math.floor(max(xs)) + 1),
    )
