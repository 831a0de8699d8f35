"""Raster: a flat label or mask as people really have it, read as float YX in [0, 1] on the volume's grid."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from volumen.errors import LabelError
from volumen.sources.arrays.luminance import luminance

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from volumen.windows import Window

PADDING = 256
"""Labels are padded at the bottom and right to a multiple of this many pixels, so sizes may differ by up to it."""

_BAND = 4096  # rows hashed at a time
_AT_ONCE = 1 << 20  # pixels turned to 8 bit at a time; what is in between takes up to sixteen bytes for each


class Pixels(Protocol):
    """A YX array of uint8, in memory or lazy."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Extent (H, W) in pixels."""
        ...

    def __getitem__(self, key: tuple[slice, slice], /) -> NDArray[Any]:
        """Read a box."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Raster:
    """A lazy YX raster: its size is known from the file's header, its pixels are decoded when first read.

    Parameters
    ----------
    source
        Path or URL it was found at, for messages.
    shape
        (H, W) in pixels on the volume's grid.
    extent
        (h, w) in pixels: the file's own size cut to the volume, from the top left corner.
    decode
        Returns the file's pixels as uint8, 0 to 255; called once.

    Examples
    --------
    >>> from volumen.windows import Window
    >>> ink = Raster.of(np.eye(4)).fit((6, 6), "segment")
    >>> ink.shape, ink.extent
    ((6, 6), (4, 4))
    >>> ink.read(Window((0, 1), (3, 6), (3, 6)))[0].tolist()
    [1.0, 0.0, 0.0]
    """

    source: str
    shape: tuple[int, int]
    extent: tuple[int, int]
    decode: Callable[[], Pixels]

    @classmethod
    def of(cls, array: ArrayLike, source: str = "array") -> Raster:
        """Make a raster of a YX (or YXC) array in memory, in any of the forms that `to_uint8` reads."""
        pixels = to_uint8(np.asarray(array), source)
        height, width = pixels.shape
        return cls(source=source, shape=(height, width), extent=(height, width), decode=partial(_keep, pixels))

    def fit(self, shape: tuple[int, int], volume: str) -> Raster:
        """Lay the raster on a volume of ``shape`` (H, W), top left on top left.

        Files are cut to the volume, or end before it, by up to `PADDING` px an axis.

        Raises
        ------
        LabelError
            When the sizes differ by more than that: the raster belongs to another volume.
        """
        height, width = self.extent
        if abs(height - shape[0]) > PADDING or abs(width - shape[1]) > PADDING:
            raise LabelError(
                f"{self.source} is {height} x {width} px (H x W) but {volume} is {shape[0]} x {shape[1]}; "
                f"at most {PADDING} px of padding at the bottom and right are expected. Give the raster of this volume."
            )
        return replace(self, shape=shape, extent=(min(height, shape[0]), min(width, shape[1])))

    def read(self, window: Window) -> NDArray[np.float32]:
        """Read the YX box of a window inside ``shape`` as float32 in [0, 1]; beyond ``extent`` it is 0."""
        flat = window.layers(0, 1)
        if flat.clip((1, *self.shape)) != flat:
            raise LabelError(f"{window} reaches outside {self.source}, which is {self.shape} px (H, W).")
        out = np.zeros(flat.shape[1:], dtype=np.float32)
        there = flat.clip((1, *self.extent))
        if not there.empty:
            out[there.inside(flat).yx] = self.pixels[there.yx]
            out /= 255.0
        return out

    def covered(self, window: Window) -> NDArray[np.bool_]:
        """Return which pixels of a window the raster's own extent covers, YX."""
        flat = window.layers(0, 1)
        out = np.zeros(flat.shape[1:], dtype=np.bool_)
        out[flat.clip((1, *self.extent)).inside(flat).yx] = True
        return out

    def digest(self) -> str:
        """Return the SHA-256 of the size and pixels, which names the label in a run's recipe."""
        sha = hashlib.sha256(repr(self.extent).encode())
        height, width = self.extent
        for top in range(0, height, _BAND):
            sha.update(self.pixels[top : min(top + _BAND, height), 0:width].tobytes())
        return sha.hexdigest()

    @cached_property
    def pixels(self) -> Pixels:
        """The file's pixels, uint8 YX."""
        return self.decode()

    def __getstate__(self) -> dict[str, Any]:
        # Decoded pixels stay behind: a worker process decodes for itself, once, instead of a copy with every message.
        return {key: value for key, value in self.__dict__.items() if key != "pixels"}


