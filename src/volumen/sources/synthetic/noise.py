"""Noise: endless seeded random fields, equal wherever and however they are cut into windows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter

from volumen.windows import Window, grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Side of the blocks that own a random generator. Windows cut off the rest of a block, so it is small.
_BLOCK = 32
# Windows may start at negative coordinates (halos), seeds may not be negative.
_ORIGIN = 1 << 20
# A gaussian is cut after so many sigmas, which makes its halo.
_TRUNCATE = 4.0
# Standard deviation of a cubic B-spline over white nodes, averaged between and at the nodes.
_SPLINE_STD = 0.6924


@dataclass(frozen=True, kw_only=True)
class Noise:
    """A random field over the whole YX plane, of zero mean and unit variance.

    Every block of the plane has its own generator, seeded by its place, and every filter works on a window
    with its full halo in an order that does not depend on the window. So two windows agree to the last bit
    where they overlap, and memory is bounded by the window.

    Parameters
    ----------
    seed
        Seed of the whole phantom.
    stream
        Number of this field; fields with other numbers are independent.

    Examples
    --------
    >>> field = Noise(seed=0, stream=1)
    >>> whole = field.smooth(Window((0, 4), (0, 64), (0, 64)), sigma=(1, 2, 2))
    >>> part = field.smooth(Window((0, 4), (10, 40), (-5, 20)), sigma=(1, 2, 2))
    >>> bool((part[:, :, 5:] == whole[:, 10:40, :20]).all())
    True
    """

    seed: int
    stream: int

    def white(self, window: Window) -> NDArray[np.float32]:
        """Return independent normal values, ZYX; the layers must start at 0, as a block holds all of them."""
        values = np.empty(window.shape, dtype=np.float32)
        for block in grid(_aligned(window), _BLOCK, _BLOCK):
            place = (self.seed, self.stream, block.y[0] // _BLOCK + _ORIGIN, block.x[0] // _BLOCK + _ORIGIN)
            drawn = np.random.default_rng(place).standard_normal(block.shape, dtype=np.float32)
            common = block & window
            values[common.inside(window).zyx] = drawn[common.inside(block).zyx]
        return values

    def smooth(self, window: Window, *, sigma: tuple[float, float, float]) -> NDArray[np.float32]:
        """Return noise correlated over ``sigma`` voxels along (Z, Y, X), ZYX, of unit variance in its middle."""
        halo = max(_radius(sigma[1]), _radius(sigma[2]))
        wide = window.halo(halo)
        smoothed = gaussian_filter(self.white(wide), sigma, truncate=_TRUNCATE)
        gain = np.float32(np.prod([_gaussian_std(each) for each in sigma]))
        return np.asarray(smoothed[window.inside(wide).zyx] / gain)

    def rolling(self, window: Window, *, scale: float) -> NDArray[np.float32]:
        """Return slowly rolling noise with a node every ``scale`` pixels along Y and X, ZYX."""
        nodes = self._nodes(window, scale, scale)
        values = self.white(nodes)
        values = _spline(values, 1, window.y, nodes.y[0], scale)
        return _spline(values, 2, window.x, nodes.x[0], scale)

    def fibres(self, window: Window, *, sigma: float, length: float, along: int) -> NDArray[np.float32]:
        """Return streaks ``length`` px long along axis ``along`` (1 is Y, 2 is X), ``sigma`` px thick across, ZYX.

        Thickness along Z is a little less than across, as fibres are pressed flat.
        """
        scale = length / 2
        lengthwise = self._nodes(window, *((scale, 1.0) if along == 1 else (1.0, scale)))
        wide = lengthwise.halo(_radius(sigma))
        spread = (0.8 * sigma, 0.0, sigma) if along == 1 else (0.8 * sigma, sigma, 0.0)
        values = gaussian_filter(self.white(wide), spread, truncate=_TRUNCATE)[lengthwise.inside(wide).zyx]
        values /= np.float32(_gaussian_std(sigma) * _gaussian_std(0.8 * sigma))
        if along == 1:
            return _spline(values, 1, window.y, lengthwise.y[0], scale)
        return _spline(values, 2, window.x, lengthwise.x[0], scale)

    def _nodes(self, window: Window, scale_y: float, scale_x: float) -> Window:
        """Return the nodes that a spline over ``window`` needs; a scale of 1 leaves its axis as it is."""
        return replace(window, y=_node_range(window.y, scale_y), x=_node_range(window.x, scale_x))


def _aligned(window: Window) -> Window:
    """Grow to whole blocks."""
    y, x = (((a // _BLOCK) * _BLOCK, -(-b // _BLOCK) * _BLOCK) for a, b in (window.y, window.x))
    return replace(window, y=y, x=x)


def _radius(sigma: float) -> int:
    """Return the halo of a gaussian, as scipy cuts it."""
    return int(_TRUNCATE * sigma + 0.5)


def _gaussian_std(sigma: float) -> float:
    """Return the standard deviation that is left of white noise after a gaussian along one axis."""
    radius = _radius(sigma)
    if radius == 0:
        return 1.0
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return float(np.sqrt(((kernel / kernel.sum()) ** 2).sum()))


def _node_range(pixels: tuple[int, int], scale: float) -> tuple[int, int]:
    if scale == 1.0:
        return pixels
    return (int(np.floor((pixels[0] + 0.5) / scale)) - 1, int(np.floor((pixels[1] - 0.5) / scale)) + 3)


def _spline(
    nodes: NDArray[np.float32], axis: int, pixels: tuple[int, int], first: int, scale: float
) -> NDArray[np.float32]:
    """Interpolate along ``axis`` with the uniform cubic B-spline, scaled back to unit variance.

    Parameters
    ----------
    nodes
        Values at the nodes; index 0 along ``axis`` is node number ``first``.
    pixels
        Half-open range of pixels wanted; pixel centres lie at (i + 1/2) / scale nodes.
    """
    place = (np.arange(*pixels) + 0.5) / scale
    base = np.floor(place).astype(np.intp)
    t = place - base
    weights = (
        (1 - t) ** 3 / 6,
        (3 * t**3 - 6 * t**2 + 4) / 6,
        (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6,
        t**3 / 6,
    )
    column = [1] * nodes.ndim
    column[axis] = -1
    shape = list(nodes.shape)
    shape[axis] = place.size
    values = np.zeros(shape, dtype=np.float32)
    # Plain sums instead of a matrix product: BLAS may round differently for windows of other sizes.
    for step, weight in enumerate(weights):
        scaled = np.asarray(weight / _SPLINE_STD, dtype=np.float32).reshape(column)
        values += scaled * np.take(nodes, base - 1 + step - first, axis=axis)
    return values
