"""MarkedPage: what PAGE XML and ALTO say of a page: its image, its size and its lines, before any image is opened."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from volumen.sources.lines.cut import outline

if TYPE_CHECKING:
    from volumen.sources.outlines import Outline


@dataclass(frozen=True, kw_only=True)
class MarkedLine:
    """A line as its page's XML describes it.

    Parameters
    ----------
    name
        Its identity in the file; empty where it has none.
    text
        What is written there; empty where the file does not say.
    points
        Corners of its outline in the unit of the page, as they stand in the file; empty where it has none.
    """

    name: str
    text: str
    points: str

    def corners(self, scale: tuple[float, float]) -> Outline:
        """Return the outline, (x, y) in pixels, given the pixels a unit along x and y."""
        return outline(self.points, scale=scale)


@dataclass(frozen=True, kw_only=True)
class MarkedPage:
    """A page as its XML describes it.

    Parameters
    ----------
    image
        File name of its image, perhaps with folders of somebody else's disk; empty where the file does not say.
    size
        (H, W) of the page in its own unit, or None where the file does not say.
    pixels
        Whether the unit is pixels of the image.
    lines
        In the order of the file.
    """

    image: str
    size: tuple[float, float] | None
    pixels: bool
    lines: tuple[MarkedLine, ...]

    def scale(self, shape: tuple[int, int]) -> tuple[float, float] | None:
        """Return how many pixels of an image of (H, W) px are a unit, along x and y; None where nobody can know.

        A page that is measured in pixels must be as large as its image; one in tenths of a millimetre or other units
        is taken to fill it.
        """
        if self.pixels:
            return (1.0, 1.0) if self.size in (None, shape) else None
        return (shape[1] / self.size[1], shape[0] / self.size[0]) if self.size else None


def size_of(height: str | None, width: str | None) -> tuple[float, float] | None:
    """Read (H, W) from two attributes; None where one is missing or no positive number."""
    try:
        size = (float(height or ""), float(width or ""))
    except ValueError:
        return None
    return size if all(0 < side < math.inf for side in size) else None
