"""Blocks: which parts of a segment to hold out, and which windows they touch."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise
from operator import add
from typing import TYPE_CHECKING

import numpy as np

from volumen.crops.shares import Shares
from volumen.windows import Window, grid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from volumen.crops.counts import PixelCounts
    from volumen.crops.select import Crop

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

    Blocks with supervised pixels are sorted by their ink and parted into as many runs as blocks are held out;
    one block is drawn from each run. The largest side that gives enough blocks is taken.

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
        if len(labelled) < (FEWEST_BLOCKS if side != sides[-1] else 2):
            continue
        labelled.sort(key=lambda pair: pair[1].ink)
        drawn = [_draw(labelled, share, rng) for _ in range(_DRAWS)]
        kept = [_windows_left(crops, draw, guard) for draw in drawn]
        best = int(np.argmax(kept))
        if kept[best]:
            return sorted((block for block, _ in drawn[best]), key=lambda block: (block.y, block.x))
    return []


def touched(windows: Sequence[Window], boxes: Sequence[Window]) -> NDArray[np.bool_]:
    """Return for each window whether it shares a pixel with any of the boxes (layers are not looked at)."""
    hit = np.zeros(len(windows), np.bool_)
    y0, y1, x0, x1 = np.array([window.box for window in windows], np.int64).reshape(-1, 4).T
    for box in boxes:
        if not box.empty:
            hit |= (y0 < box.y[1]) & (box.y[0] < y1) & (x0 < box.x[1]) & (box.x[0] < x1)
    return hit


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
    ys = sorted({edge for window in windows for edge in window.y})
    xs = sorted({edge for window in windows for edge in window.x})
    free = np.zeros((len(ys) - 1, len(xs) - 1), np.bool_)
    for window in windows:
        free[ys.index(window.y[0]) : ys.index(window.y[1]), xs.index(window.x[0]) : xs.index(window.x[1])] = True
    boxes = []
    for top, left in np.argwhere(free):
        if not free[top, left]:  # taken by a box that was begun before
            continue
        right = left + int(np.argmin(np.append(free[top, left:], False)))
        bottom = top + int(np.argmin(np.append(free[top:, left:right].all(axis=1), False)))
        free[top:bottom, left:right] = False
        boxes.append(Window(windows[0].z, (ys[top], ys[bottom]), (xs[left], xs[right])))
    return tuple(boxes)


def _draw(
    labelled: Sequence[tuple[Window, Shares]], share: float, rng: np.random.Generator
) -> list[tuple[Window, Shares]]:
    count = min(max(1, round(share * len(labelled))), len(labelled) - 1)
    cuts = np.linspace(0, len(labelled), count + 1).round().astype(int)
    return [labelled[int(rng.integers(start, stop))] for start, stop in pairwise(cuts)]


def _windows_left(crops: Sequence[Crop], drawn: Sequence[tuple[Window, Shares]], guard: int) -> int:
    """Count the windows left to learn from; 0 where either side lacks ink or background."""
    near = touched([crop.window for crop in crops], [block.halo(guard) for block, _ in drawn])
    left = [crop.shares for crop, hit in zip(crops, near, strict=True) if not hit]
    sides = reduce(add, left, Shares()), reduce(add, (shares for _, shares in drawn), Shares())
    return len(left) if all(side.ink and side.background for side in sides) else 0
