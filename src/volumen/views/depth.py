"""Depth: views along the layers of an image, C being Z: a small tilt, and a crop that moves and drops layers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from volumen.windows import height_width

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from volumen.windows import Size


@dataclass(frozen=True, kw_only=True)
class Tilt:
    """Tilt the layers about the middle of the image, as if the surface had been flattened a little off level.

    Each pixel's column is moved along Z by a linear interpolation, by a plane through the image's middle; beyond
    the outermost layers it is reflected. For small angles this is the turn in the (Z, X) and (Z, Y) planes, less
    its shift within the layers, which stays below one pixel, so that the flat label keeps its place.

    Parameters
    ----------
    x, y
        Slope along each axis, in layers per pixel.
    """

    x: float
    y: float

    @classmethod
    def draw(cls, generator: np.random.Generator, size: Size, *, degrees: float = 5.0, reach: int = 64) -> Tilt:
        """Draw two angles, uniform in ±``degrees`` for sides of up to ``reach`` px.

        The Grand Prize model tilted crops of 64 px, whose edges 5° moves by 2.8 layers, and left it out for 256 px:
        there it would move them by 11 of 26 layers and tilt the ink out of the window. Longer sides are therefore
        tilted as far as moves their ends by as many layers as at ``reach``.
        """
        height, width = height_width(size)
        x, y = (_slope(generator, side, degrees, reach) for side in (width, height))
        return cls(x=x, y=y)

    def __call__(self, image: Tensor) -> Tensor:
        """Return the tilted image, CHW."""
        layers, height, width = image.shape
        shift = (
            self.y * (torch.arange(height, dtype=torch.float32) - (height - 1) / 2)[:, None]
            + self.x * (torch.arange(width, dtype=torch.float32) - (width - 1) / 2)[None, :]
        )
        reach = math.ceil(float(shift.abs().max()))
        order = [_reflect(layer, layers) for layer in range(-reach, layers + reach)]
        padded = image[order]
        tilted = torch.zeros_like(image)
        # A sum over whole shifts weighted by hat functions is the linear interpolation, without a gather per voxel.
        for step in range(-reach, reach + 1):
            weight = (1 - (shift - step).abs()).clamp_(min=0)
            tilted.addcmul_(padded[reach + step : reach + step + layers], weight)
        return tilted.clamp_(0, 1)


@dataclass(frozen=True, kw_only=True)
class LayerCrop:
    """Keep a run of layers, put it down elsewhere in depth, and lose a few of it; all else is zero.

    Known as ``fourth_augment``. It teaches a model that the surface may lie a little higher or lower and that no
    single layer can be relied on. The published code draws the layers to lose from ``arange(paste, count)``; here
    they are drawn from the pasted ones, ``paste … paste + count``.

    Parameters
    ----------
    start, count
        The run of layers kept.
    paste
        Where its first layer goes.
    lost
        Layers of the result that are zeroed.
    """

    start: int
    count: int
    paste: int
    lost: tuple[int, ...] = ()

    @classmethod
    def draw(
        cls,
        generator: np.random.Generator,
        layers: int,
        *,
        least: float = 18 / 26,
        losing: float = 0.6,
        most_lost: int = 2,
    ) -> LayerCrop:
        """Draw from ``least`` of the layers to all of them, and with probability ``losing`` lose 0 to ``most_lost``.

        At least one layer always survives.
        """
        count = int(generator.integers(max(1, round(layers * least)), layers + 1))
        start = int(generator.integers(0, layers - count + 1))
        paste = int(generator.integers(0, layers - count + 1))
        lost: tuple[int, ...] = ()
        if generator.random() < losing:
            number = min(int(generator.integers(0, most_lost + 1)), count - 1)
            chosen = generator.choice(count, size=number, replace=False)
            lost = tuple(sorted(paste + int(layer) for layer in chosen))
        return cls(start=start, count=count, paste=paste, lost=lost)

    def __call__(self, image: Tensor) -> Tensor:
        """Return the image with its layers moved and lost, CHW."""
        moved = torch.zeros_like(image)
        moved[self.paste : self.paste + self.count] = image[self.start : self.start + self.count]
        moved[list(self.lost)] = 0
        return moved


def _reflect(index: int, length: int) -> int:
    """Fold an index into ``0 … length - 1`` by reflection about the outermost elements."""
    if length == 1:
        return 0
    index = abs(index) % (2 * (length - 1))
    return min(index, 2 * (length - 1) - index)


def _slope(generator: np.random.Generator, side: int, degrees: float, reach: int) -> float:
    """Draw a slope in layers per pixel for a side of so many pixels."""
    limit = math.atan(math.tan(math.radians(degrees)) * min(1.0, reach / side))
    return math.tan(generator.uniform(-limit, limit))
