"""Ink: where something is written on a line, to tell blank parts and to leave margins out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_CONTRAST = 0.15  # of the full range, between ink and paper
_SPECK = 0.02  # of the height, in px: a row or a column with no more ink than that is blank
_PART = 0.005  # share of a part's pixels that must be ink: less than a dot of an i, more than dust


def ink(image: Tensor) -> Tensor:
    """Return bool (H, W), True where a grey image, 1HW in [0, 1], differs from its paper by 0.15 or more.

    Paper is the median of the image; ink may be darker or lighter.
    """
    return (image[0] - image.median()).abs() >= _CONTRAST


def is_written(inked: Tensor) -> bool:
    """Say whether a part of what `ink` returned has more on it than dust: half a hundredth of its pixels."""
    return inked.numel() > 0 and float(inked.float().mean()) >= _PART


def written_columns(inked: Tensor) -> tuple[int, int]:
    """Return the first column with ink and the one behind the last; all of them where there is none."""
    return _ends(inked, dim=0)


def written_rows(inked: Tensor) -> tuple[int, int]:
    """Return the first row with ink and the one behind the last; all of them where there is none."""
    return _ends(inked, dim=1)


def _ends(inked: Tensor, *, dim: int) -> tuple[int, int]:
    written = (inked.sum(dim=dim) > _SPECK * inked.shape[0]).nonzero()
    return (int(written[0]), int(written[-1]) + 1) if len(written) else (0, inked.shape[1 - dim])
