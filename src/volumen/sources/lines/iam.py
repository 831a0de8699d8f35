"""IAM: the word and line lists of the IAM handwriting database, ``words.txt`` and ``lines.txt``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from volumen.errors import SourceError
from volumen.sources.arrays.images import PICTURES, TIFFS
from volumen.sources.arrays.recent import Recent
from volumen.sources.left_out import MISSING_IMAGE
from volumen.sources.lines.line import DECODED_BYTES, Line, Part

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from volumen.sources.left_out import Drops
    from volumen.sources.location import Location

MARKED_ERR = "marked err in the list"
INCOMPLETE = "row without all its fields"
IN_NO_SPLIT = "in none of the split's files"

_NAME = re.compile(r"([a-z]\d\d)-\d{3}[a-z]?(-\d\d){1,2}")  # a01-000u-00, or a01-000u-00-02 for a word
_TEXT = 8  # field at which the transcript begins, in both lists
_SPLIT_FILES: Mapping[str, Part] = {
    "trainset.txt": "train",
    "validationset1.txt": "val",
    "validationset2.txt": "val",
    "testset.txt": "test",
}


def read_iam(location: Location, drops: Drops) -> tuple[Line, ...]:
    """Read an IAM list of words or lines.

    A row says name, status, grey level, measures and, from the ninth field on, the transcript; in ``lines.txt`` its
    words are parted by ``|``. Images are looked for beside the list and one folder up, as
    ``words/a01/a01-000u/a01-000u-00-02.png``, with and without each of these folders. ``forms.txt`` beside the list
    says the writers, where it is there; ``trainset.txt``, ``validationset1.txt``, ``validationset2.txt`` and
    ``testset.txt`` the split. A line's page is its form.

    Marti and Bunke, "The IAM-database: an English sentence database for offline handwriting recognition", IJDAR 2002.

    Raises
    ------
    SourceNotFoundError
        When there is no such file.
    SourceError
        When it is no such list.
    """
    rows = _rows(location)
    roots = (location.parent, location.parent.parent)
    writers, splits = _writers(roots), _splits(roots)
    tree = _Tree(roots, "lines" if rows[0][0].count("-") == 2 else "words")
    recent = Recent(DECODED_BYTES)
    lines = []
    for fields in rows:
        name = fields[0]
        form = "-".join(name.split("-")[:2])
        split = splits.get("-".join(name.split("-")[:3]), splits.get(form, ""))
        image = None
        reason = _reason(fields)
        if not reason and splits and not split:
            reason = IN_NO_SPLIT
        if not reason:
            image = tree.find(name, form)
        if image is None:
            drops.add(reason or MISSING_IMAGE, name)
            continue
        text = " ".join(fields[_TEXT:]).replace("|", " " if name.count("-") == 2 else "|")
        lines.append(
            Line(
                name=name,
                location=image,
                text=text,
                split=split,
                writer=writers.get(form, ""),
                page=form,
                recent=recent,
            )
        )
    return tuple(lines)


def _rows(location: Location) -> list[list[str]]:
    """Return the fields of each row; a comment begins with #."""
    raw = location.contents()
    rows = list(_fields(raw.decode("utf-8", errors="replace")))
    if not rows or not _NAME.fullmatch(rows[0][0]):
        raise SourceError(
            f"{location} is no list of IAM, whose rows are like 'a01-000u-00-00 ok 154 408 768 27 51 AT A'; "
            f"got {' '.join(rows[0])[:60]!r}. Other lists are read from a TSV with a column 'file'."
            if rows
            else f"{location} lists nothing; expected rows like 'a01-000u-00-00 ok 154 408 768 27 51 AT A'."
        )
    return rows


def _fields(text: str) -> Iterator[list[str]]:
    return (line.split() for line in text.splitlines() if line.strip() and not line.startswith("#"))


def _reason(fields: Sequence[str]) -> str:
    if len(fields) < 2 or not _NAME.fullmatch(fields[0]):
        return INCOMPLETE
    if fields[1] != "ok":
        return MARKED_ERR
    return "" if len(fields) > _TEXT else INCOMPLETE


def _side_file(roots: Sequence[Location], name: str) -> list[list[str]]:
    """Return the fields of each row of a file beside the list or one folder up; none where it is not there."""
    raw = next(filter(None, ((root / name).read() for root in roots)), b"")
    return list(_fields(raw.decode("utf-8", errors="replace")))


def _writers(roots: Sequence[Location]) -> dict[str, str]:
    """Return form -> writer: the first two fields of ``forms.txt``."""
    return {fields[0]: fields[1] for fields in _side_file(roots, "forms.txt") if len(fields) > 1}


def _splits(roots: Sequence[Location]) -> dict[str, Part]:
    """Return line or form -> part."""
    return {fields[0]: part for file, part in _SPLIT_FILES.items() for fields in _side_file(roots, file)}


class _Tree:
    """The image tree; each folder is listed once."""

    def __init__(self, roots: Sequence[Location], kind: str) -> None:
        self._bases = [base for root in roots for base in (root / kind, root)]
        self._stems: dict[str, dict[str, str]] = {}
        self._homes: dict[str, list[tuple[Location, dict[str, str]]]] = {}

    def find(self, name: str, form: str) -> Location | None:
        """Return the image of a word or line, or None where there is none."""
        if form not in self._homes:
            folders = (folder for base in self._bases for folder in (base / form[:3] / form, base / form, base))
            self._homes[form] = [(folder, names) for folder in folders if (names := self._names(folder))]
        return next((folder / names[name] for folder, names in self._homes[form] if name in names), None)

    def _names(self, folder: Location) -> dict[str, str]:
        if folder.path not in self._stems:
            split = (file.rpartition(".") for file in folder.listing() or ())
            self._stems[folder.path] = {
                stem: f"{stem}.{ending}" for stem, _, ending in split if f".{ending.lower()}" in (*PICTURES, *TIFFS)
            }
        return self._stems[folder.path]
