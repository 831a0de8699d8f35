"""Distortions: small changes of where a line's pixels stand, that keep its size and its letters in order.

Positions are (x, y) in pixels, pixel centres on whole numbers; what lies outside an image repeats its border, but
for the strips that `Trim` puts on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

_ASPECT = 100 / 32
"""Width over height of the published images, which lines of any length were stretched to.

Published shares of the width are meant for those: two hundredths are half a frame there, and would be many frames of
a long line. Here they are shares of the width, but of no more of it than so many heights.
"""


def resample(image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Show an image, CHW float32, at positions x and y, (H', W') each: C × H' × W', bilinear."""
    _, height, width = image.shape
    grid = torch.stack([x * (2 / max(width - 1, 1)) - 1, y * (2 / max(height - 1, 1)) - 1], dim=-1)
    return F.grid_sample(image[None], grid[None].float(), mode="bilinear", padding_mode="border", align_corners=True)[0]


def box_positions(start: float, stop: float, count: int) -> Tensor:
    """Return ``count`` positions that share out a box from pixel edge ``start`` to ``stop``, float64."""
    step = (stop - start) / count
    return start + step * (torch.arange(count, dtype=torch.float64) + 0.5) - 0.5


@dataclass(frozen=True, kw_only=True)
class Trim:
    """Cut strips off an image's sides, or put strips of blank paper on, and bring it back to its former size.

    Parameters
    ----------
    top, right, bottom, left
        Widths of the strips in px; below 0 they are put on, as grey as the image's median.
    """

    top: float = 0.0
    right: float = 0.0
    bottom: float = 0.0
    left: float = 0.0

    @classmethod
    def draw_rows(cls, generator: np.random.Generator, size: tuple[int, int], *, most: float = 0.4) -> Trim:
        """Draw what goes from top and bottom, each uniform up to a share ``most`` of the height."""
        top, bottom = generator.uniform(0, most * size[0], size=2)
        return cls(top=float(top), bottom=float(bottom))

    @classmethod
    def draw_columns(cls, generator: np.random.Generator, size: tuple[int, int], *, most: float = 0.02) -> Trim:
        """Draw what goes from left and right, each uniform up to a share ``most`` of the width."""
        left, right = generator.uniform(0, most * _reach(size), size=2)
        return cls(left=float(left), right=float(right))

    @classmethod
    def draw_margins(cls, generator: np.random.Generator, size: tuple[int, int], *, most: float = 0.1) -> Trim:
        """Draw what is put on each side, uniform up to a share ``most`` of the height: writing becomes smaller.

        Left and right no more than a twentieth of the width: in two views of a short word, a margin left in the one and
        right in the other, more would set its letters into other ones of five windows.
        """
        height, width = size
        beside = min(most * height, width / 20)
        top, right, bottom, left = generator.uniform(0, (most * height, beside, most * height, beside))
        return cls(top=-float(top), right=-float(right), bottom=-float(bottom), left=-float(left))

    def __call__(self, image: Tensor) -> Tensor:
        """Return the trimmed image, CHW, of the size of the given one."""
        _, height, width = image.shape
        x = box_positions(self.left, width - self.right, width)
        y = box_positions(self.top, height - self.bottom, height)
        shown = resample(image, x.expand(height, -1), y[:, None].expand(-1, width))
        if min(self.top, self.right, self.bottom, self.left) >= 0:
            return shown
        inside = ((y >= -0.5) & (y <= height - 0.5))[:, None] & (x >= -0.5) & (x <= width - 0.5)
        return shown.masked_fill_(~inside, image.median())


@dataclass(frozen=True, kw_only=True)
class Slant:
    """Lean every stroke over by an angle, about the middle row.

    Parameters
    ----------
    degrees
        From upright; above 0 the top goes to the right.
    """

    degrees: float

    @classmethod
    def draw(cls, generator: np.random.Generator, *, most: float = 20.0) -> Slant:
        """Draw an angle, uniform up to ``most`` degrees to either side."""
        return cls(degrees=float(generator.uniform(-most, most)))

    def __call__(self, image: Tensor) -> Tensor:
        """Return the slanted image, CHW, of the size of the given one."""
        _, height, width = image.shape
        rows = torch.arange(height, dtype=torch.float64)[:, None]
        away = (rows - (height - 1) / 2) * math.tan(math.radians(self.degrees))
        return resample(image, torch.arange(width) + away, rows.expand(-1, width))


