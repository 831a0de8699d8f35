"""Lines of pages, from PAGE XML or ALTO: cut out of the pages' images along their outlines, with their texts."""

from __future__ import annotations

from pathlib import PurePath, PureWindowsPath
from typing import TYPE_CHECKING

from volumen.errors import SourceError, SourceNotFoundError
from volumen.sources.arrays.images import PICTURES, TIFFS
from volumen.sources.arrays.recent import Recent
from volumen.sources.arrays.upright import open_upright
from volumen.sources.left_out import MISSING_IMAGE, UNREADABLE_IMAGE
from volumen.sources.lines.alto import alto_pages
from volumen.sources.lines.cut import fault
from volumen.sources.lines.line import DECODED_BYTES, Line
from volumen.sources.lines.markup import read_xml
from volumen.sources.lines.page_xml import page_xml_pages

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from xml.etree.ElementTree import Element

    from volumen.sources.left_out import Drops
    from volumen.sources.lines.marked_page import MarkedPage
    from volumen.sources.location import Location

NOT_A_PAGE = "neither PAGE nor ALTO"
UNREADABLE_XML = "XML that is damaged or declares a document type"
NO_LINES = "page without lines"
OTHER_SIZE = "page image of another size than its XML says"
NO_SCALE = "outlines in units of a page whose size its XML does not say"
TOLD_TWICE = "line of a page that another XML tells of too"

_FORMS = {"PcGts": page_xml_pages, "alto": alto_pages}
_RANK = [*_FORMS]  # of two that tell of one page, the former is read


def read_page(location: Location, drops: Drops) -> tuple[Line, ...]:
    """Read the lines of one PAGE or ALTO file; see `read_pages`.

    Raises
    ------
    SourceNotFoundError
        When there is no such file.
    SourceError
        When it is damaged, declares a document type, or is neither PAGE nor ALTO.
    """
    root = read_xml(location)
    if root.tag not in _FORMS:
        raise SourceError(
            f"{location} should be PAGE XML, its outermost element PcGts, or ALTO, its outermost alto; "
            f"got {root.tag}. Export it again in one of these."
        )
    return tuple(_lines(location, PurePath(location.name).stem, root, _Folders(), Recent(DECODED_BYTES), drops))


def read_pages(folder: Location, files: Sequence[str], drops: Drops) -> tuple[Line, ...]:
    """Read the lines of all PAGE and ALTO files among ``files``; the others are counted, as are damaged ones.

    A page's image is looked for under the name that its XML says and under the XML's own, beside the XML and in the
    folder above, where export programs put it. Its header is read, its pixels are not. Where several files tell of one
    image, as where a program wrote both PAGE and ALTO, one of them is read, PAGE before ALTO: else the same line could
    be learned from under one name and held out under the other.
    """
    lines: dict[tuple[int, str], list[Line]] = {}  # by rank and file
    folders, recent = _Folders(), Recent(DECODED_BYTES)
    stems = [PurePath(file).stem for file in files]
    names = stems if len({*stems}) == len(stems) else [str(PurePath(file).with_suffix("")) for file in files]
    for file, name in zip(files, names, strict=True):
        try:
            root = read_xml(folder / file)
        except (SourceError, SourceNotFoundError):  # a link may lead nowhere
            drops.add(UNREADABLE_XML, file)
            continue
        if root.tag in _FORMS:
            lines[_RANK.index(root.tag), file] = list(_lines(folder / file, name, root, folders, recent, drops))
        else:
            drops.add(NOT_A_PAGE, file)
    teller: dict[str, tuple[int, str]] = {}  # image -> what tells of it
    for source in sorted(lines):
        for line in lines[source]:
            teller.setdefault(line.location.path, source)
    kept: list[Line] = []
    for source, found in sorted(lines.items(), key=lambda item: item[0][1]):
        for line in found:
            if teller[line.location.path] == source:
                kept.append(line)
            else:
                drops.add(TOLD_TWICE, line.name)
    return tuple(kept)


class _Folders:
    """The folders that images are looked for in; each is listed once."""

    def __init__(self) -> None:
        self._names: dict[str, dict[str, str] | None] = {}

    def names(self, folder: Location) -> dict[str, str] | None:
        """Return name in lower case -> name of what is in a folder, or None where that cannot be known."""
        if folder.path not in self._names:
            listed = folder.listing()
            self._names[folder.path] = None if listed is None else {name.lower(): name for name in listed}
        return self._names[folder.path]


def _lines(
    location: Location, name: str, root: Element, folders: _Folders, recent: Recent, drops: Drops
) -> Iterator[Line]:
    pages = [page for page in _FORMS[root.tag](root) if page.lines]
    if not pages:
        drops.add(NO_LINES, location.name)
    for number, page in enumerate(pages, start=1):
        titled = name if len(pages) == 1 else f"{name}/{number}"
        names = [f"{titled}/{line}" for line in _distinct(page)]
        image, shape, reason = _image(location, page, folders)
        scale = page.scale(shape)
        if not reason and scale is None:
            reason = OTHER_SIZE if page.size else NO_SCALE
        for full, marked in zip(names, page.lines, strict=True):
            corners = marked.corners(scale or (1.0, 1.0))
            why = reason or fault(corners, shape)
            if why:
                drops.add(why, full)
            else:
                yield Line(
                    name=full,
                    location=image,
                    text=marked.text,
                    page=titled,
                    size=shape,
                    outline=corners,
                    recent=recent,
                )


def _distinct(page: MarkedPage) -> list[str]:
    """Return names for a page's lines, all different: their own; a number is added where it is taken or missing."""
    names: dict[str, None] = {}
    following: dict[str, int] = {}  # by wanted name: the number to go on from; those its last line tried are taken
    for position, line in enumerate(page.lines, start=1):
        wanted = name = line.name or str(position)
        number = max(position, following.get(wanted, 0))
        while name in names:
            name = f"{wanted}#{number}"
            number += 1
        following[wanted] = number
        names[name] = None
    return list(names)


def _image(location: Location, page: MarkedPage, folders: _Folders) -> tuple[Location, tuple[int, int], str]:
    """Return the page's image, its (H, W), and why it cannot be used, if so."""
    image = _found(location, page.image, folders)
    if image is None:
        return location, (0, 0), MISSING_IMAGE
    try:
        return image, open_upright(image).shape, ""
    except SourceNotFoundError:
        return image, (0, 0), MISSING_IMAGE
    except SourceError:
        return image, (0, 0), UNREADABLE_IMAGE


def _found(location: Location, said: str, folders: _Folders) -> Location | None:
    """Find a page's image: under the name that its XML says, then its own, beside it, then one folder up."""
    said = PureWindowsPath(said).name  # it takes both kinds of slashes
    stem = PurePath(location.name).stem
    wanted = [name for name in (said, *(stem + ending for ending in (*PICTURES, *TIFFS))) if name]
    for folder in (location.parent, location.parent.parent):
        there = folders.names(folder)
        if there is None and not location.local and said:
            return folder / said  # plain http lists nothing: there a missing file shows when it is read
        found = next((there[name.lower()] for name in wanted if name.lower() in there), None) if there else None
        if found is not None:
            return folder / found
    return None
