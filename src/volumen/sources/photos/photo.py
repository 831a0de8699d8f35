"""Photo: a photograph and what is known of it: polygons of characters, regions to ignore, a mask, tags."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from volumen.errors import LabelError, SourceError
from volumen.sources.left_out import told
from volumen.sources.photos.filled import filled
from volumen.sources.photos.photo_image import open_photo, read_mask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from volumen.sources.left_out import Dropped
    from volumen.sources.location import Location
    from volumen.sources.outlines import Outline


class Character(NamedTuple):
    """A character, or a whole text, in a photograph: corners (x, y) in px, and what is written, where that is known."""

    polygon: Outline
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Polygons:
    """What is drawn over a photograph; none of these is ever rasterised before it is asked for.

    Parameters
    ----------
    characters
        Each with its text.
    ignore
        Regions that are neither text nor background: they never count.
    """

    characters: tuple[Character, ...] = ()
    ignore: tuple[Outline, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A photograph; its pixels are read when they are asked for.

    Parameters
    ----------
    name
        Unlike that of any other photograph of its list.
    location
        The image.
    size
        (H, W) in px, as the image is seen, which is as its EXIF says; polygons and mask are drawn on that.
    mask
        An image in which everything but the background is marked; None where there is none.
    polygons
        None where none were drawn; without any in it, where the photograph was looked at and holds none.
    tags
        Words for the whole of it.
    """

    name: str
    location: Location
    size: tuple[int, int]
    mask: Location | None = None
    polygons: Polygons | None = None
    tags: tuple[str, ...] = ()

    @property
    def annotated(self) -> bool:
        """Whether it is known which of its pixels are marked."""
        return self.mask is not None or self.polygons is not None

    def pixels(self) -> NDArray[np.uint8]:
        """Decode the image: YXC, RGB, as it is seen.

        Raises
        ------
        SourceError, SourceNotFoundError
            It is damaged, gone, or no longer as large as it was.
        """
        pixels = open_photo(self.location).read()
        if pixels.shape[:2] != self.size:
            raise SourceError(
                f"{self.location} was {self.size} px (H, W) when it was listed; it is {pixels.shape[:2]}."
            )
        return pixels

    def target(self, *, background: tuple[int, ...] = (0,)) -> NDArray[np.bool_]:
        """Return what is marked, at native size, YX: characters and mask, but nothing in a region to ignore.

        Parameters
        ----------
        background
            Values of the mask that are background.

        Raises
        ------
        LabelError
            It has neither polygons nor a mask: that is not the same as nothing marked.
        SourceError, SourceNotFoundError
            The mask is damaged, gone, or not as large as the photograph.
        """
        if not self.annotated:
            raise LabelError(f"{self.name} has neither polygons nor a mask; it can be predicted, not learned from.")
        marked = np.zeros(self.size, dtype=np.bool_)
        if self.mask is not None:
            marked |= read_mask(self.mask, self.size, background=background)
        if self.polygons is not None:
            marked |= filled((character.polygon for character in self.polygons.characters), self.size)
        return marked & self.supervision()

    def supervision(self) -> NDArray[np.bool_]:
        """Return what counts, at native size, YX: all but the regions to ignore."""
        return ~filled(self.polygons.ignore if self.polygons is not None else (), self.size)


@dataclass(frozen=True, kw_only=True)
class Listed:
    """What a list says of a photograph, before its image is looked at.

    Parameters
    ----------
    file
        Path from the list on: its name, where no other has the same stem.
    size
        (H, W) in px that the list says, or None.
    location, mask, polygons, tags
        As for `Photo`; ``location`` is None where no such image is found.
    """

    file: str
    location: Location | None
    size: tuple[int, int] | None = None
    mask: Location | None = None
    polygons: Polygons | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PhotoList:
    """What `volumen.sources.photos.read_photos.read_photos` found.

    Parameters
    ----------
    source
        The path that was read, or several, joined by commas.
    photos
        Those whose image is there and whose header can be read, in the order of the source.
    dropped
        Reason in words -> photographs, masks and polygons that were left out for it.
    clipped
        Reason in words -> polygons that are kept, but not as they were drawn.
    """

    source: str
    photos: tuple[Photo, ...]
    dropped: Mapping[str, Dropped] = field(default_factory=dict)
    clipped: Mapping[str, Dropped] = field(default_factory=dict)

    def __str__(self) -> str:
        said = [f"{self.source}: {len(self.photos)} photographs"]
        said += [f"left out {told(self.dropped)}"] if self.dropped else []
        said += [told(self.clipped)] if self.clipped else []
        return "; ".join(said)

    @property
    def tags(self) -> tuple[str, ...]:
        """Every tag that any photograph has, sorted."""
        return tuple(sorted({tag for photo in self.photos for tag in photo.tags}))

    @property
    def annotated(self) -> tuple[Photo, ...]:
        """Those with polygons or a mask."""
        return tuple(photo for photo in self.photos if photo.annotated)
