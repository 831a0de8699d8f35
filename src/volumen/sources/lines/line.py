"""Line: an image of a word or line of text, as a segment of one layer; a list of them is read from a TSV."""

from __future__ import annotations

import csv
import posixpath
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from io import StringIO
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np

from volumen.errors import SourceError, SourceNotFoundError
from volumen.sources.arrays.images import eight_bit
from volumen.sources.arrays.recent import Recent
from volumen.sources.arrays.upright import open_upright
from volumen.sources.image_files import distinct
from volumen.sources.left_out import MISSING_IMAGE
from volumen.sources.lines.cut import CutImage
from volumen.sources.location import Location
from volumen.sources.numerals import whole
from volumen.sources.segment import Segment

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from volumen.sources.left_out import Drops
    from volumen.sources.outlines import Outline

Part = Literal["train", "val", "test", ""]

_QUOTED = re.compile(r'"(?:[^"]|"")*""(?:[^"]|"")*"')

DECODED_BYTES = 64 * 2**20  # of images kept decoded, by all lines of a list together


@dataclass(frozen=True, kw_only=True, eq=False)
class LineImage:
    """An image of a line as a lazy ZYX array of one layer of 8-bit grey; nothing is read until it is sliced.

    Parameters
    ----------
    location
        The file; its pixels are turned as its EXIF says.
    shape
        (1, H, W).
    recent
        Images decoded last, which the lines of a list share.
    """

    location: Location
    shape: tuple[int, int, int]
    recent: Recent

    @property
    def dtype(self) -> np.dtype[Any]:
        """8-bit, whatever the file holds, so that it is known without opening it."""
        return np.dtype(np.uint8)

    def __getitem__(self, key: tuple[slice, ...], /) -> NDArray[Any]:
        pixels: NDArray[Any] = self.recent.get(self.location.path, self._decode, lambda decoded: decoded.nbytes)
        return np.array(pixels[None][key])  # a copy: a view would keep the whole image

    def _decode(self) -> NDArray[np.uint8]:
        found = open_upright(self.location)
        pixels = np.ascontiguousarray(found.turned(eight_bit(found.image)))
        if pixels.shape != self.shape[1:]:
            raise SourceError(
                f"{self.location} is {pixels.shape[0]} x {pixels.shape[1]} px (H x W), but its list says "
                f"{self.shape[1]} x {self.shape[2]}. Correct width and height there, or leave them out."
            )
        return pixels


@dataclass(frozen=True, kw_only=True)
class Line:
    """A transcribed word or line.

    Parameters
    ----------
    name
        Identity of its segment, unlike that of any other line of its list.
    location
        The image.
    text
        What is written there; empty where the list does not say.
    split
        ``train``, ``val``, ``test``, or empty where the list does not say.
    writer
        Who wrote it; empty where the list does not say.
    page
        The page or form that it is from; empty where the list does not say.
    size
        (H, W) of the image in pixels, as it is seen, where that is known; else its header is read when the segment is
        first asked for.
    outline
        Corners (x, y) in pixels of the image, where the line is only a part of it; see `CutImage`.
    recent
        Images decoded last, which the lines of a list share.
    """

    name: str
    location: Location
    text: str = ""
    split: Part = ""
    writer: str = ""
    page: str = ""
    size: tuple[int, int] | None = None
    outline: Outline = ()
    recent: Recent = field(repr=False, compare=False)

    @cached_property
    def segment(self) -> Segment:
        """The image as a segment of one layer; its pixels are read when they are asked for."""
        height, width = self.size or open_upright(self.location).shape
        image = LineImage(location=self.location, shape=(1, height, width), recent=self.recent)
        cut = CutImage(page=image, outline=self.outline) if self.outline else image
        return Segment(name=self.name, source=str(self.location), levels=(cut,))


def open_lines(path: str | os.PathLike[str]) -> tuple[Line, ...]:
    """Open a list of text lines: a TSV with one image a row. No image is opened.

    Parameters
    ----------
    path
        TSV in UTF-8, its first row the names of the columns, no field in quotes: ``file`` (an image, grey or in colour,
        from the TSV's own folder on), and any of ``text``, ``writer``, ``page``, ``split``, ``width`` and ``height``
        in px; others are passed over.

    Raises
    ------
    SourceNotFoundError
        When there is no such file, or an image it names is missing.
    SourceError
        When it is no such list, or empty.

    Examples
    --------
    >>> lines = open_lines("handwriting/lines.tsv")  # doctest: +SKIP
    >>> lines[0].text, lines[0].segment.shape  # doctest: +SKIP
    ('Dec 21/95', (1, 64, 133))
    """
    location = Location.of(path)
    rows = _read(location)
    missing = _missing(location, rows)
    if missing:
        named = ", ".join(missing[:3]) + (" …" if len(missing) > 3 else "")
        raise SourceNotFoundError(
            f"{location} lists {len(missing)} images, of {len(rows)}, that are not there: {named}. "
            "Paths start at the folder of the list."
        )
    return _lines(location, rows)


