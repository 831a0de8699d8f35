"""Pictures: PNG, JPEG and TIFF images as labels, masks, single layers and photographs."""

from __future__ import annotations

import io
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from harness import Harness, each_way
from volumen.sources.location import Location
from volumen.sources.open import open_segment
from volumen.sources.photos.photo_image import open_photo, read_mask
from volumes import look, npy, tiff

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness import Parts

_SHAPE = (9, 11)
_GREY = np.arange(99, dtype=np.uint8).reshape(_SHAPE)


def _door(ending: str, folder: Path) -> None:
    """Read a picture as everything that a picture can be; each as far as it goes."""
    path = folder / f"seg_inklabels.{ending}"
    each_way(
        lambda: look(open_segment(folder / "seg.npy")),  # it is the label that is found beside it
        lambda: look(open_segment(path, colours=True)),
        lambda: look(open_segment(path)),
        lambda: open_photo(Location.of(path)).read(),
        lambda: read_mask(Location.of(path), _SHAPE),
    )


def _given() -> dict[str, bytes]:
    return {"seg.npy": npy(np.zeros((2, *_SHAPE), np.uint8))}


def picture(image: Image.Image, form: str, **how: Any) -> bytes:
    """Return an image as a file's bytes."""
    file = io.BytesIO()
    image.save(file, form, **how)
    return file.getvalue()


def _images() -> Iterator[Image.Image]:
    grey = Image.fromarray(_GREY)
    yield grey
    for mode in ("1", "RGB", "RGBA", "LA", "P", "CMYK"):
        yield grey.convert(mode)
    yield Image.fromarray(_GREY.astype(np.uint16) * 257)


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[274] = 6
    exif[0x010F] = "maker"
    return exif


def _pngs() -> Iterator[Parts]:
    for image in _images():
        if image.mode != "CMYK":
            yield (picture(image, "PNG"),)
    yield (picture(Image.fromarray(_GREY), "PNG", exif=_exif()),)
    see_through = Image.fromarray(_GREY).convert("P")
    yield (picture(see_through, "PNG", transparency=3),)


def _jpegs() -> Iterator[Parts]:
    for image in _images():
        if image.mode in ("L", "RGB", "CMYK"):
            yield (picture(image, "JPEG"),)
    yield (picture(Image.fromarray(_GREY), "JPEG", exif=_exif(), progressive=True),)


def _tiffs() -> Iterator[Parts]:
    for image in _images():
        yield (picture(image, "TIFF"),)
    turned = ImageFileDirectory_v2()
    turned[274] = 6
    yield (picture(Image.fromarray(_GREY).convert("RGB"), "TIFF", tiffinfo=turned, compression="tiff_lzw"),)
    yield (tiff(np.stack([_GREY] * 3), photometric="rgb", planarconfig="separate"),)
    yield (tiff(np.stack([_GREY] * 3, axis=-1), photometric="rgb", tile=(16, 16), compression="zlib"),)
    yield (tiff(_GREY, photometric="miniswhite"),)


HARNESSES = {
    name: Harness(
        name=name,
        files=(f"seg_inklabels.{ending}",),
        door=partial(_door, ending),
        seeds=seeds,
        given=_given,
    )
    for name, ending, seeds in (
        ("png", "png", _pngs),
        ("jpeg", "jpg", _jpegs),
        ("tiff picture", "tif", _tiffs),
    )
}
