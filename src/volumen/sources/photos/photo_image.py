"""PhotoImage: an image of any mode as people see it: RGB, 8 bit, turned as its EXIF says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from volumen.errors import SourceError
from volumen.sources.arrays.images import suffix
from volumen.sources.arrays.upright import UprightImage, open_upright

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from volumen.sources.arrays.images import FlatImage
    from volumen.sources.location import Location


@dataclass(frozen=True, kw_only=True)
class PhotoImage(UprightImage):
    """A photograph whose header has been read."""

    def read(self) -> NDArray[np.uint8]:
        """Decode it: YXC, RGB; grey is repeated, and what is transparent is white.

        Raises
        ------
        SourceError
            When the file is damaged, holds neither 8 nor 16 bit, or is larger than memory.
        """
        try:
            return np.ascontiguousarray(self.turned(_rgb(self.image)))
        except MemoryError as error:
            height, width = self.shape
            raise SourceError(
                f"{self.image.location} takes more memory than there is: {height} x {width} px (H x W) in RGB. Give a "
                "smaller photograph."
            ) from error


def open_photo(location: Location) -> PhotoImage:
    """Read the header of a photograph.

    Raises
    ------
    SourceNotFoundError
        When there is no such file.
    SourceError
        When it is damaged, or no PNG, JPEG or TIFF.
    """
    found = open_upright(location)
    return PhotoImage(image=found.image, orientation=found.orientation)


def read_mask(location: Location, shape: tuple[int, int], *, background: tuple[int, ...] = (0,)) -> NDArray[np.bool_]:
    """Read a mask: what is none of the background's values, YX.

    Parameters
    ----------
    location
        PNG, JPEG or one-page TIFF, turned as its EXIF says: values of grey, or numbers of classes, also of a palette;
        of colours their luma; what is transparent is 0. A JPEG, whose values are never exact, is cut at one half.
    shape
        (H, W) of its photograph.
    background
        Values that are background.

    Raises
    ------
    SourceNotFoundError
        When there is no such file.
    SourceError
        When it is damaged, or not as large as its photograph.
    """
    photo = open_photo(location)
    if photo.shape != shape:
        raise SourceError(
            f"The mask {location} is {photo.shape} px (H, W), but its photograph is {shape}. Give a mask of that size."
        )
    if suffix(location) in (".jpg", ".jpeg"):
        return photo.turned(photo.image.grey() > 127)
    values = _indices(photo.image)
    return np.asarray(~np.isin(photo.turned(values), background))


def _rgb(image: FlatImage) -> NDArray[np.uint8]:
    """Return an image as YXC, RGB."""
    pixels = image.read()
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    elif pixels.dtype in (np.uint16, np.int32):  # so open 16-bit PNGs of some writers
        pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    channels = pixels.shape[2]
    if pixels.dtype != np.uint8 or not 1 <= channels <= 4:
        raise SourceError(
            f"{image.location} holds {channels} channels of {pixels.dtype}; a photograph is grey, RGB, RGBA or CMYK "
            "of 8 or 16 bit. Save it as one."
        )
    if channels in (2, 4):
        pixels = _on_white(pixels[..., :-1], pixels[..., -1:])
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def _on_white(colours: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if (alpha == 255).all():
        return colours
    opaque = alpha / np.float32(255)
    laid: NDArray[np.uint8] = np.rint(colours * opaque + 255 * (1 - opaque)).astype(np.uint8)
    return laid


def _indices(image: FlatImage) -> NDArray[Any]:
    """Return the values of a mask, YX; a palette's numbers, not its colours."""
    flat = image.palette or image.channels == 1
    return (image.numbers() if flat else image.grey(ground=0.0)).astype(np.int64)
