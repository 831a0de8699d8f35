"""papyrus_corners: the windows of a grid that lie on papyrus, as the numbers that a table of them holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from volumen.crops.counts import PixelCounts
from volumen.crops.select import place_ranges
from volumen.errors import SettingsError
from volumen.windows import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from volumen.sources.segment import Segment


def papyrus_corners(segment: Segment, within: Window, *, side: int, stride: int, least: float) -> NDArray[np.int32]:
    """Place square windows on a grid and keep those on papyrus; memory grows with the width, not with the height.

    Parameters
    ----------
    segment
        With or without a mask; without one there is papyrus everywhere.
    within
        Where to place them, inside the segment; the last window of an axis lies at its very end.
    side, stride
        Of a window, and from one to the next, in px.
    least
        Share of a window that must lie on papyrus, in (0, 1].

    Returns
    -------
    ndarray
        y and x of each window's top left pixel, int32 (windows, 2), row by row.

    Raises
    ------
    SettingsError
        No window lies on papyrus.
    """
    ys, xs = (
        [at for at in place_ranges(span, side, stride, to_end=True) if at[1] <= span[1]]
        for span in (within.y, within.x)
    )
    corners: list[tuple[int, int]] = []
    for y in ys:
        row = Window(within.z, y, within.x).clip(segment.shape)
        counts = PixelCounts.of(segment, row, (), labelled=False)
        for x in xs:
            shares = counts.shares(Window(within.z, y, x))
            if shares.of(shares.papyrus) >= least:
                corners.append((y[0], x[0]))
    if not corners:
        raise SettingsError(
            f"Expected windows of {side} px on the papyrus of {segment.name}; of {len(ys) * len(xs)}, none has "
            f"{least:.0%} of it. Take a smaller window, another region or mask, or a smaller --min-papyrus."
        )
    return np.array(corners, dtype=np.int32)
