"""read_lines: text lines in any of the forms that people keep them in, with a count of what cannot be used and why."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from volumen.errors import SourceError, SourceNotFoundError
from volumen.sources.arrays.upright import open_upright
from volumen.sources.image_files import FOREIGN_IMAGE, NAME_NOT_UTF8, files_below, in_utf8, is_foreign, is_image
from volumen.sources.left_out import MISSING_IMAGE, UNREADABLE_IMAGE, Drops
from volumen.sources.lines.iam import read_iam
from volumen.sources.lines.line import read_table
from volumen.sources.lines.line_folder import TRANSCRIPT, read_images, read_pairs
from volumen.sources.lines.line_list import LineList, listed
from volumen.sources.lines.page_lines import NOT_A_PAGE, read_page, read_pages
from volumen.sources.location import Location

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from volumen.sources.lines.line import Line

EMPTY_TRANSCRIPT = "empty transcript"

_LIST = re.compile(r"[^/]+\.tsv|(ascii/)?(words|lines)\.txt", re.IGNORECASE)
_THREADS = 8  # headers read at a time; what is far away answers late


def read_lines(path: str | os.PathLike[str], *, keep_untranscribed: bool = False) -> LineList:
    """Read a list of text lines. Headers of images are read where sizes are not known; pixels when they are sliced.

    ============================  =====================================================================
    ``path``                      what is read
    ============================  =====================================================================
    a TSV                         as `open_lines` says; images that are missing are counted
    ``words.txt``, ``lines.txt``  the lists of IAM, beside their image tree
    an XML file                   PAGE or ALTO: the lines are cut out of the page along their polygons
    an image                      one line without transcript
    a folder with one such list   that list
    a folder with ``.gt.txt``     images with transcripts of the same name, also in folders inside
    a folder with XML             all PAGE and ALTO files, also in folders inside
    a folder of images            lines without transcripts, also in folders inside
    ============================  =====================================================================

    Parameters
    ----------
    path
        Local path or URL.
    keep_untranscribed
        Keep lines without text where others have one, as pretraining can; else they are left out and counted. Where
        no line has one, all are kept.

    Returns
    -------
    LineList
        The lines, and what was left out for which reason.

    Raises
    ------
    SourceNotFoundError
        When there is no such file or folder.
    SourceError
        When it is in none of these forms, damaged, or no line is left.

    Examples
    --------
    >>> print(read_lines("handwriting/pages_pagexml"))  # doctest: +SKIP
    handwriting/pages_pagexml: 155 lines
    """
    location = Location.of(path)
    drops = Drops()
    lines = _sized(_read(location, drops, keep_untranscribed=keep_untranscribed), drops)
    if not keep_untranscribed and any(line.text.strip() for line in lines):
        for line in lines:
            if not line.text.strip():
                drops.add(EMPTY_TRANSCRIPT, line.name)
        lines = tuple(line for line in lines if line.text.strip())
    return listed(str(path), lines, drops)


def _read(location: Location, drops: Drops, *, keep_untranscribed: bool) -> tuple[Line, ...]:
    name = location.name.lower()
    if name.endswith(".tsv"):
        return read_table(location, drops)
    if name.endswith(".txt"):
        return read_iam(location, drops)
    if name.endswith(".xml"):
        return read_page(location, drops)
    if is_image(name):
        return read_images(location.parent, [location.name])
    if location.local and Path(location.path).is_file():
        raise SourceError(
            f"{location} should be a TSV, an IAM list (.txt), PAGE or ALTO XML, an image, or a folder of these."
        )
    files = []
    for file in files_below(location, "images of lines, or PAGE or ALTO XML"):
        if in_utf8(file):
            files.append(file)
        else:
            drops.add(NAME_NOT_UTF8, file.encode("utf-8", "replace").decode())
    lists = [file for file in files if _LIST.fullmatch(file)]
    if len(lists) > 1:
        raise SourceError(f"{location} holds several lists of lines, {', '.join(lists)}; name the one that you mean.")
    if lists:
        return _read(location / lists[0], drops, keep_untranscribed=keep_untranscribed)
    if any(file.endswith(TRANSCRIPT) for file in files):
        _count_foreign(files, drops)
        return read_pairs(location, files, drops, keep_images=keep_untranscribed)
    lines = read_pages(location, [file for file in files if file.lower().endswith(".xml")], drops)
    pages = lines or drops.reasons - {NOT_A_PAGE, NAME_NOT_UTF8}  # else its images would be whole pages
    if pages:
        return lines
    _count_foreign(files, drops)
    return read_images(location, files)


def _count_foreign(files: Sequence[str], drops: Drops) -> None:
    for file in filter(is_foreign, files):
        drops.add(FOREIGN_IMAGE, file)


def _sized(lines: tuple[Line, ...], drops: Drops) -> tuple[Line, ...]:
    """Read the headers of images whose size is not known; leave out and count those that cannot be read."""

    def sized(line: Line) -> Line | tuple[str, str]:
        if line.size is not None:
            return line
        try:
            return replace(line, size=open_upright(line.location).shape)
        except SourceNotFoundError:
            return MISSING_IMAGE, ""
        except SourceError as error:
            return UNREADABLE_IMAGE, str(error)

    if all(line.size is not None for line in lines):
        return lines
    kept = []
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="headers") as pool:
        for line, found in zip(lines, pool.map(sized, lines), strict=True):
            if isinstance(found, tuple):
                drops.add(found[0], line.name, found[1])
            else:
                kept.append(found)
    return tuple(kept)
