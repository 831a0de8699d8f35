"""Label share: of the windows to learn from, those that a few hours of painting in one place would give."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import add
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

from volumen.crops.counts import PixelCounts
from volumen.crops.shares import Shares
from volumen.errors import LabelError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from volumen.crops.split import Split
    from volumen.sources.segment import Segment
    from volumen.windows import Window

_STREAM = crc32(b"label share")  # apart from what else is drawn of the same seed


def keep_share(segments: Sequence[Segment], splits: Sequence[Split], *, share: float, seed: int) -> tuple[Split, ...]:
    """Keep a share of the windows to learn from, all in one place; what is held out stays.

    A window that holds ink is drawn by ``seed``, and those nearest to it are kept until they cover the share, counted
    in pixels, since windows overlap. So it is as if somebody had painted a few letters somewhere, and a smaller share
    of the same seed is a part of a larger one. Where a segment has no more, the next segments follow.

    Parameters
    ----------
    segments, splits
        In the same order.
    share
        Of the pixels that all training windows cover, in (0, 1]; at least one window is kept.
    seed
        Draws the place.

    Returns
    -------
    tuple of Split
        With fewer windows, some perhaps with none, and the shares of these; ``splits`` as they are for a share of 1.

    Raises
    ------
    LabelError
        The windows kept hold nothing but ink, or no window holds any.
    SettingsError
        The share is not in (0, 1].
    """
    if not 0 < share <= 1:
        raise SettingsError(f"A label share lies in 0…1, 0 excluded; got {share}.")
    if share == 1:
        return tuple(splits)
    windows = [(number, window) for number, split in enumerate(splits) for window in split.train]
    held = [_count(segment, split.train) for segment, split in zip(segments, splits, strict=True)]
    inside = [shares for group in held for shares in group]
    order = _nearest_first(windows, _draw(inside, seed))
    covered = np.concatenate([[0.0], _covered(windows, order)])
    kept = order[: max(1, int(np.abs(covered - share).argmin()))]
    reduce(add, (inside[index] for index in kept)).check(f"the {share:g} of the training windows that is learned from")
    return tuple(_kept(split, number, windows, inside, sorted(kept)) for number, split in enumerate(splits))


def _count(segment: Segment, windows: Sequence[Window]) -> list[Shares]:
    """Count what each window holds, reading each pixel once."""
    if not windows:
        return []
    rows = [row for window in windows for row in window.y]
    counts = PixelCounts.of(segment, segment.window, rows)
    return [counts.shares(window) for window in windows]


def _draw(inside: Sequence[Shares], seed: int) -> int:
    """Draw the window that the others are near to, among those with ink."""
    inked = [index for index, shares in enumerate(inside) if shares.ink]
    if not inked:
        raise LabelError("Expected ink in some training window, to learn from a share of them; none holds any.")
    return inked[int(np.random.default_rng([seed, _STREAM]).integers(len(inked)))]


def _nearest_first(windows: Sequence[tuple[int, Window]], anchor: int) -> list[int]:
    """Sort by distance from the anchor, its own segment first; equals in the order given."""
    home, middle = windows[anchor]
    count = 1 + max(number for number, _ in windows)

    def distance(index: int) -> tuple[int, int]:
        number, window = windows[index]
        y, x = (sum(span) - sum(other) for span, other in ((window.y, middle.y), (window.x, middle.x)))
        return ((number - home) % count, y * y + x * x)

    return sorted(range(len(windows)), key=distance)


def _covered(windows: Sequence[tuple[int, Window]], order: Sequence[int]) -> NDArray[np.float64]:
    """Return, window by window in this order, the share of all windows' pixels that is covered by then."""

    def gained(order: Iterable[int]) -> list[int]:
        homes = {number for number, _ in windows}
        cells = {home: _Cells([window for number, window in windows if number == home]) for home in homes}
        return [cells[windows[index][0]].take(windows[index][1]) for index in order]

    return np.cumsum(gained(order)) / sum(gained(range(len(windows))))


class _Cells:
    """The plane cut at every edge of some windows: which cells no window has taken yet, and how large each is."""

    def __init__(self, windows: Sequence[Window]) -> None:
        self._ys = np.unique([edge for window in windows for edge in window.y])
        self._xs = np.unique([edge for window in windows for edge in window.x])
        self._left = np.outer(np.diff(self._ys), np.diff(self._xs))

    def take(self, window: Window) -> int:
        """Take a window's pixels and return how many nobody had taken."""
        (top, bottom), (left, right) = np.searchsorted(self._ys, window.y), np.searchsorted(self._xs, window.x)
        part = self._left[top:bottom, left:right]
        gained = int(part.sum())
        part[...] = 0
        return gained


def _kept(
    split: Split,
    number: int,
    windows: Sequence[tuple[int, Window]],
    inside: Sequence[Shares],
    kept: Sequence[int],
) -> Split:
    """Return a split with those of its windows that were kept, in their order."""
    mine = [index for index in kept if windows[index][0] == number]
    shares = reduce(add, (inside[index] for index in mine), Shares())
    return replace(split, train=tuple(windows[index][1] for index in mine), shares=shares)
