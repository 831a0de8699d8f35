"""PixelCounts: how much ink, background and papyrus any box of a segment holds, after one pass over its rasters."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from volumen.crops.shares import Shares
from volumen.windows import Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from volumen.sources.segment import Segment

_STRIP = 256  # rows read at a time: bounds the memory, whatever the height of a window


@dataclass(frozen=True, kw_only=True, eq=False)
class PixelCounts:
    """Sums over rows that were asked for, from which every box between two of them is a difference.

    Parameters
    ----------
    within
        What was counted, inside the segment.
    rows
        Sorted y edges in pixels; a box must start and end on them, or outside ``within``.
    sums
        uint32 (kind, row, W + 1): pixels of a kind above a row and left of an x, from the corner of
        ``within``. Kinds are ink, background, papyrus. Differences are exact even where a sum runs over.
    """

    within: Window
    rows: tuple[int, ...]
    sums: NDArray[np.uint32]

    @classmethod
    def of(cls, segment: Segment, within: Window, rows: Iterable[int], *, labelled: bool = True) -> PixelCounts:
        """Count in strips: each raster pixel is read once, and memory grows with the rows asked for only.

        Without ``labelled`` no label is read, and all pixels count as unsupervised.
        """
        top, bottom = within.y
        edges = sorted({top, bottom, *(min(max(row, top), bottom) for row in rows)})
        sums = np.zeros((3, len(edges), within.shape[2] + 1), np.uint32)
        for index, edge in enumerate(pairwise(edges), start=1):
            strips = _strips(within, *edge)
            columns = sum((_columns(segment, strip, labelled) for strip in strips), np.zeros(1, np.uint32))
            sums[:, index, 1:] = sums[:, index - 1, 1:] + np.cumsum(columns, axis=1, dtype=np.uint32)
        return cls(within=within, rows=tuple(edges), sums=sums)

    def shares(self, window: Window) -> Shares:
        """Count in a window; what of it lies outside ``within`` is unsupervised."""
        inside = window & self.within
        if inside.empty:
            return Shares(unsupervised=window.shape[1] * window.shape[2])
        top, bottom = (bisect_left(self.rows, row) for row in inside.y)
        if (self.rows[top], self.rows[bottom]) != inside.y:
            raise ValueError(f"Rows {inside.y} were not counted; expected edges among {self.rows[:8]}…")
        left, right = (x - self.within.x[0] for x in inside.x)
        corners = self.sums[:, [top, top, bottom, bottom], [left, right, left, right]]
        ink, background, papyrus = map(int, corners[:, 3] - corners[:, 2] - corners[:, 1] + corners[:, 0])
        unsupervised = window.shape[1] * window.shape[2] - ink - background
        return Shares(ink=ink, background=background, unsupervised=unsupervised, papyrus=papyrus)


def _strips(within: Window, start: int, stop: int) -> Iterator[Window]:
    for y in range(start, stop, _STRIP):
        yield Window(within.z, (y, min(y + _STRIP, stop)), within.x)


def _columns(segment: Segment, strip: Window, labelled: bool) -> NDArray[np.uint32]:
    """Count ink, background and papyrus in each column of a strip: (3, W)."""
    papyrus = segment.papyrus(strip)
    if labelled:
        supervised = segment.supervised(strip)
        ink = segment.raster("ink").read(strip) > 0.5
        kinds = (ink & supervised, ~ink & supervised, papyrus)
    else:
        nothing = np.zeros_like(papyrus)
        kinds = (nothing, nothing, papyrus)
    return np.stack([np.count_nonzero(kind, axis=0) for kind in kinds]).astype(np.uint32)
