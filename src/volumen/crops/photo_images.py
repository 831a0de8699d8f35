"""Photo images: photographs brought to one size, their masks with them, and boxes of them cut out at native scale."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array

from volumen.windows import Window, grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

_AT_MARKED = 0.5  # how often a random crop is drawn around something marked: most of a street is no text


@dataclass(frozen=True, kw_only=True, eq=False)
class Decoded:
    """A photograph in memory.

    Parameters
    ----------
    pixels
        YXC, RGB, 8 bit.
    flats
        CYX, bool: what is marked and what counts; or nothing of either, 0YX.
    """

    pixels: NDArray[np.uint8]
    flats: NDArray[np.bool_]

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return self.pixels.nbytes + self.flats.nbytes

    def resized(self, size: tuple[int, int]) -> Decoded:
        """Bring it to (H, W): pixels as `resize_pixels`, flats as `resize_flat`."""
        flats = [resize_flat(flat, size) for flat in self.flats]
        return Decoded(
            pixels=resize_pixels(self.pixels, size),
            flats=np.stack(flats) if flats else np.zeros((0, *size), np.bool_),
        )

    def cut(self, window: Window) -> Decoded:
        """Cut a window out; what reaches outside is black and does not count."""
        inner = window & Window.whole((1, *self.pixels.shape[:2]))
        place = inner.inside(window).yx
        pixels = np.zeros((*window.shape[1:], 3), np.uint8)
        flats = np.zeros((len(self.flats), *window.shape[1:]), np.bool_)
        pixels[place] = self.pixels[inner.yx]
        flats[:, *place] = self.flats[:, *inner.yx]
        return Decoded(pixels=pixels, flats=flats)

    def tiles(self, size: tuple[int, int]) -> list[Window]:
        """Return windows of (H, W) px that cover it, none of them overlapping, row by row."""
        return list(grid(Window.whole((1, *self.pixels.shape[:2])), size, size))

    def draw_window(self, generator: np.random.Generator, size: tuple[int, int]) -> Window:
        """Draw a window of (H, W) px: every other time anywhere, else around a marked pixel, where there is one."""
        at_marked = generator.random() < _AT_MARKED
        free = [max(0, there - wanted) for there, wanted in zip(self.pixels.shape[:2], size, strict=True)]
        y, x = (int(generator.integers(0, most + 1)) for most in free)
        marked = np.flatnonzero(self.flats[0]) if at_marked and len(self.flats) else np.zeros(0, np.int64)
        if marked.size:
            centre = np.unravel_index(generator.choice(marked), self.flats.shape[1:])
            shift = [int(generator.integers(0, side)) for side in size]
            y, x = (min(max(0, int(at) - by), most) for at, by, most in zip(centre, shift, free, strict=True))
        return Window((0, 1), (y, y + size[0]), (x, x + size[1]))


def resize_pixels(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Bring an image, YXC, to (H, W), its aspect not kept.

    Along a side that shrinks, each pixel is the mean over the area that it stands for, pixels that lie in it in part
    weighed by their part (OpenCV's INTER_AREA); along one that grows, pixels between are interpolated in a line.

    Examples
    --------
    >>> resize_pixels(np.arange(0, 180, 30, dtype=np.uint8).reshape(6, 1, 1), (4, 1)).ravel().tolist()
    [10, 50, 100, 140]
    """
    if pixels.shape[:2] == size:
        return pixels
    there = pixels.shape
    rows, columns = (_weights(side, wanted) for side, wanted in zip(there[:2], size, strict=True))
    low = rows @ pixels.reshape(there[0], -1).astype(np.float32)  # YXC -> H (X C)
    across = np.moveaxis(low.reshape(size[0], there[1], there[2]), 1, 0)  # H X C -> X H C
    small = columns @ across.reshape(there[1], -1)  # X (H C) -> W (H C)
    rounded = np.rint(small).astype(np.uint8).reshape(size[1], size[0], there[2])
    return np.ascontiguousarray(np.moveaxis(rounded, 0, 1))  # W H C -> H W C


@lru_cache(maxsize=256)
def _weights(there: int, wanted: int) -> csr_array:
    """Return what each of the wanted pixels takes of each that is there, float32 (wanted, there), rows summing to 1."""
    scale = there / wanted
    if wanted <= there:
        ends = np.arange(wanted + 1) * scale
        reach = int(np.ceil(scale)) + 1
        taken = np.floor(ends[:-1, None]).astype(np.int64) + np.arange(reach)
        weights = np.minimum(ends[1:, None], taken + 1) - np.maximum(ends[:-1, None], taken)
        weights = np.maximum(weights, 0) / scale
    else:
        centres = np.clip((np.arange(wanted) + 0.5) * scale - 0.5, 0, there - 1)
        first = np.floor(centres).astype(np.int64)
        taken = first[:, None] + np.arange(2)
        weights = np.stack([1 - (centres - first), centres - first], axis=1)
    places = (np.repeat(np.arange(wanted), taken.shape[1]), np.clip(taken, 0, there - 1).ravel())
    return csr_array((weights.ravel().astype(np.float32), places), shape=(wanted, there))


def resize_flat(flat: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Bring a mask, YX, to (H, W): each pixel takes the value at its centre, so that nothing soft comes about.

    Examples
    --------
    >>> resize_flat(np.array([[True, True, False, False]]), (1, 2)).tolist()
    [[True, False]]
    """
    rows, columns = (
        ((np.arange(wanted) + 0.5) * (there / wanted)).astype(np.int64)
        for there, wanted in zip(flat.shape, size, strict=True)
    )
    taken: NDArray[np.bool_] = flat[rows[:, None], columns[None, :]]
    return taken


def to_chw(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Return an image, YXC of 8 bit, as CHW float32 in [0, 1]."""
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 0), dtype=np.float32) / np.float32(255)
