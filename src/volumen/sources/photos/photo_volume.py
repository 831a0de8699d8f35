"""PhotoVolume: a photograph as a volume of three layers, red, green and blue, predicted like a segment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from volumen.sources.arrays.images import TIFFS, suffix
from volumen.sources.arrays.layer_stack import LayerStack
from volumen.sources.arrays.recent import Recent
from volumen.sources.arrays.tiff import open_colour_tiff
from volumen.sources.arrays.upright import UPRIGHT
from volumen.sources.photos.photo_image import PhotoImage, open_photo

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from volumen.sources.location import Location
    from volumen.sources.segment import LazyArray


@dataclass(frozen=True, kw_only=True, eq=False)
class PhotoVolume:
    """A photograph as a lazy ZYX array of three layers, 8 bit; it is decoded whole when it is first sliced.

    Parameters
    ----------
    image
        Grey is shown as three equal layers, what is transparent as white, all turned as EXIF says.
    """

    image: PhotoImage
    _kept: Recent = field(default_factory=lambda: Recent(0), repr=False)  # the last one always stays

    @property
    def shape(self) -> tuple[int, ...]:
        """(3, H, W)."""
        return (3, *self.image.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """8-bit."""
        return np.dtype(np.uint8)

    def __getitem__(self, key: tuple[slice, ...], /) -> NDArray[Any]:
        pixels: NDArray[np.uint8] = self._kept.get("pixels", self.image.read, lambda decoded: decoded.nbytes)
        return np.ascontiguousarray(np.moveaxis(pixels, -1, 0)[key])  # YXC -> CYX


def open_colours(location: Location) -> LazyArray:
    """Open a photograph as a volume of three layers, from its header alone.

    A TIFF in RGB of 8 bit is read strip by strip, or tile by tile, in bounded memory; a PNG or JPEG, which can only be
    decoded whole, takes three bytes a pixel.

    Raises
    ------
    SourceNotFoundError
        When there is no such file.
    SourceError
        When it is damaged, or no PNG, JPEG or one-page TIFF.
    """
    photo = open_photo(location)
    if suffix(location) in TIFFS and photo.orientation == UPRIGHT:
        layers = open_colour_tiff(location)
        if layers:
            return LayerStack(layers)
    return PhotoVolume(image=photo)
