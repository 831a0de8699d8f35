"""Tables of a comparison for ink, as CSV for programs and as Markdown for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from volumen.recipes.comparing.ink.scoring import FINAL, SCORES
from volumen.recipes.comparing.rows import (
    Row,
    best_of,
    by_line,
    csv_header,
    csv_line,
    markdown,
    number_of,
    number_text,
    row_json,
    share_name,
    shares_of,
)
from volumen.recipes.reporting.tables import SCORE_NAMES, csv_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from volumen.recipes.comparing.ink.cells import Cell

NAMES = {**SCORE_NAMES, "loss": "Validation loss"}
_READING = (
    "Means over the seeds with 95 % intervals over seeds; the best of a column is bold. For the validation loss, lower "
    "is better. Differences are taken seed by seed, the one that is claimed to be better minus the other."
)
EPOCHS = {"best": "best epoch", "final": "last epoch"}


def scores_at(epoch: str) -> tuple[str, ...]:
    """Return what is scored of the best or of the final epoch."""
    return SCORES if epoch == "best" else FINAL


def lines_of(rows: Sequence[Row[Cell]], share: float, epoch: str) -> list[tuple[str, list[Row[Cell]]]]:
    """Gather the rows of a table: a line for each cell or claim, with its scores in order."""
    return by_line(row for row in rows if row.cell.share == share and row.epoch == epoch)


def table_csv(rows: Sequence[Row[Cell]]) -> str:
    """Write a line for each share, cell or difference, epoch and score."""
    return csv_text(csv_header("blocks"), map(csv_line, rows))


def table_markdown(
    scores: Sequence[Row[Cell]], differences: Sequence[Row[Cell]], title: str, lead: str, remarks: Sequence[str]
) -> str:
    """Write, share by share, the scores and the differences as Markdown tables, and what to know about them."""
    parts = [f"# {title}\n", f"{lead}\n", f"{_READING}\n"]
    for share in shares_of(scores):
        parts.append(f"## {share_name(share)}\n")
        for epoch, words in EPOCHS.items():
            lines = lines_of(scores, share, epoch)
            best = best_of(lines)
            cells = [
                [name, *(number_text(number_of(row, best=best.get(row.score) == name)) for row in rows)]
                for name, rows in lines
            ]
            names = [NAMES[score] for score in scores_at(epoch)]
            parts.append(markdown([words, *names], cells))
            claims = lines_of(differences, share, epoch)
            cells = [
                [name, *(f"{number_text(number_of(row))}, {row.verdict}" for row in rows)] for name, rows in claims
            ]
            parts.append(markdown([f"difference, {words}", *names], cells))
    parts += ["## Remarks\n", "".join(f"- {remark}\n" for remark in remarks)]
    return "\n".join(parts)


def rows_json(rows: Sequence[Row[Cell]]) -> list[dict[str, Any]]:
    """Return plain values, for ``comparison.json`` and the last event."""
    return [row_json(row, drawn="blocks") for row in rows]


def curves_csv(lines: Iterable[tuple[float, str, int, str, int, float]]) -> str:
    """Write a line for each share, cell, seed, quantity and epoch."""
    return csv_text(("share", "cell", "seed", "quantity", "epoch", "value"), lines)
