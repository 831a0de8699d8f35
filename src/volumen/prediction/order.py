"""Order: which tiles are computed first, where somebody looks at a place and waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from volumen.prediction.plan import Tile
    from volumen.windows import Range

Batch = tuple["Tile", ...]

_RINGS = 3  # tiles to every side of the nearest: more than a screen at full size, for tiles of 500 px or more

SQUARE = 2 * _RINGS + 1
"""Tiles a side of what lies in the rings."""


def near_first(batches: Sequence[Batch], near: tuple[int, int], *, rows_only: bool = False) -> list[Batch]:
    """Order batches by their distance from ``near`` (Y, X) px: rings of tiles close to it, then rows from it outwards.

    Rings all the way would leave a frontier as long as the map's circumference, with sums and source kept along all
    of it. Beyond three tiles from the point, whole rows follow, in turn above and below: what is kept is then at most
    what two rows of tiles need, and a square of seven tiles a side. A source that is read in pieces wider than that
    would be kept along all seven rows; for such, ``rows_only`` goes by rows from the start.

    Examples
    --------
    >>> from volumen.prediction.plan import TilePlan
    >>> from volumen.windows import Window
    >>> plan = TilePlan(volume=(1, 96, 96), region=Window.whole((1, 96, 96)), tile=32, overlap=0)
    >>> first, *_, last = near_first([(tile,) for tile in plan.tiles], (90, 50))
    >>> first[0].window.box, last[0].window.box
    ((64, 96, 32, 64), (0, 32, 0, 32))
    """
    rings = -1 if rows_only else _RINGS
    return sorted(batches, key=lambda batch: min(_distance(tile, near, rings) for tile in batch))


def _distance(tile: Tile, near: tuple[int, int], rings: int) -> tuple[int, float]:
    """Return the ring that a tile lies in, and its rank there."""
    y, x = near
    down, right = _steps(tile.window.y, y), _steps(tile.window.x, x)
    ring = round(max(down, right))
    return (ring, down**2 + right**2) if ring <= rings else (rings + 1, down)


def _steps(side: Range, point: int) -> float:
    """Return how many sides of a tile its middle is from ``point``."""
    start, stop = side
    return abs((start + stop) / 2 - point) / (stop - start)
