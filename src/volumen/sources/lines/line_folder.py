"""Folders of line images: each image beside its transcript, ``a.png`` and ``a.gt.txt``, or images alone."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from volumen.sources.arrays.images import PICTURES, TIFFS
from volumen.sources.arrays.recent import Recent
from volumen.sources.image_files import distinct, is_foreign, is_image
from volumen.sources.left_out import MISSING_IMAGE
from volumen.sources.lines.line import DECODED_BYTES, Line, Part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from volumen.sources.left_out import Drops
    from volumen.sources.location import Location

TRANSCRIPT = ".gt.txt"
NO_TRANSCRIPT = "no transcript"
NOT_UTF8 = "transcript not in UTF-8"

_SPLITS: dict[str, Part] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
}
_PREPARED = (".bin", ".nrm", ".dew")  # stems of images that OCRopus made black and white, grey or straight


def read_images(folder: Location, files: Sequence[str]) -> tuple[Line, ...]:
    """Take every image among ``files`` for a line without transcript; see `read_pairs` for its page and split."""
    images = [file for file in files if is_image(file)]
    return _lines(folder, images, [""] * len(images))


def read_pairs(folder: Location, files: Sequence[str], drops: Drops, *, keep_images: bool) -> tuple[Line, ...]:
    """Pair images with transcripts of the same name.

    Lines in a folder inside have its path as their page, so that a split can keep them together; where the
    outermost is named ``train``, ``val`` (or ``valid``, ``validation``, ``dev``) or ``test``, they are in that
    split. Of ``a.png``, ``a.bin.png``, ``a.nrm.png`` and ``a.dew.png``, the first that is there goes with
    ``a.gt.txt``.

    Parameters
    ----------
    folder, files
        Files from the folder on.
    drops
        Counts transcripts without image or not in UTF-8, and images without transcript.
    keep_images
        Keep images without transcript, with an empty text.
    """
    images = _by_stem(files)
    foreign = {file[: -len(_suffix(file))] for file in filter(is_foreign, files)}  # who reads the folder counts these
    pairs: list[tuple[str, str]] = []
    for file in files:
        if not file.endswith(TRANSCRIPT):
            continue
        stem = file.removesuffix(TRANSCRIPT)
        forms = [images.pop(stem + form, "") for form in ("", *_PREPARED)]
        image = next(filter(None, forms), "")
        text = _text(folder / file)
        if not image and stem in foreign:
            continue
        if not image or text is None:
            drops.add(NOT_UTF8 if image else MISSING_IMAGE, file)
        else:
            pairs.append((image, text))
    if keep_images:
        pairs += [(image, "") for image in images.values()]
    else:
        for image in images.values():
            drops.add(NO_TRANSCRIPT, image)
    pairs.sort()
    return _lines(folder, [image for image, _ in pairs], [text for _, text in pairs])


def _by_stem(files: Sequence[str]) -> dict[str, str]:
    """Return path without ending -> image; of several endings, the first of PNG, JPEG and TIFF."""
    ranked = sorted(filter(is_image, files), key=lambda file: (*PICTURES, *TIFFS).index(_suffix(file)), reverse=True)
    return {file[: -len(_suffix(file))]: file for file in ranked}


def _suffix(file: str) -> str:
    return PurePosixPath(file).suffix.lower()


def _text(location: Location) -> str | None:
    """Return a transcript in one line, or None where it is not in UTF-8."""
    try:
        return " ".join((location.read() or b"").decode("utf-8-sig").split())
    except UnicodeDecodeError:
        return None


def _lines(folder: Location, images: Sequence[str], texts: Sequence[str]) -> tuple[Line, ...]:
    recent = Recent(DECODED_BYTES)
    return tuple(
        Line(name=name, location=folder / image, text=text, split=_split(image), page=_page(image), recent=recent)
        for name, image, text in zip(distinct(images), images, texts, strict=True)
    )


def _page(image: str) -> str:
    parent = str(PurePosixPath(image).parent)
    return "" if parent == "." else parent


def _split(image: str) -> Part:
    first = PurePosixPath(image).parts[0]
    return _SPLITS.get(first, "")