def to_uint8(pixels: NDArray[Any], source: str) -> NDArray[np.uint8]:
    """Bring an image to YX uint8, 0 to 255.

    Reads 1-bit, 8-bit (0 to 255, or 0 and 1), 16-bit and float grey, with colour and alpha. Of a colour its brightest
    channel counts, so that what is painted in red is as much ink as in white; alpha is laid over black. For the
    colours of a palette, see `painted`.

    Parameters
    ----------
    pixels
        YX, or YXC with 1 to 4 channels (grey, grey and alpha, RGB, RGBA).
    source
        Where it comes from, for messages.
    """
    if pixels.ndim == 3 and 1 <= pixels.shape[2] <= 4:
        pixels = luminance(_brightest(pixels))
    if pixels.ndim != 2:
        raise not_flat(source, pixels.shape)
    if pixels.dtype == np.bool_:
        return np.where(pixels, np.uint8(255), np.uint8(0))
    if pixels.dtype.kind not in "uif":
        raise LabelError(f"{source} should hold numbers; its type is {pixels.dtype}. Save it as 8-bit grey.")
    low, high = (pixels.min().item(), pixels.max().item()) if pixels.size else (0, 0)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise LabelError(
            f"{source} holds NaN or infinity; a label's values lie in 0…1 or 0…255. Save it as 8-bit grey."
        )
    if low < 0 or high > 65535 or (pixels.dtype.kind == "f" and high > 255):
        raise LabelError(
            f"{source} has values from {low} to {high}; a label's values lie in 0…1 or 0…255. Save it as 8-bit grey."
        )
    if pixels.dtype.kind in "ui" and high <= 255:
        eight = pixels.astype(np.uint8)
        return eight * np.uint8(255) if high <= 1 else eight
    eight = np.empty(pixels.shape, np.uint8)
    rows = max(1, _AT_ONCE // max(1, pixels.shape[1]))
    for top in range(0, len(pixels), rows):
        band = pixels[top : top + rows]
        if high > 255:
            eight[top : top + rows] = (band.astype(np.uint32) + 128) // 257
        else:
            eight[top : top + rows] = np.rint(band * np.float32(255) if high <= 1 else band)
    return eight


def not_flat(source: str, shape: tuple[int, ...]) -> LabelError:
    """Return the error that says that something is no label or mask, by its shape."""
    return LabelError(f"{source} should be a flat YX image; it has shape {shape}. Save it as one grey image.")


def painted(colours: NDArray[np.uint8]) -> NDArray[Any]:
    """Return what a palette's colours say as a label: shades of grey as they are; else where anything is painted.

    Colours tell classes apart, and how bright they are means nothing: what is neither black nor transparent counts.

    Parameters
    ----------
    colours
        YXC, RGB or RGBA, decoded from a palette.

    Examples
    --------
    >>> painted(np.array([[[0, 0, 0], [0, 0, 90], [255, 255, 255]]], np.uint8)).tolist()
    [[False, True, True]]
    """
    red, green, blue = (colours[:, :, channel] for channel in range(3))
    if np.array_equal(red, green) and np.array_equal(red, blue):
        return colours
    there = (red > 0) | (green > 0) | (blue > 0)
    return there & (colours[:, :, 3] > 0) if colours.shape[2] == 4 else there


def _brightest(pixels: NDArray[Any]) -> NDArray[Any]:
    """Turn the colours of YXC into their brightest channel; alpha stays."""
    if pixels.shape[2] < 3:
        return pixels
    red, green, blue, *alpha = np.moveaxis(pixels, 2, 0)
    return np.stack([np.maximum(np.maximum(red, green), blue), *alpha], axis=2)


def _keep(pixels: NDArray[np.uint8]) -> Pixels:
    return pixels
