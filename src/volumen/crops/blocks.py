"""Blocks: which parts of a segment to hold out, and which windows they touch."""

from __future__ import annotations

from itertools import pairwise, product
from typing import TYPE_CHECKING

import numpy as np

from volumen.windows import Window, grid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from volumen.crops.counts import PixelCounts
    from volumen.crops.select import Crop
    from volumen.windows import Range

FEWEST_BLOCKS = 10
"""Larger blocks lose fewer windows to the guard band, but a share of fewer blocks than this is a coarse one."""

_DRAWS = 8  # the one that leaves most windows to learn from is taken


def draw_blocks(
    crops: Sequence[Crop],
    counts: PixelCounts,
    *,
    sides: Sequence[int],
    share: float,
    guard: int,
    rng: np.random.Generator,
) -> list[Window]:
    """Draw blocks to hold out; ink and background both remain on either side.

    Blocks with supervised pixels are sorted by their ink before `draw_from`. The largest side that gives enough of
    them is taken.

    Parameters
    ----------
    crops
        Windows to learn from.
    counts
        Counted on the rows of the blocks of every side, too.
    sides
        Sides of a block to try in pixels, largest first.
    share
        Of the blocks to hold out, in [0, 1].
    guard
        Windows this near to a held-out block, in pixels, are lost.

    Returns
    -------
    list of Window
        In row order; empty where no draw leaves ink and background on either side.
    """
    for side in sides:
        blocks = [block & counts.within for block in grid(counts.within, side, side)]
        labelled = [(block, shares) for block in blocks if (shares := counts.shares(block)).supervised]
        labelled.sort(key=lambda pair: pair[1].ink)
        drawn = draw_from(
            [block for block, _ in labelled],
            lambda drawn: _windows_left(crops, counts, drawn, guard),
            fewest=FEWEST_BLOCKS if side != sides[-1] else 2,
            share=share,
            rng=rng,
        )
        if drawn:
            return drawn
    return []


def draw_from(
    blocks: Sequence[Window],
    left: Callable[[Sequence[Window]], int],
    *,
    fewest: int,
    share: float,
    rng: np.random.Generator,
) -> list[Window]:
    """Draw blocks to hold out: one from each of as many runs of blocks as are held out.

    Of several such draws, the one that leaves most to learn from is taken.

    Parameters
    ----------
    blocks
        In an order along which to hold out alike.
    left
        Counts what is left to learn from beside the blocks drawn.
    fewest
        With fewer blocks than these, none are drawn.
    share
        Of the blocks to hold out, in [0, 1]; at least one is, and one is not.

    Returns
    -------
    list of Window
        In row order; empty where there are too few blocks, or no draw leaves anything.
    """
    if len(blocks) < fewest:
        return []
    count = min(max(1, round(share * len(blocks))), len(blocks) - 1)
    cuts = np.linspace(0, len(blocks), count + 1).round().astype(int)
    draws = [[blocks[int(rng.integers(start, stop))] for start, stop in pairwise(cuts)] for _ in range(_DRAWS)]
    kept = [left(drawn) for drawn in draws]
    best = int(np.argmax(kept))
    return sorted(draws[best], key=lambda block: (block.y, block.x)) if kept[best] else []


def partition(within: Window, size: tuple[int, int]) -> list[Window]:
    """Part a window into boxes as alike as can be, each at least ``size`` (H, W) if it is itself, row by row.

    Examples
    --------
    >>> [box.x for box in partition(Window((0, 1), (0, 64), (10, 160)), (64, 60))]
    [(10, 85), (85, 160)]
    """
    rows, columns = _cuts(within.y, size[0]), _cuts(within.x, size[1])
    return [Window(within.z, y, x) for y, x in product(pairwise(rows), pairwise(columns))]


def touched(windows: Sequence[Window], boxes: Sequence[Window]) -> NDArray[np.bool_]:
    """Return for each window whether it shares a pixel with any of the boxes (layers are not looked at)."""
    boxes = [box for box in boxes if not box.empty]
    if not windows or not boxes:
        return np.zeros(len(windows), np.bool_)
    ys, xs, cells = _cells(boxes)
    sums = np.pad(cells.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))  # cells above a row and left of a column
    y0, y1, x0, x1 = np.array([window.box for window in windows], np.int64).T
    top, bottom = _reached(ys, y0, y1)
    left, right = _reached(xs, x0, x1)
    hit = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    return np.asarray((hit > 0) & (y0 < y1) & (x0 < x1))


def disjoint(windows: Sequence[Window]) -> tuple[Window, ...]:
    """Cover the same pixels with boxes that share none, row by row; layers are those of the first.

    Examples
    --------
    >>> overlapping = [Window((0, 1), (0, 4), (0, 4)), Window((0, 1), (2, 6), (0, 4))]
    >>> disjoint(overlapping)
    (Window(z=(0, 1), y=(0, 6), x=(0, 4)),)
    """
    if not windows:
        return ()
    ys, xs, free = _cells(windows)
    boxes = []
    for top, left in np.argwhere(free):
        if not free[top, left]:  # taken by a box that was begun before
            continue
        right = left + int(np.argmin(np.append(free[top, left:], False)))
        bottom = top + int(np.argmin(np.append(free[top:, left:right].all(axis=1), False)))
        free[top:bottom, left:right] = False
        boxes.append(Window(windows[0].z, (int(ys[top]), int(ys[bottom])), (int(xs[left]), int(xs[right]))))
    return tuple(boxes)


def _cuts(within: Range, least: int) -> list[int]:
    start, stop = within
    count = max(1, (stop - start) // least)
    return [start + (stop - start) * index // count for index in range(count + 1)]


def _cells(boxes: Sequence[Window]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Cut the plane at every edge of the boxes: y edges, x edges, and which cells between them are covered."""
    ys = np.unique([edge for box in boxes for edge in box.y])
    xs = np.unique([edge for box in boxes for edge in box.x])
    cells = np.zeros((len(ys) - 1, len(xs) - 1), np.bool_)
    for box in boxes:
        (top, bottom), (left, right) = np.searchsorted(ys, box.y), np.searchsorted(xs, box.x)
        cells[top:bottom, left:right] = True
    return ys, xs, cells


def _reached(
    edges: NDArray[np.int64], start: NDArray[np.int64], stop: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the half-open ranges of cells between ``edges`` that ranges of pixels share a pixel with."""
    first = np.searchsorted(edges, start, side="right") - 1
    last = np.searchsorted(edges, stop, side="left")
    return first.clip(0, len(edges) - 1), last.clip(0, len(edges) - 1)


def _windows_left(crops: Sequence[Crop], counts: PixelCounts, drawn: Sequence[Window], guard: int) -> int:
    """Count the windows left to learn from; 0 where either side lacks ink or background."""
    near = touched([crop.window for crop in crops], [block.halo(guard) for block in drawn])
    left = [crop.shares for crop, hit in zip(crops, near, strict=True) if not hit]
    held_out = [counts.shares(block) for block in drawn]
    both = all(
        any(shares.ink for shares in side) and any(shares.background for shares in side) for side in (left, held_out)
    )
    return len(left) if both else 0
