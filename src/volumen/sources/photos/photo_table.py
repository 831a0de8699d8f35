"""Photo tables: a CSV with a photograph a row, its mask and its tags."""

from __future__ import annotations

import csv
from io import StringIO
from typing import TYPE_CHECKING

from volumen.errors import SourceError
from volumen.sources.numerals import whole
from volumen.sources.photos.photo import Listed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from volumen.sources.location import Location

BETWEEN_TAGS = "|"


def read_photo_table(location: Location) -> list[Listed]:
    """Read a CSV in UTF-8, its first row the names of the columns.

    ``image`` is a path from the CSV's folder on; ``mask`` likewise, empty where there is none; ``labels`` are tags,
    parted by ``|``; ``width`` and ``height`` are in px. Other columns are passed over.

    Raises
    ------
    SourceNotFoundError
        When there is no such file.
    SourceError
        When it is no such table.
    """
    raw = location.contents()
    try:
        reader = csv.DictReader(StringIO(raw.decode("utf-8-sig"), newline=""))
        columns = reader.fieldnames or ()
        rows = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{location} should be a table in UTF-8, its columns parted by commas ({error}).") from error
    if "image" not in columns:
        raise SourceError(f"{location} needs a column 'image' in its first row; got {', '.join(columns) or 'nothing'}.")
    for number, row in rows:
        if None in row or None in row.values() or not row["image"]:
            raise SourceError(f"Line {number} of {location} should name an image and have {len(columns)} fields.")
    return [_listed(location.parent, location, number, row) for number, row in rows]


def _listed(folder: Location, table: Location, number: int, row: Mapping[str, str]) -> Listed:
    said = (row.get("height", ""), row.get("width", ""))
    height, width = map(whole, said)
    if any(said) and not (height and width):
        raise SourceError(f"Line {number} of {table} should give height and width in whole pixels; got {said}.")
    mask = row.get("mask", "")
    return Listed(
        file=row["image"],
        location=folder / row["image"],
        size=(height, width) if height and width else None,
        mask=folder / mask if mask else None,
        tags=tuple(tag for tag in row.get("labels", "").split(BETWEEN_TAGS) if tag),
    )