@dataclass(frozen=True, kw_only=True)
class Lattice:
    """Move the points of a lattice over the image, and everything between them by interpolation.

    Parameters
    ----------
    x, y
        Rows of moves in px, left to right; the outermost points stand on the image's border.
    """

    x: tuple[tuple[float, ...], ...]
    y: tuple[tuple[float, ...], ...]

    @classmethod
    def draw(
        cls, generator: np.random.Generator, size: tuple[int, int], *, scale: tuple[float, float] = (0.02, 0.03)
    ) -> Lattice:
        """Draw moves, normal with a deviation uniform in ``scale`` of the sides, cut at three deviations.

        The published lattice is 4 × 4, moved piece by piece of its triangles; here moves are interpolated bilinearly.
        A line longer than the published ones has more columns, as far apart as theirs. Points of a row never
        change places, since three deviations are less than half their distance.
        """
        reach = _reach(size)
        shape = (4, 1 + max(3, round(3 * size[1] / reach)))
        deviation = generator.uniform(*scale)
        x, y = (np.clip(generator.normal(size=shape), -3, 3) * deviation * side for side in (reach, float(size[0])))
        return cls(x=_rows(x), y=_rows(y))

    def __call__(self, image: Tensor) -> Tensor:
        """Return the moved image, CHW."""
        _, height, width = image.shape
        moves = torch.tensor([self.x, self.y], dtype=torch.float64)[None]  # 1 × (x, y) × rows × columns
        x, y = F.interpolate(moves, (height, width), mode="bilinear", align_corners=True)[0]
        rows, columns = torch.arange(height)[:, None], torch.arange(width)
        return resample(image, x + columns, y + rows)


@dataclass(frozen=True, kw_only=True)
class Perspective:
    """Stretch a quadrilateral to the whole image, as if the page were looked at a little from the side.

    Parameters
    ----------
    corners
        How far each corner lies inside the image, (x, y) in px: top left, top right, bottom right, bottom left.
    """

    corners: tuple[tuple[float, float], ...]

    @classmethod
    def draw(
        cls, generator: np.random.Generator, size: tuple[int, int], *, scale: tuple[float, float] = (0.01, 0.02)
    ) -> Perspective:
        """Draw distances, the size of normal ones with a deviation uniform in ``scale`` of the sides.

        Where a line is longer than the published ones its height changes less from end to end, in proportion: else
        foreshortening would move its middle by whole letters.
        """
        reach, deviation = _reach(size), generator.uniform(*scale)
        inward = np.abs(np.clip(generator.normal(size=(4, 2)), -3, 3)) * deviation
        inward *= (reach, size[0] * reach / size[1])
        return cls(corners=tuple((float(x), float(y)) for x, y in inward))

    def __call__(self, image: Tensor) -> Tensor:
        """Return what the quadrilateral shows, CHW, of the size of the image."""
        _, height, width = image.shape
        right, bottom = max(width - 1, 1), max(height - 1, 1)
        shown = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], dtype=float) * (right, bottom)
        inward = np.array(self.corners) * [(1, 1), (-1, 1), (-1, -1), (1, -1)]
        (a, b, c), (d, e, f), (g, h, _) = _homography(shown, shown + inward)
        rows = torch.arange(height, dtype=torch.float64)[:, None]
        columns = torch.arange(width, dtype=torch.float64)
        depth = g * columns + h * rows + 1
        return resample(image, (a * columns + b * rows + c) / depth, (d * columns + e * rows + f) / depth)


def _homography(shown: NDArray[np.float64], source: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the 3 × 3 matrix, its last number 1, that takes four shown points (x, y) to their source."""
    equations, wanted = [], []
    for (u, v), (x, y) in zip(shown, source, strict=True):
        equations += [[u, v, 1, 0, 0, 0, -x * u, -x * v], [0, 0, 0, u, v, 1, -y * u, -y * v]]
        wanted += [x, y]
    solved = np.linalg.solve(np.array(equations), np.array(wanted))
    return np.append(solved, 1.0).reshape(3, 3)


def _reach(size: tuple[int, int]) -> float:
    """Return the width, in px, that published shares of it are taken of."""
    height, width = size
    return min(float(width), _ASPECT * height)


def _rows(moves: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(move) for move in row) for row in moves)
