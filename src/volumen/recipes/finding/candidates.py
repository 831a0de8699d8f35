"""Candidates: the windows that might be labelled next, how unsure a map is of each, and which are labelled already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from volumen.evaluation.counts import INK
from volumen.evaluation.uncertainty import doubt, window_sums
from volumen.recipes.scopes import box_pixels
from volumen.windows import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from volumen.evaluation.uncertainty import Doubt
    from volumen.recipes.ink_map import InkMap
    from volumen.sources.segment import Segment

_MOSTLY = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """What is known of each window of a table.

    Parameters
    ----------
    doubt
        Mean over the window's papyrus of how unsure the map is, in [0, 1].
    free
        Whether it may be suggested: all predicted, no pixel of it labelled, none held out.
    labelled
        Whether a model may have learned what it looks like: mostly labelled, no pixel of it held out.
    """

    doubt: NDArray[np.float64]
    free: NDArray[np.bool_]
    labelled: NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        segment: Segment,
        ink_map: InkMap,
        corners: NDArray[np.int32],
        side: int,
        *,
        held_out: tuple[Window, ...] = (),
        kind: Doubt = "entropy",
    ) -> Candidates:
        """Look at every window, one row of them at a time.

        Parameters
        ----------
        segment
            Its held-out raster counts as well; labelled is what its ink label covers and its supervision trusts.
        ink_map
            Laid on the segment.
        corners, side
            y and x of each window's top left pixel, (windows, 2), and its side in px.
        held_out
            Boxes that a model never learned from, as its checkpoint says.
        """
        area = side * side
        unsure, free = np.zeros(len(corners)), np.zeros(len(corners), np.bool_)
        labelled = np.zeros(len(corners), np.bool_)
        for y in np.unique(corners[:, 0]):
            rows = np.flatnonzero(corners[:, 0] == y)
            lefts = corners[rows, 1].astype(np.int64)
            band = Window((0, 1), (int(y), int(y) + side), (0, segment.shape[2]))
            papyrus = segment.papyrus(band)
            apart = held_out_pixels(segment, band, held_out)
            painted = labelled_pixels(segment, band)
            sums = {
                name: window_sums(values, lefts, side)
                for name, values in {
                    "papyrus": papyrus,
                    "doubt": doubt(ink_map.levels(band), kind) * papyrus,
                    "predicted": ink_map.predicted_pixels(band),
                    "apart": apart,
                    "painted": painted,
                }.items()
            }
            unsure[rows] = sums["doubt"] / np.maximum(sums["papyrus"], 1)
            free[rows] = (sums["predicted"] == area) & (sums["apart"] == 0) & (sums["painted"] == 0)
            labelled[rows] = (sums["painted"] >= _MOSTLY * area) & (sums["apart"] == 0)
        return cls(doubt=unsure, free=free, labelled=labelled)


def held_out_pixels(segment: Segment, window: Window, boxes: tuple[Window, ...]) -> NDArray[np.bool_]:
    """Return which pixels are held out, by a checkpoint's boxes or by the segment's own raster, YX."""
    apart = box_pixels(boxes, window)
    return apart if segment.held_out is None else apart | (segment.held_out.read(window) > INK)


def labelled_pixels(segment: Segment, window: Window) -> NDArray[np.bool_]:
    """Return which pixels somebody has labelled, YX: none without an ink label; else where it may be trusted."""
    if segment.ink is None:
        return np.zeros(window.shape[1:], dtype=np.bool_)
    return segment.supervised(window)
