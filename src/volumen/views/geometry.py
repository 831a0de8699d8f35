"""Affine: where each pixel of a view is taken from; crops, flips and turns composed, then sampled once.

Positions are (x, y) in pixels, pixel centres on whole numbers.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from volumen.errors import SettingsError
from volumen.windows import height_width

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from volumen.windows import Size

_WHOLLY = 1 - 1e-3  # float32 weights of four supervised neighbours do not always add up to exactly 1


@dataclass(frozen=True)
class Affine:
    """Map a position in the view to the position in the source that it shows.

    ``source_x = xx · x + xy · y + x0`` and ``source_y = yx · x + yy · y + y0``. ``a @ b`` first applies ``b``: its
    source is the view of ``a``.

    Examples
    --------
    >>> flip = Affine(xx=-1.0, x0=223.0)
    >>> flip @ flip == Affine()
    True
    """

    xx: float = 1.0
    xy: float = 0.0
    x0: float = 0.0
    yx: float = 0.0
    yy: float = 1.0
    y0: float = 0.0

    def __call__(self, x: float, y: float) -> tuple[float, float]:
        """Return the source position (x, y) of a view position."""
        return (self.xx * x + self.xy * y + self.x0, self.yx * x + self.yy * y + self.y0)

    def __matmul__(self, inner: Affine) -> Affine:
        x0, y0 = self(inner.x0, inner.y0)
        return Affine(
            xx=self.xx * inner.xx + self.xy * inner.yx,
            xy=self.xx * inner.xy + self.xy * inner.yy,
            x0=x0,
            yx=self.yx * inner.xx + self.yy * inner.yx,
            yy=self.yx * inner.xy + self.yy * inner.yy,
            y0=y0,
        )


def draw_crop(generator: np.random.Generator, source: tuple[int, int], size: Size) -> Affine:
    """Draw a box of ``size`` px at a random place inside a source of (H, W) px.

    Raises
    ------
    SettingsError
        If the source is smaller than ``size``.
    """
    (height, width), (h, w) = source, height_width(size)
    if h > height or w > width:
        raise SettingsError(
            f"A crop of {h} x {w} px cannot be cut from a window of {height} x {width} px; "
            f"choose a smaller input size or a larger window."
        )
    y, x = generator.integers(0, height - h + 1), generator.integers(0, width - w + 1)
    return Affine(x0=float(x), y0=float(y))


def draw_resized_crop(
    generator: np.random.Generator,
    source: tuple[int, int],
    size: Size,
    *,
    area: tuple[float, float] = (0.67, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> Affine:
    """Draw a box holding a share of the source's ``area``, and stretch it to ``size`` px.

    The box is drawn as torchvision's ``RandomResizedCrop`` does: ten attempts at one that fits, then the largest
    centred one of an allowed ratio. Its width / height is that of ``size`` times a factor in ``ratio``, so that a
    view that is not square stretches its source no more than a square one does.
    """
    height, width = source
    h, w = height_width(size)
    narrowest, widest = (factor * (w / h) for factor in ratio)
    for _ in range(10):
        pixels = height * width * generator.uniform(*area)
        shape = math.exp(generator.uniform(math.log(narrowest), math.log(widest)))
        w, h = round(math.sqrt(pixels * shape)), round(math.sqrt(pixels / shape))
        if 0 < w <= width and 0 < h <= height:
            y, x = generator.integers(0, height - h + 1), generator.integers(0, width - w + 1)
            return _stretch(float(x), float(y), w, h, size)
    w, h = width, height
    if width / height < narrowest:
        h = max(1, round(width / narrowest))
    elif width / height > widest:
        w = max(1, round(height * widest))
    return _stretch(float((width - w) // 2), float((height - h) // 2), w, h, size)


def draw_flips(generator: np.random.Generator, size: Size, *, horizontal: float = 0.5, vertical: float = 0.5) -> Affine:
    """Draw a left-right and a top-bottom flip of a view of ``size`` px, each with its probability."""
    mirror_x, mirror_y = generator.random() < horizontal, generator.random() < vertical
    height, width = height_width(size)
    return Affine(
        xx=-1.0 if mirror_x else 1.0,
        x0=float(width - 1) if mirror_x else 0.0,
        yy=-1.0 if mirror_y else 1.0,
        y0=float(height - 1) if mirror_y else 0.0,
    )


def draw_shift_scale_rotate(
    generator: np.random.Generator, size: Size, *, degrees: float = 360.0, shift: float = 0.15, scale: float = 0.15
) -> Affine:
    """Draw a turn about the centre, a magnification and a shift (as a share of each side), each uniform in ±limit.

    A long view turned upright would show little but reflections of what lies beyond its window. It is therefore
    turned by no more than brings the ends of its middle line to its long edges, the arcsine of short / long side;
    the half turn is left to the flips. A square turns by all of ``degrees``.
    """
    height, width = height_width(size)
    if height != width:
        degrees = min(degrees, math.degrees(math.asin(min(height, width) / max(height, width))))
    angle = math.radians(generator.uniform(-degrees, degrees))
    zoom = 1 + generator.uniform(-scale, scale)
    shift_x, shift_y = generator.uniform(-shift, shift, size=2) * (width, height)
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
    turn = Affine(xx=cos, xy=sin, yx=-sin, yy=cos)
    from_centre = Affine(x0=-centre_x - float(shift_x), y0=-centre_y - float(shift_y))
    return Affine(x0=centre_x, y0=centre_y) @ turn @ from_centre


def warp(affine: Affine, size: Size, image: Tensor, *flats: Tensor) -> tuple[Tensor, ...]:
    """Show an image and its flat rasters through an affine, as a view of ``size`` px.

    What lies outside the source is filled by reflection about its outermost pixels (OpenCV's reflect-101). Image
    and flats are interpolated bilinearly, all but the last flat: that one says what may be trusted (supervision,
    papyrus), and a pixel of the view is trusted only where all the source pixels that it is made of are.
    Whole-pixel shifts and flips inside the source are cut out exactly.

    Parameters
    ----------
    image
        CHW, float32.
    flats
        At least one; each 1HW, float32, of the same height and width.

    Returns
    -------
    tuple
        Image and flats of ``size``, sharing no memory with the arguments.
    """
    source = (image.shape[1], image.shape[2])
    boxed = _slices(affine, size, source)
    if boxed is not None:
        (rows, columns), flipped = boxed
        return tuple(torch.flip(tensor[:, rows, columns], flipped) for tensor in (image, *flats))
    grid = _grid(affine, size, source)
    image, stacked = (
        F.grid_sample(tensor[None], grid, mode="bilinear", padding_mode="reflection", align_corners=True)[0]
        for tensor in (image, torch.cat(flats))
    )
    soft = [flat.clamp(0, 1)[None] for flat in stacked[:-1]]  # HW -> 1HW
    return image.clamp_(0, 1), *soft, (stacked[-1:] >= _WHOLLY).to(stacked.dtype)


def _stretch(left: float, top: float, width: int, height: int, size: Size) -> Affine:
    """Show a box as ``size``, pixel edges on pixel edges."""
    h, w = height_width(size)
    x_step, y_step = width / w, height / h
    return Affine(xx=x_step, x0=left + (x_step - 1) / 2, yy=y_step, y0=top + (y_step - 1) / 2)


def _grid(affine: Affine, size: Size, source: tuple[int, int]) -> Tensor:
    """Return sampling positions, 1 × H × W × (x, y); -1 and 1 are the outermost pixel centres of the source."""
    height, width = source
    rows, columns = (torch.arange(side, dtype=torch.float64) for side in height_width(size))
    x = (affine.xx * columns + affine.x0)[None, :] + (affine.xy * rows)[:, None]
    y = (affine.yx * columns + affine.y0)[None, :] + (affine.yy * rows)[:, None]
    position = torch.stack([x * (2 / max(width - 1, 1)) - 1, y * (2 / max(height - 1, 1)) - 1], dim=-1)
    return position[None].float()


def _slices(affine: Affine, size: Size, source: tuple[int, int]) -> tuple[tuple[slice, slice], list[int]] | None:
    """Return the box and the axes to flip that an affine amounts to, or None if it must be interpolated."""
    if affine.xy or affine.yx or any(value != round(value) for value in astuple(affine)):
        return None
    if abs(affine.xx) != 1 or abs(affine.yy) != 1:
        return None
    h, w = height_width(size)
    left, top = (int(min(affine(x, y)[axis] for x in (0, w - 1) for y in (0, h - 1))) for axis in (0, 1))
    if min(left, top) < 0 or top + h > source[0] or left + w > source[1]:
        return None
    flipped = [axis for axis, factor in ((1, affine.yy), (2, affine.xx)) if factor < 0]
    return (slice(top, top + h), slice(left, left + w)), flipped