def read_table(location: Location, drops: Drops) -> tuple[Line, ...]:
    """Read a list as `open_lines` does, but leave out and count the images that are missing."""
    rows = _read(location)
    missing = {*_missing(location, rows)}
    for file in sorted(missing):
        drops.add(MISSING_IMAGE, file)
    return _lines(location, [(number, row) for number, row in rows if row["file"] not in missing])


def _lines(location: Location, rows: Sequence[tuple[int, dict[str, str]]]) -> tuple[Line, ...]:
    folder, recent = location.parent, Recent(DECODED_BYTES)
    return tuple(
        Line(
            name=name,
            location=folder / row["file"],
            text=row.get("text", ""),
            split=_split(location, number, row),
            writer=row.get("writer", ""),
            page=row.get("page", ""),
            size=_size(location, number, row),
            recent=recent,
        )
        for name, (number, row) in zip(distinct([row["file"] for _, row in rows]), rows, strict=True)
    )


def _read(location: Location) -> list[tuple[int, dict[str, str]]]:
    """Return the rows of a TSV, each with the number of its line; empty lines are passed over."""
    raw = location.contents()
    try:
        reader = csv.DictReader(StringIO(raw.decode("utf-8-sig"), newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)
        columns = reader.fieldnames or ()
        rows = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{location} should be a table in UTF-8, its columns parted by tabs ({error}).") from error
    if "file" not in columns:
        found = ", ".join(columns) or "nothing"
        raise SourceError(f"{location} needs a column 'file' in its first row, columns parted by tabs; got {found}.")
    for number, row in rows:
        if None in row or None in row.values() or not row["file"]:
            raise SourceError(
                f"Line {number} of {location} should name a file and have {len(columns)} fields ({', '.join(columns)})."
            )
        row["file"] = posixpath.normpath(row["file"])  # else ./a.png and a.png were two lines
        if _QUOTED.fullmatch(row.get("text", "")):
            raise SourceError(
                f"Line {number} of {location} should give its text as it is; got one in quotes, those in it doubled: "
                f"{row['text'][:40]}. Write the table without quoting (in pandas: quoting=csv.QUOTE_NONE)."
            )
    if not rows:
        raise SourceError(f"{location} lists no lines below its first row; expected a file in each.")
    return rows


def _missing(location: Location, rows: Sequence[tuple[int, dict[str, str]]]) -> list[str]:
    """Return the files that are not there; folders are listed once each, no file is opened.

    A file that is there under the same letters, encoded in another way, as disks of macOS do it, is taken in its place.
    """
    twice = [file for file, count in Counter(row["file"] for _, row in rows).items() if count > 1]
    if twice:
        raise SourceError(f"{location} lists {twice[0]} more than once; each image is a line of its own.")
    there: dict[PurePosixPath, dict[str, str] | None] = {}  # folder -> what is in it, or None if unknown
    missing = []
    for _, row in rows:
        path = PurePosixPath(row["file"])
        if path.parent not in there:
            folder = location.parent / str(path.parent) if path.parent.name else location.parent
            names = folder.listing()
            # plain http lists nothing: there a missing file shows when it is read
            known = folder.local or names
            there[path.parent] = _by_letters(names or ()) if known else None
        found = there[path.parent]
        if found is None:
            continue
        if (name := found.get(path.name, found.get(_composed(path.name)))) is None:
            missing.append(row["file"])
        elif name != path.name:
            row["file"] = str(path.with_name(name))
    return missing


def _by_letters(names: Sequence[str]) -> dict[str, str]:
    """Return name, as it is and composed -> name as it is."""
    return {_composed(name): name for name in names} | {name: name for name in names}


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _split(location: Location, number: int, row: Mapping[str, str]) -> Part:
    split = row.get("split", "")
    if split not in get_args(Part):
        raise SourceError(
            f"Line {number} of {location} should say train, val, test or nothing as split; got {split!r}."
        )
    return cast("Part", split)


def _size(location: Location, number: int, row: Mapping[str, str]) -> tuple[int, int] | None:
    said = (row.get("height", ""), row.get("width", ""))
    if not all(said):
        return None
    height, width = map(whole, said)
    if not height or not width:
        raise SourceError(
            f"Line {number} of {location} should give height and width in whole pixels; got {said[0]} and {said[1]}."
        )
    return height, width
