"""FlatImage: a PNG, JPEG or one-page TIFF as one array: its size from the header, its pixels when asked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from volumen.errors import SourceError
from volumen.sources.arrays.luminance import luminance
from volumen.sources.arrays.tiff_file import decoder, lies_within, open_tiff
from volumen.sources.damage import DAMAGE, described

if TYPE_CHECKING:
    from typing import IO

    from numpy.typing import NDArray
    from PIL.ImageFile import ImageFile

    from volumen.sources.location import Location

PICTURES = (".png", ".jpg", ".jpeg")
TIFFS = (".tif", ".tiff")

_MOST_PIXELS = 2**32  # a header that says more than four gigapixels is damage, not a scroll

_TYPES: dict[str, str] = {"1": "bool", "L": "uint8", "I;16": "uint16", "I;16B": "uint16", "I": "int32", "F": "float32"}


@dataclass(frozen=True, kw_only=True)
class FlatImage:
    """An image file whose header has been read.

    Parameters
    ----------
    location
        The file.
    shape
        (H, W) in pixels.
    channels
        Number of values a pixel; 1 is grey.
    dtype
        Type of a value.
    palette
        Whether its pixels are numbers of colours in a palette.
    """

    location: Location
    shape: tuple[int, int]
    channels: int
    dtype: np.dtype[Any]
    palette: bool = False

    def read(self) -> NDArray[Any]:
        """Decode the whole image: YX, or YXC where it has colour or alpha; a palette's colours have 8 bit.

        Raises
        ------
        SourceError
            When the file is damaged or truncated.
        """
        return self._decoded(shown=True)

    def numbers(self) -> NDArray[Any]:
        """Decode the whole image as its values are stored: the numbers of a palette's colours, YX; else as `read`.

        Raises
        ------
        SourceError
            When the file is damaged or truncated.
        """
        return self._decoded(shown=False)

    def _decoded(self, *, shown: bool) -> NDArray[Any]:
        decode = _tiff_pixels if suffix(self.location) in TIFFS else _picture_pixels
        try:
            with self.location.open() as file:
                pixels = decode(self.location, file, shown)
        except DAMAGE as error:
            raise damaged(self.location, error) from error
        if pixels.shape[:2] != self.shape:
            raise SourceError(f"{self.location} says {self.shape} px but holds {pixels.shape[:2]}; save it again.")
        return pixels

    def grey(self, *, ground: float = 1.0) -> NDArray[Any]:
        """Decode the image as grey, YX: colour turns to luma, 1-bit to 0 and 255.

        Parameters
        ----------
        ground
            What is transparent turns to, from 0, black, to 1, white.

        Raises
        ------
        SourceError
            When the file is damaged or truncated.
        """
        pixels = self.read()
        if pixels.ndim == 3:
            if pixels.shape[2] > 4:
                raise SourceError(f"{self.location} has {pixels.shape[2]} channels; grey, RGB or RGBA is expected.")
            pixels = luminance(pixels, ground=ground)
        if pixels.dtype == np.bool_:
            return np.where(pixels, np.uint8(255), np.uint8(0))
        return pixels.astype(np.uint16) if pixels.dtype == np.int32 else pixels  # so open 16-bit PNGs of some writers


def eight_bit(image: FlatImage) -> NDArray[np.uint8]:
    """Decode an image as 8-bit grey, YX; see `FlatImage.grey`.

    Raises
    ------
    SourceError
        When the file is damaged, or holds neither 8 nor 16 bit.
    """
    pixels = image.grey()
    if pixels.dtype == np.uint16:
        return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise SourceError(f"{image.location} holds {pixels.dtype} pixels; 8 or 16 bit is expected. Save it as grey.")
    return pixels


def open_image(location: Location) -> FlatImage:
    """Read an image's header.

    Raises
    ------
    SourceNotFoundError
        When there is no such file.
    SourceError
        When it is damaged, or no PNG, JPEG or TIFF.
    """
    kind = suffix(location)
    if kind not in (*PICTURES, *TIFFS):
        raise SourceError(f"{location} must be a PNG, JPEG or TIFF, by its ending; got {kind or 'none'}.")
    with location.open() as file:
        try:
            image = (_tiff_header if kind in TIFFS else _picture_header)(location, file)
        except DAMAGE as error:
            raise damaged(location, error) from error
    if image.shape[0] * image.shape[1] > _MOST_PIXELS:
        raise SourceError(
            f"{location} says {image.shape[0]} x {image.shape[1]} px; over 4 gigapixels is taken for damage."
        )
    return image


def is_picture(location: Location) -> bool:
    """Whether a TIFF is a single page in colour or black and white, as pictures are and layers of a volume are not."""
    with location.open() as file:
        try:
            with open_tiff(file) as tiff:
                page = tiff.pages.first
                alone = len(tiff.series) == 1 and tiff.series[0].size == page.size
                return alone and (page.samplesperpixel > 1 or page.colormap is not None or page.dtype == np.bool_)
        except DAMAGE:
            return False  # whoever reads it as a volume says what is wrong


def suffix(location: Location) -> str:
    """Return the file ending, lower case, with its dot."""
    return PurePosixPath(location.name).suffix.lower()


def _picture(location: Location, file: IO[bytes]) -> ImageFile:
    # Image.open refuses more than 179 megapixels by a global that all of the process shares; the format's own
    # class does not ask it. `open_image` bounds the size instead.
    return PngImageFile(file) if suffix(location) == ".png" else JpegImageFile(file)


def _picture_header(location: Location, file: IO[bytes]) -> FlatImage:
    with _picture(location, file) as image:
        width, height = image.size
        return FlatImage(
            location=location,
            shape=(height, width),
            channels=len(image.getbands()),
            dtype=np.dtype(_TYPES.get(image.mode, "uint8")),
            palette=image.mode == "P",
        )


def _picture_pixels(location: Location, file: IO[bytes], shown: bool) -> NDArray[Any]:
    """Decode a PNG or JPEG; a palette to its colours, or, where they are not to be shown, to their numbers."""
    with _picture(location, file) as image:
        image.load()
        if image.mode == "P" and shown:
            return np.asarray(image.convert("RGBA" if "transparency" in image.info else "RGB"))
        if image.mode not in _TYPES and image.mode not in ("P", "LA", "RGB", "RGBA"):
            return np.asarray(image.convert("RGB"))
        return np.asarray(image)


def _tiff_header(location: Location, file: IO[bytes]) -> FlatImage:
    with open_tiff(file) as tiff:
        page = tiff.pages.first
        if page.dtype is None or len(tiff.series[0].pages) > 1:
            raise ValueError(f"one page of numbers is expected; it holds {len(tiff.series[0].pages)} pages")
        pieces = math.prod(page.chunked)
        if pieces > len(page.dataoffsets):  # tifffile would make up the others, however many there are
            raise ValueError(f"its page lies in {pieces} pieces, of which {len(page.dataoffsets)} are listed")
        if not lies_within(file, page.dataoffsets, page.databytecounts):
            raise ValueError("it ends before its last pixels")
        palette = _palette(page) is not None
        return FlatImage(
            location=location,
            shape=(page.imagelength, page.imagewidth),
            channels=page.samplesperpixel,
            dtype=np.dtype(np.uint8) if palette else page.dtype,
            palette=palette,
        )


def _palette(page: tifffile.TiffPage) -> NDArray[np.uint8] | None:
    """Return a page's palette, (colours, 3), or None where it has none."""
    if page.photometric != tifffile.PHOTOMETRIC.PALETTE or page.colormap is None:
        return None
    colours = np.asarray(page.colormap).T
    # 16 bit, as the format has it; careless writers fill in 8
    return np.ascontiguousarray(colours >> 8 if colours.max() > 255 else colours, dtype=np.uint8)


