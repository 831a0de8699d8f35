"""UprightImage: an image file as people see it, turned as its EXIF or TIFF orientation says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

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
class UprightImage:
    """An image file whose header has been read.

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

    def turned(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Turn what was decoded of the file, YX or YXC, as it is seen."""
        match self.orientation:
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


def open_upright(location: Location) -> UprightImage:
    """Read the header of an image file.

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
    return UprightImage(image=image, orientation=said if said in range(1, 9) else UPRIGHT)


def _orientation(location: Location, file: IO[bytes]) -> int:
    with PngImageFile(file) if suffix(location) == ".png" else JpegImageFile(file) as image:
        # not image.getexif(), which decodes a whole PNG in search of what may stand behind its pixels
        return int(Image.Image.getexif(image).get(_ORIENTATION, UPRIGHT))


def _tiff_orientation(file: IO[bytes]) -> int:
    with open_tiff(file) as tiff:
        tag = tiff.pages.first.tags.get(_ORIENTATION)
        return UPRIGHT if tag is None else int(tag.value)
