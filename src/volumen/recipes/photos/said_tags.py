"""Said tags: what a tagger says of photographs, as a table that spreadsheets open and comparisons read again."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

import numpy as np

from volumen.errors import SourceError
from volumen.sources.photos.photo_table import BETWEEN_TAGS
from volumen.whole_files import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_COLUMNS = ("photo", "labels", "said")


@dataclass(frozen=True, kw_only=True, eq=False)
class SaidTags:
    """What a tagger says.

    Parameters
    ----------
    names
        Of the photographs.
    tags
        Those that it knows.
    probabilities, truth, said
        (photographs, tags): float64 in [0, 1]; bool, what they have; bool, what it says.
    """

    names: tuple[str, ...]
    tags: tuple[str, ...]
    probabilities: NDArray[np.float64]
    truth: NDArray[np.bool_]
    said: NDArray[np.bool_]


def write_said(
    path: Path,
    names: Sequence[str],
    tags: Sequence[str],
    probabilities: NDArray[np.float64],
    truth: NDArray[np.bool_],
    *,
    threshold: float,
) -> None:
    """Write a CSV, a photograph a row: its name, its tags, those said of it, and the probability of every tag.

    Raises
    ------
    OutOfSpaceError
        The disk is full.
    """
    out = StringIO(newline="")
    table = csv.writer(out, lineterminator="\n")
    table.writerow([*_COLUMNS, *tags])
    for name, row, had in zip(names, probabilities, truth, strict=True):
        lists = (BETWEEN_TAGS.join(np.asarray(tags)[chosen]) for chosen in (had, row >= threshold))
        table.writerow([name, *lists, *(f"{value:.6f}" for value in row)])
    write_whole(path, out.getvalue())


def read_said(path: Path) -> SaidTags:
    """Read what `write_said` wrote.

    Raises
    ------
    SourceError
        It is no such table.
    """
    with open(path, encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    tags = tuple(header[len(_COLUMNS) :])
    if tuple(header[: len(_COLUMNS)]) != _COLUMNS or any(len(row) != len(header) for row in rows):
        raise SourceError(f"{path} is no table of what a tagger said. Train it again.")
    truth, said = (
        np.array([[tag in row[column].split(BETWEEN_TAGS) for tag in tags] for row in rows], dtype=np.bool_)
        for column in (1, 2)
    )
    values = np.array([[float(value) for value in row[len(_COLUMNS) :]] for row in rows])
    return SaidTags(names=tuple(row[0] for row in rows), tags=tags, probabilities=values, truth=truth, said=said)
