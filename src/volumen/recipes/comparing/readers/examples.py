"""Examples of a comparison: lines that all readers read right, that they read differently, and that none reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from volumen.evaluation.text import line_edits
from volumen.recipes.reporting.line_runs import picture

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from volumen.recipes.comparing.readers.cells import ReaderCell
    from volumen.recipes.comparing.readers.scoring import Outcome
    from volumen.recipes.reading.line_corpus import LineCorpus


@dataclass(frozen=True, kw_only=True)
class Example:
    """A test line: its picture as PNG, what is written there, and what each cell's reader made of it."""

    name: str
    text: str
    image: bytes
    readings: tuple[tuple[str, str, int], ...]
    """Name of the cell, what it read, and by how many edits that is wrong."""


@dataclass(frozen=True, kw_only=True)
class ExampleView:
    """Examples of one kind, read by the cells of one decoder at the largest share, with the first seed."""

    decoder: str
    kind: str
    examples: tuple[Example, ...]


def example_views(outcome: Outcome, corpus: LineCorpus, *, count: int) -> list[ExampleView]:
    """Choose examples of each kind for every decoder; images that cannot be read are passed over."""
    share = max(cell.share for cell in outcome)
    views = []
    for decoder in dict.fromkeys(cell.decoder for cell in outcome):
        cells = [cell for cell in outcome if (cell.decoder, cell.share) == (decoder, share)]
        edits = np.array(
            [
                line_edits([line.text for line in lines], [line.read for line in lines])
                for cell in cells
                for lines in [outcome[cell][0].lines]
            ]
        )
        trained = np.array([not cell.frozen for cell in cells])
        texts = [line.text for line in outcome[cells[0]][0].lines]
        judged = edits[trained] if trained.any() else edits  # frozen random weights read next to nothing
        for kind, order in choose(judged, texts, count=count).items():
            made = tuple(_examples(order, cells, edits, outcome, corpus))
            if made:
                views.append(ExampleView(decoder=decoder, kind=kind, examples=made))
    return views


def choose(
    edits: np.ndarray[tuple[int, int], np.dtype[np.int64]], texts: Sequence[str], *, count: int
) -> dict[str, list[int]]:
    """Choose lines of each kind by the edits of their readings, (cells, lines); each line and each text at most once.

    Returns
    -------
    dict
        Indices of lines, at most ``count`` a kind: ``right``, which all cells read; ``disputed``, which some read and
        others do not, those most evenly parted first; ``wrong``, which none reads, those with the most edits a
        character first.

    Examples
    --------
    >>> choose(np.array([[0, 0, 5, 1], [0, 2, 3, 1]]), ["the", "fern", "index", "Kew"], count=1)
    {'right': [0], 'disputed': [1], 'wrong': [2]}
    """
    cells, right = len(edits), (edits == 0).sum(axis=0)
    rates = edits.min(axis=0) / np.maximum([len(text) for text in texts], 1)
    read = [int(line) for line in np.flatnonzero(right == cells)]
    disputed = [int(line) for line in np.argsort(abs(2 * right - cells), kind="stable") if 0 < right[line] < cells]
    wrong = [int(line) for line in np.argsort(-rates, kind="stable") if right[line] == 0]
    return {
        kind: _of_texts(found, texts)[:count]
        for kind, found in (("right", read), ("disputed", disputed), ("wrong", wrong))
    }


def _of_texts(lines: Sequence[int], texts: Sequence[str]) -> list[int]:
    """Return the first line of each text."""
    first: dict[str, int] = {}
    for line in lines:
        first.setdefault(texts[line], line)
    return list(first.values())


def _examples(
    order: Sequence[int],
    cells: Sequence[ReaderCell],
    edits: np.ndarray[tuple[int, int], np.dtype[np.int64]],
    outcome: Outcome,
    corpus: LineCorpus,
) -> Iterator[Example]:
    known = {line.name: line for line in corpus.test}
    for index in order:
        read = outcome[cells[0]][0].lines[index]
        image = picture(known.get(read.name), corpus.form)
        if image is None:
            continue
        yield Example(
            name=read.name,
            text=read.text,
            image=image,
            readings=tuple(
                (cell.name, outcome[cell][0].lines[index].read, int(edits[number, index]))
                for number, cell in enumerate(cells)
            ),
        )