def _tiff_pixels(location: Location, file: IO[bytes], shown: bool) -> NDArray[Any]:
    """Decode a TIFF; a palette to its colours, or, where they are not to be shown, to their numbers."""
    with open_tiff(file) as tiff:
        page = tiff.pages.first
        page.decode = decoder(page)  # which asarray() calls
        pixels = page.asarray()
        palette = _palette(page)
        if palette is not None:
            return palette[pixels] if shown else pixels  # YX of numbers -> YXC
        if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and pixels.ndim == 3:
            pixels = np.moveaxis(pixels, 0, -1)  # CYX -> YXC
        if page.photometric == tifffile.PHOTOMETRIC.SEPARATED and pixels.shape[2:] == (4,) and pixels.dtype == np.uint8:
            inks = Image.frombytes("CMYK", (page.imagewidth, page.imagelength), pixels.tobytes())
            return np.asarray(inks.convert("RGB"))
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
            return inverted(pixels)
        return pixels


def inverted(pixels: NDArray[Any]) -> NDArray[Any]:
    """Turn pixels of which 0 is white into such of which 0 is black."""
    return np.asarray(~pixels if pixels.dtype.kind in "bui" else 1 - pixels)


def damaged(location: Location, error: Exception) -> SourceError:
    """Say that an image file is damaged, in our words; our own errors pass as they are."""
    return SourceError(
        f"{location} is damaged or in a form that is not understood ({described(error)}); save or copy it again."
    )
