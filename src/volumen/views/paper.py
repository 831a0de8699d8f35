"""Paper: what is written on a line cut out along its margins, and set down again on paper of one grey.

What lies around writing, wider on one side or of another grain, would answer for the writing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    Ends = tuple[int, int]


def set_down(image: Tensor, written: tuple[Ends, Ends], rows: Tensor, columns: Tensor) -> Tensor:
    """Return these rows and columns of an image CHW; outside of what is written all is paper, the image's median.

    Parameters
    ----------
    written
        First row and the one behind the last, and columns likewise.
    rows, columns
        int64, from anywhere.
    """
    (top, bottom), (first, last) = written
    shown = image[:, rows.clamp(top, bottom - 1)][:, :, columns.clamp(first, last - 1)]
    inside = ((rows >= top) & (rows < bottom))[:, None] & (columns >= first) & (columns < last)
    return torch.where(inside, shown, image.median())


def margined(ends: Ends, before: int, after: int) -> Tensor:
    """Return the columns between two ends with so many before and after them (below 0: without), int64; at least one.

    Examples
    --------
    >>> margined((4, 7), 2, -1).tolist()
    [2, 3, 4, 5]
    """
    first, last = ends[0] - before, ends[1] + after
    return torch.arange(first, max(last, first + 1))


def standing(ends: Ends, height: int, place: float, *, cut: int = 0) -> Tensor:
    """Return the rows that a height shows where what is written between two ends stands at a drawn place.

    Parameters
    ----------
    place
        From 0 (at the top) to 1 (at the bottom).
    cut
        Rows of what is written that may lie outside, above and below.

    Examples
    --------
    >>> standing((1, 3), 4, 0.0).tolist(), standing((1, 3), 4, 1.0).tolist()
    ([1, 2, 3, 4], [-1, 0, 1, 2])
    """
    places = max(height - (ends[1] - ends[0]), 0) + 2 * cut
    return torch.arange(height) + ends[0] + cut - min(int(place * (places + 1)), places)


def like_paper_of(whole: Tensor, part: Tensor) -> Tensor:
    """Give a part the paper of the whole: its median made equal, cut to [0, 1]."""
    return (part + (whole.median() - part.median())).clamp_(0, 1)
