"""PhotoImage: an image of any mode as people see it: RGB, 8 bit, turned as its EXIF says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from volumen.errors import SourceError
from volumen.sources.arrays.images import TIFFS, FlatImage, damaged, open_image, suffix
from volumen.sources.arrays.tiff_file import open_tiff
from volumen.sources.damage import DAMAGE

if TYPE_CHECKING:
    from typing import IO

    from numpy.typing import NDArray

    from volumen.sources.location import Location

UPRIGHT = 1
"""How EXIF counts an image that is not turned."""

_ORIENTATION = 274  # EXIF and TIFF tag


@dataclass(frozen=True, kw_only=True)
class PhotoImage:
    """A photograph whose header has been read.

    Parameters
    ----------
    image
        The file.
    orientation
        1 to 8, as EXIF counts the ways in which a camera was held; 1 is upright.
    """

    image: FlatImage
    orientation: int

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) in pixels, as it is seen."""
        height, width = self.image.shape
        return (width, height) if self.orientation > 4 else (height, width)

    def read(self) -> NDArray[np.uint8]:
        """Decode it: YXC, RGB; grey is repeated, and what is transparent is white.

        Raises
        ------
        SourceError
            When the file is damaged, holds neither 8 nor 16 bit, or is larger than memory.
        """
        try:
            return np.ascontiguousarray(_upright(_rgb(self.image), self.orientation))
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
    image = open_image(location)
    with location.open() as file:
        try:
            said = _tiff_orientation(file) if suffix(location) in TIFFS else _orientation(location, file)
        except DAMAGE as error:
            raise damaged(location, error) from error
    return PhotoImage(image=image, orientation=said if said in range(1, 9) else UPRIGHT)


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
        return _upright(photo.image.grey() > 127, photo.orientation)
    values = _indices(photo.image)
    return np.asarray(~np.isin(_upright(values, photo.orientation), background))


def _orientation(location: Location, file: IO[bytes]) -> int:
    with PngImageFile(file) if suffix(location) == ".png" else JpegImageFile(file) as image:
        # not image.getexif(), which decodes a whole PNG in search of what may stand behind its pixels
        return int(Image.Image.getexif(image).get(_ORIENTATION, UPRIGHT))


def _tiff_orientation(file: IO[bytes]) -> int:
    with open_tiff(file) as tiff:
        tag = tiff.pages.first.tags.get(_ORIENTATION)
        return UPRIGHT if tag is None else int(tag.value)


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


def _upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn an image, YX or YXC, as it is seen."""
    match orientation:
        case 2:
            return pixels[:, ::-1]
        case 3:
            return pixels[::-1, ::-1]
        case 4:
            return pixels[::-1]
        case 5:
            return pixels.swapaxes(0, 1)
        case 6:
            return np.rot90(pixels, -1)
        case 7:
            return pixels[::-1, ::-1].swapaxes(0, 1)
        case 8:
            return np.rot90(pixels)
    return pixels
