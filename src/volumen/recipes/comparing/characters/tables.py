"""Tables of a comparison for characters: overlaps and differences, what training costs; as CSV and as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from volumen.evaluation.photo_overlap import NAMES, SCORES
from volumen.recipes.comparing.rows import (
    Mark,
    best_of,
    by_line,
    csv_header,
    csv_line,
    mark_of,
    markdown,
    number_text,
    row_json,
)
from volumen.recipes.reporting.tables import csv_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from volumen.recipes.comparing.characters.cells import CharacterCell
    from volumen.recipes.comparing.rows import Row

HEADER = tuple(NAMES[score] for score in SCORES)

_READING = (
    "Means over the seeds with 95 % intervals over seeds, of the best weights of each run; the best is bold. "
    "Differences are taken seed by seed; “holds” is said where both whole intervals are above zero."
)


def score_lines(rows: Sequence[Row[CharacterCell]]) -> list[tuple[str, list[Mark]]]:
    """Lay out rows as lines of a table: a cell or a difference each, with its six overlaps, the best scores marked."""
    lines = by_line(rows)
    best = {} if any(row.than for row in rows) else best_of(lines)
    return [(name, [mark_of(row, best=best.get(row.score) == name) for row in line]) for name, line in lines]


def table_csv(rows: Sequence[Row[CharacterCell]]) -> str:
    """Write a line for each cell or difference, and overlap."""
    return csv_text(
        ("model", "loss", *csv_header("photos")), [(row.cell.model, row.cell.loss, *csv_line(row)) for row in rows]
    )


def table_markdown(
    rows: tuple[Sequence[Row[CharacterCell]], Sequence[Row[CharacterCell]]],
    costs: Sequence[Sequence[str]],
    title: str,
    lead: str,
    remarks: Sequence[str],
) -> str:
    """Write scores, differences, costs and what to know about them."""
    parts = [f"# {title}\n", f"{lead}\n", f"{_READING}\n"]
    for name, some in zip(("scores", "differences"), rows, strict=True):
        if some:
            parts.append(markdown([name, *HEADER], [[line, *map(_text, marks)] for line, marks in score_lines(some)]))
    header, *lines = costs
    parts += ["## Costs\n", markdown(header, lines)]
    parts += ["## Remarks\n", "".join(f"- {remark}\n" for remark in remarks)]
    return "\n".join(parts)


def rows_json(rows: Sequence[Row[CharacterCell]]) -> list[dict[str, Any]]:
    """Return plain values, for ``comparison.json`` and the last event."""
    return [{"model": row.cell.model, "loss": row.cell.loss, **row_json(row, drawn="photos")} for row in rows]


def _text(mark: Mark) -> str:
    shown = number_text(mark.cell)
    return f"{shown}, {mark.verdict}" if mark.verdict else shown
