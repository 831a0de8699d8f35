"""read_photos: photographs in any of the forms that people keep them in, with a count of what cannot be used."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from volumen.errors import SourceError, SourceNotFoundError
from volumen.sources.image_files import distinct, files_below, is_image
from volumen.sources.left_out import MISSING_IMAGE, UNREADABLE_IMAGE, Drops, told
from volumen.sources.location import Location
from volumen.sources.photos.ctw import read_ctw
from volumen.sources.photos.filled import REACHING_OUT, polygon_fault, reaches_out
from volumen.sources.photos.labelme import is_labelme, read_labelme
from volumen.sources.photos.photo import Character, Listed, Photo, PhotoList, Polygons
from volumen.sources.photos.photo_image import open_photo
from volumen.sources.photos.photo_table import read_photo_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from volumen.sources.outlines import Outline

__all__ = ["Character", "Photo", "PhotoList", "Polygons", "read_photos"]

OTHER_SIZE = "image of another size than its list says"
MISSING_MASK = "missing mask"

_LISTS = (".jsonl", ".csv")
_IMAGES, _MASKS = "images", "masks"
_THREADS = 8  # headers read at a time; what is far away answers late


def read_photos(paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> PhotoList:
    """Read photographs, with their polygons, masks and tags. Headers of images are read; pixels when they are needed.

    ===================================  ==========================================================================
    a path                               what is read
    ===================================  ==========================================================================
    ``.jsonl``                           CTW's annotations, see `volumen.sources.photos.ctw`
    ``.json``                            polygons of one photograph, see `volumen.sources.photos.labelme`
    ``.csv``                             images, masks and tags, see `volumen.sources.photos.photo_table`
    an image                             that photograph, of which nothing is known
    a folder with one such list          that list
    a folder with labelme's ``.json``    all of them
    a folder ``images`` and ``masks``    images, and masks of the same stem; an image without one has none
    a folder of images                   photographs of which nothing is known, also in folders inside
    ===================================  ==========================================================================

    A photograph whose mask is missing is kept without it. Polygons of fewer than three corners, without area, with a
    corner that is no number, or wholly outside are left out; those that reach out are cut off at the edge when they
    are drawn. All are counted and named, as the photograph and the number of the polygon, from 1.

    Parameters
    ----------
    paths
        One path or several, local or URLs.

    Raises
    ------
    SourceNotFoundError
        When there is no such file or folder.
    SourceError
        When it is in none of these forms, damaged, or no photograph is left.

    Examples
    --------
    >>> print(read_photos("apparel/labels.csv"))  # doctest: +SKIP
    apparel/labels.csv: 2098 photographs
    """
    sources = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    drops, clips = Drops(), Drops()
    photos: list[Photo] = []
    for location, stem in zip(map(Location.of, sources), _stems(sources), strict=True):
        listed = _read(location)
        names = [f"{stem}/{name}" if stem else name for name in distinct([each.file for each in listed])]
        photos += _looked_at(names, listed, drops, clips)
    said = ", ".join(map(str, sources))
    dropped = drops.counted()
    if not photos:
        found = f"left out {told(dropped)}" if dropped else "there are none"
        raise SourceError(f"Expected photographs in {said} that can be read; {found}.")
    twice = _twice(photos)
    if twice:
        raise SourceError(f"Expected every photograph once; {twice} is there more than once. Leave out one.")
    return PhotoList(source=said, photos=tuple(photos), dropped=dropped, clipped=clips.counted())


def _stems(sources: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Return what stands before the names of each list's photographs, where there are several."""
    if len(sources) == 1:
        return [""]
    stems = [PurePosixPath(Location.of(source).name).stem for source in sources]
    return stems if len({*stems}) == len(stems) else [str(source) for source in sources]


def _twice(photos: Sequence[Photo]) -> str | None:
    seen: set[str] = set()
    for photo in photos:
        if photo.location.path in seen:
            return photo.location.path
        seen.add(photo.location.path)
    return None


def _read(location: Location) -> list[Listed]:
    name = location.name.lower()
    if name.endswith(".jsonl"):
        return read_ctw(location)
    if name.endswith(".csv"):
        return read_photo_table(location)
    if name.endswith(".json"):
        return [read_labelme(location)]
    if is_image(name):
        return [Listed(file=location.name, location=location)]
    if location.local and Path(location.path).is_file():
        raise SourceError(f"{location} should be a .jsonl, .json or .csv list, an image, or a folder of these.")
    beside = location.listing() or []
    lists = [file for file in beside if file.lower().endswith(_LISTS)]
    if len(lists) > 1:
        raise SourceError(f"{location} holds several lists, {', '.join(lists)}; name the one that you mean.")
    if lists:
        return _read(location / lists[0])
    drawn = [location / file for file in beside if file.lower().endswith(".json")]
    drawn = [file for file in drawn if is_labelme(file.read() or b"")]
    if drawn:
        return [read_labelme(file) for file in drawn]
    if _IMAGES in beside:
        masks = {PurePosixPath(name).stem: location / _MASKS / name for name in (location / _MASKS).listing() or ()}
        location = location / _IMAGES
    else:
        masks = {}
    files = [file for file in files_below(location, "photographs, or a list of them") if is_image(file)]
    return [Listed(file=file, location=location / file, mask=masks.get(PurePosixPath(file).stem)) for file in files]


def _looked_at(names: Sequence[str], listed: Sequence[Listed], drops: Drops, clips: Drops) -> list[Photo]:
    """Read the headers of images; leave out and count what cannot be used."""
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="headers") as pool:
        sizes = list(pool.map(_size, listed))
        masks = list(pool.map(lambda each: each.mask is not None and each.mask.exists(), listed))
    photos = []
    for name, each, size, masked in zip(names, listed, sizes, masks, strict=True):
        if isinstance(size, str) or each.location is None:
            drops.add(size if isinstance(size, str) else MISSING_IMAGE, name)
            continue
        if each.mask is not None and not masked:
            drops.add(MISSING_MASK, name)
        polygons = each.polygons and _usable(name, each.polygons, size, drops, clips)
        photos.append(
            Photo(
                name=name,
                location=each.location,
                size=size,
                mask=each.mask if masked else None,
                polygons=polygons,
                tags=each.tags,
            )
        )
    return photos


def _size(listed: Listed) -> tuple[int, int] | str:
    """Return (H, W) of an image as it is seen, or why it cannot be used."""
    if listed.location is None:
        return MISSING_IMAGE
    try:
        size = open_photo(listed.location).shape
    except SourceNotFoundError:
        return MISSING_IMAGE
    except SourceError:
        return UNREADABLE_IMAGE
    return size if listed.size in (None, size) else OTHER_SIZE


def _usable(name: str, polygons: Polygons, size: tuple[int, int], drops: Drops, clips: Drops) -> Polygons:
    """Leave out polygons that mark nothing; count them, and those that are cut off."""

    def kept(kind: str, outlines: Sequence[Outline]) -> list[int]:
        found = []
        for index, outline in enumerate(outlines):
            what, reason = f"{name}, {kind} {index + 1}", polygon_fault(outline, size)
            if reason:
                drops.add(reason, what)
                continue
            if reaches_out(outline, size):
                clips.add(REACHING_OUT, what)
            found.append(index)
        return found

    characters = kept("character", [character.polygon for character in polygons.characters])
    ignore = kept("ignore", polygons.ignore)
    return replace(
        polygons,
        characters=tuple(polygons.characters[index] for index in characters),
        ignore=tuple(polygons.ignore[index] for index in ignore),
    )
