"""CutImage: a line cut out of its page along an outline, white around it; the page is decoded when it is sliced."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from volumen.errors import SourceError
from volumen.sources.outlines import FARTHEST, Outline, area_of, box_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from volumen.sources.segment import LazyArray

NO_POLYGON = "no polygon"
OUTSIDE = "outside the page"

_WHITE = np.uint8(255)
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


@dataclass(frozen=True, kw_only=True, eq=False)
class CutImage:
    """What lies inside an outline, as a lazy ZYX array of one layer of 8-bit grey; the rest of its box is white.

    Parameters
    ----------
    page
        The page, ZYX of one layer.
    outline
        Corners (x, y) in pixels of the page. What reaches over the page's edge is cut off.

    Raises
    ------
    SourceError
        If the outline encloses nothing, or nothing of the page.
    """

    page: LazyArray
    outline: Outline

    def __post_init__(self) -> None:
        reason = fault(self.outline, self.page.shape[1:])
        if reason:
            raise SourceError(f"Expected an outline of three corners or more on a page {self.page.shape}; {reason}.")

    @cached_property
    def box(self) -> tuple[int, int, int, int]:
        """(y0, y1, x0, x1) on the page, the ends excluded."""
        return box_of(self.outline, self.page.shape[1:])

    @property
    def shape(self) -> tuple[int, int, int]:
        """(1, H, W)."""
        y0, y1, x0, x1 = self.box
        return (1, y1 - y0, x1 - x0)

    @property
    def dtype(self) -> np.dtype[Any]:
        """8-bit."""
        return np.dtype(np.uint8)

    def __getitem__(self, key: tuple[slice, ...], /) -> NDArray[Any]:
        y0, y1, x0, x1 = self.box
        pixels = self.page[0:1, y0:y1, x0:x1]
        return np.where(self._inside(), pixels, _WHITE)[key]

    def _inside(self) -> NDArray[np.bool_]:
        """Return what lies inside the outline or on it, 1YX."""
        y0, _, x0, _ = self.box
        canvas = Image.new("L", self.shape[:0:-1])  # (W, H)
        ImageDraw.Draw(canvas).polygon([(x - x0, y - y0) for x, y in self.outline], fill=1)
        return np.asarray(canvas, dtype=np.bool_)[None]


def outline(text: str, *, scale: tuple[float, float] = (1.0, 1.0)) -> Outline:
    """Read corners as PAGE and ALTO write them, ``x,y x,y …`` or ``x y x y …``; none where they are no pairs.

    Parameters
    ----------
    text
        Numbers, parted by commas or spaces.
    scale
        Pixels of the page for one unit of the numbers, along x and y.

    Examples
    --------
    >>> outline("0,0 10,0 10,5.5")
    ((0.0, 0.0), (10.0, 0.0), (10.0, 5.5))
    >>> outline("0 0 20", scale=(0.5, 0.5))
    ()
    """
    numbers = [float(number) for number in _NUMBER.findall(text)]
    if len(numbers) % 2 or not all(map(math.isfinite, numbers)):
        return ()
    return tuple((x * scale[0], y * scale[1]) for x, y in zip(numbers[::2], numbers[1::2], strict=True))


def fault(corners: Outline, shape: tuple[int, ...]) -> str:
    """Say why nothing can be cut along an outline from a page of (H, W) px; empty where something can."""
    if not all(abs(side) <= FARTHEST for corner in corners for side in corner):
        return OUTSIDE
    if len(corners) < 3 or area_of(corners) < 1:
        return NO_POLYGON
    y0, y1, x0, x1 = box_of(corners, shape)
    return "" if y0 < y1 and x0 < x1 else OUTSIDE
