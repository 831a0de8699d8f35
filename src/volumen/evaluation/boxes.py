"""Boxes around what a probability map shows: its connected components, found block by block in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from volumen.errors import SettingsError
from volumen.evaluation.counts import level_of, quantise
from volumen.evaluation.forest import Forest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

_NEIGHBOURS = np.ones((3, 3), dtype=np.bool_)  # pixels that touch at a corner hang together


@dataclass(frozen=True, slots=True, order=True)
class Box:
    """What hangs together, as the upright box around it.

    Parameters
    ----------
    y0, y1, x0, x1
        Pixels at full size, the ends excluded.
    area
        How many pixels hang together: at most those of the box.
    score
        Their mean probability, in [0, 1].
    """

    y0: int
    y1: int
    x0: int
    x1: int
    area: int
    score: float


def find_boxes(
    probability: NDArray[Any], *, threshold: float = 0.5, min_area: int = 1, gap: int = 0, block: int | None = None
) -> list[Box]:
    """Return the boxes of a map in memory, from top to bottom and left to right.

    Parameters
    ----------
    probability
        YX, uint8 (0…255) or float in [0, 1].
    threshold, min_area, gap
        As in `BoxFinder`.
    block
        Side of the blocks it is gone through in; all at once if not given. The boxes do not depend on it.

    Examples
    --------
    >>> image = np.zeros((4, 9))
    >>> image[1:3, 1:3] = image[1, 5:8] = 1.0
    >>> [(box.y0, box.y1, box.x0, box.x1, box.area) for box in find_boxes(image)]
    [(1, 2, 5, 8, 3), (1, 3, 1, 3, 4)]
    >>> [(box.y0, box.y1, box.x0, box.x1) for box in find_boxes(image, gap=2)]
    [(1, 3, 1, 8)]
    """
    height, width = probability.shape
    side = block or max(height, width, 1)
    finder = BoxFinder(width, threshold=threshold, min_area=min_area, gap=gap)
    found: list[Box] = []
    for top in range(0, height, side):
        for left in range(0, width, side):
            rows, columns = finder.reach(top, left)
            found += finder.add(probability[rows : top + side, columns : left + side], top, left)
    return sorted([*found, *finder.finish()])


class BoxFinder:
    """Connected components of a map that comes block by block: row of blocks by row of blocks, left to right.

    Pixels hang together where they touch, at a side or a corner (Rosenfeld and Pfaltz 1966), or lie at most ``gap``
    px apart along both axes, so that the strokes of a letter may be one. Only what touches the edge of a block is
    remembered, until a row of blocks ends below it; so memory grows with the width of the map, not with its height.

    Parameters
    ----------
    width
        Of the map, in pixels.
    threshold
        Probability in (0, 1] from which a pixel is called.
    min_area
        Fewest called pixels of a box.
    gap
        Pixels between called ones that do not part them.

    Raises
    ------
    SettingsError
        A setting is out of bounds.
    """

    def __init__(self, width: int, *, threshold: float = 0.5, min_area: int = 1, gap: int = 0) -> None:
        if not 0 < threshold <= 1 or min_area < 1 or gap < 0:
            raise SettingsError(
                "Boxes need a threshold in (0, 1], an area of at least 1 px and a gap of at least 0 px; "
                f"got {threshold}, {min_area} and {gap}."
            )
        self._threshold, self._min_area, self._gap = threshold, min_area, gap
        self._forest = Forest()
        self._levels = 256
        self._above = np.zeros(width + 2, dtype=np.int64)  # labels along the row above the blocks, with a rim
        self._below = np.zeros(width + 2, dtype=np.int64)
        self._left = np.zeros(0, dtype=np.int64)

    def reach(self, top: int, left: int) -> tuple[int, int]:
        """Return from which row and column on `add` has to see a block: a gap is bridged from above and left."""
        return max(0, top - self._gap), max(0, left - self._gap)

    def add(self, probability: NDArray[Any], top: int, left: int) -> Iterator[Box]:
        """Take in the next block, and return the boxes that are complete with it, in no order.

        Parameters
        ----------
        probability
            YX, uint8 (0…255) or float in [0, 1]; from `reach` on, to the end of the block.
        top, left
            First row and column of the block.

        Raises
        ------
        LabelError
            A probability is NaN or outside [0, 1].
        """
        level, self._levels = quantise(probability)
        called = level >= max(1, level_of(self._threshold, self._levels))
        rows, columns = (at - first for at, first in zip((top, left), self.reach(top, left), strict=True))
        near = _reached(called, self._gap)[rows:, columns:]
        level, called = level[rows:, columns:], called[rows:, columns:]
        labels, count = ndimage.label(near, structure=_NEIGHBOURS)
        parts = _measure(labels, called, level, count, (top, left))
        edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
        inner = np.delete(np.arange(count + 1), np.append(edge, 0))
        done = self._next_row() if left == 0 else []
        self._connect(labels, edge[edge > 0], parts, left)
        return self._boxes([*parts[inner], *done])

    def finish(self) -> Iterator[Box]:
        """Return the boxes that reach the last row of blocks, in no order."""
        return self._boxes(self._forest.keep([]))

    def _next_row(self) -> list[NDArray[np.float64]]:
        """Begin a row of blocks: what does not reach it from above is complete."""
        self._above, self._below = self._below, np.zeros_like(self._below)
        return self._forest.keep(np.unique(self._above[self._above > 0]).tolist())

    def _connect(
        self, labels: NDArray[np.integer[Any]], edge: NDArray[Any], parts: NDArray[np.float64], left: int
    ) -> None:
        """Join what touches the block's edge to what it touches there, and remember it under new labels."""
        names = np.zeros(len(parts), dtype=np.int64)
        names[edge] = self._forest.plant(parts[edge])
        height, width = labels.shape
        first, last = names[labels[0]], names[labels[-1]]
        above = self._above[left : left + width + 2]  # one further on either side, because of the rim
        for shift in range(3):
            self._forest.join(first, above[shift : shift + width])
        if left:
            column = np.pad(self._left, 1)
            for shift in range(3):
                self._forest.join(names[labels[:, 0]], column[shift : shift + height])
        self._left = names[labels[:, -1]]
        self._below[left + 1 : left + 1 + width] = last

    def _boxes(self, parts: Iterable[NDArray[np.float64]]) -> Iterator[Box]:
        for y0, y1, x0, x1, area, total in parts:
            if area >= self._min_area:
                yield Box(int(y0), int(y1), int(x0), int(x1), int(area), float(total / area / (self._levels - 1)))


