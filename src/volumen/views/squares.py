"""Square: a square of a line, cut at a drawn place in what is written, for tasks that need squares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from volumen.views.distort import box_positions, resample
from volumen.views.ink import ink, written_columns, written_rows

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


_BLOCK = 8  # px of the blocks that a compressed image is made of, from its top left corner on


@dataclass(frozen=True, kw_only=True)
class Square:
    """A square of a line, wherever the line is long or short.

    It is always resampled, at places between pixels, and lies in the blocks of eight pixels that a compressed file is
    made of alike along both axes: so that neither tells how the square is turned.

    Parameters
    ----------
    zoom
        Side of the square over the shorter side of what is written, in (0, 1].
    along, down
        Where it is cut, from 0 (first) to 1 (last) of the places it can have in what is written: blank rows above and
        below would tell how it is turned.
    aside
        Where it begins in a block, as ``down`` says it along the other axis.
    """

    zoom: float
    along: float
    down: float
    aside: float

    @classmethod
    def draw(cls, generator: np.random.Generator, *, zoom: tuple[float, float] = (0.75, 0.95)) -> Square:
        """Draw all four, uniform.

        A square as high as the line would lie on whole rows, but between columns: blurred along one axis only, which
        tells how it was turned.
        """
        size, along, down, aside = (float(number) for number in generator.random(4))
        return cls(zoom=zoom[0] + (zoom[1] - zoom[0]) * size, along=along, down=down, aside=aside)

    def side(self, image: Tensor) -> float:
        """Return the side of the square in px of the image, 1HW."""
        first, last = written_rows(ink(image))
        return self.zoom * min(last - first, image.shape[2])

    def cut(self, image: Tensor, pixels: int) -> Tensor:
        """Return the square of an image 1HW, bilinear at ``pixels`` × ``pixels``."""
        side, inked = self.side(image), ink(image)
        (first, last), (top, bottom) = written_columns(inked), written_rows(inked)
        middle, _, width = (first + last) / 2, *image.shape[1:]
        left = min(max(min(first, middle - side / 2), 0), width - side)  # a word narrower than that is centred
        x = left + self.along * max(last - side - left, 0)
        y, aside = (top + place * max(bottom - top - side, 0) for place in (self.down, self.aside))
        x = min(max(_BLOCK * round((x - aside) / _BLOCK) + aside, 0), width - side)
        columns, rows = box_positions(x, x + side, pixels), box_positions(y, y + side, pixels)
        return resample(image, columns.expand(pixels, -1), rows[:, None].expand(-1, pixels))