def _reached(called: NDArray[np.bool_], gap: int) -> NDArray[np.bool_]:
    """Return the pixels that lie at most ``gap`` px below and right of a called one.

    Squares of gap + 1 px, each with a called pixel in its top left corner, touch just where called pixels are at most
    ``gap`` px apart along both axes.
    """
    reached = called
    for axis in (0, 1):
        if gap:
            shifted = ndimage.maximum_filter1d(
                reached.astype(np.uint8), gap + 1, axis=axis, mode="constant", origin=gap // 2
            )
            reached = shifted > 0
    return reached


def _measure(
    labels: NDArray[np.integer[Any]],
    called: NDArray[np.bool_],
    level: NDArray[np.integer[Any]],
    count: int,
    corner: tuple[int, int],
) -> NDArray[np.float64]:
    """Return box, area and sum of levels of each label, float64 (count + 1, 6), row 0 of nothing.

    A part that only a gap's bridge crosses has no called pixel: its box is turned inside out, so that it adds nothing.
    """
    there = labels[called]
    parts = np.empty((count + 1, 6))
    parts[:, [0, 2]], parts[:, [1, 3]] = np.inf, -np.inf
    for name, box in enumerate(ndimage.find_objects(labels * called, max_label=count), start=1):
        if box is not None:
            (y, x), (top, left) = box, corner
            parts[name, :4] = (y.start + top, y.stop + top, x.start + left, x.stop + left)
    parts[:, 4] = np.bincount(there, minlength=count + 1)
    parts[:, 5] = np.bincount(there, weights=level[called].astype(np.float64), minlength=count + 1)
    return parts
