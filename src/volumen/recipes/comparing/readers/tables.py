"""Tables of a comparison of readers: one for each decoder and way to train; as CSV and as Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from volumen.recipes.comparing.readers.scoring import SCORES
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
    share_name,
    shares_of,
)
from volumen.recipes.reporting.line_runs import NAMES
from volumen.recipes.reporting.tables import csv_text
from volumen.settings.comparing import RANDOM

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from volumen.recipes.comparing.readers.cells import ReaderCell
    from volumen.recipes.comparing.readers.costs import ReadingCost
    from volumen.recipes.comparing.rows import Row

_READING = (
    "Means over the seeds with 95 % intervals over seeds; the best at each share is bold. For error rates (CER, WER) "
    "lower is better. CER is the edits of all test lines over all their characters; its mean of lines weighs short "
    "lines as much as long ones. Differences are taken seed by seed."
)
_COST_HEADER = (
    "decoder",
    "parameters",
    "GMAC an image",
    "GFLOP an image",
    "ms an image",
    "peak MiB an image",
    "measured",
)
HEADER = tuple(NAMES[score] for score in SCORES)


@dataclass(frozen=True, kw_only=True)
class DecoderTable:
    """The scores of one decoder in one mode, and their differences; a line for each share and cell or pair of cells."""

    decoder: str
    mode: str
    scores: Sequence[tuple[str, Sequence[Mark]]]
    differences: Sequence[tuple[str, Sequence[Mark]]]


def decoder_tables(scores: Sequence[Row[ReaderCell]], differences: Sequence[Row[ReaderCell]]) -> list[DecoderTable]:
    """Lay out all rows."""
    kinds = dict.fromkeys((row.cell.decoder, row.cell.mode) for row in scores)
    return [
        DecoderTable(decoder=decoder, mode=mode, scores=_lines(scores, kind), differences=_lines(differences, kind))
        for kind in kinds
        for decoder, mode in [kind]
    ]


def verdict_table(differences: Sequence[Row[ReaderCell]]) -> tuple[list[str], list[tuple[str, list[Mark]]]]:
    """Return what pretraining does to the CER: header, and a line for each cell with a mark by decoder and share."""
    rows = [row for row in differences if row.score == "cer" and row.than is not None and row.than.encoder == RANDOM]
    columns = dict.fromkeys((row.cell.decoder, row.cell.share) for row in rows)
    header = [f"{decoder}, {share_name(share).lower()}" for decoder, share in columns]
    return header, [(name, [mark_of(row) for row in line]) for name, line in by_line(rows)]


def table_csv(rows: Sequence[Row[ReaderCell]]) -> str:
    """Write a line for each decoder, share, cell or difference, and score."""
    return csv_text(("decoder", *csv_header("groups")), [(row.cell.decoder, *csv_line(row)) for row in rows])


def table_markdown(
    tables: Sequence[DecoderTable],
    costs: Mapping[str, ReadingCost],
    title: str,
    lead: str,
    remarks: Sequence[str],
) -> str:
    """Write the scores and the differences of each decoder and mode, the costs, and what to know about them."""
    parts = [f"# {title}\n", f"{lead}\n", f"{_READING}\n"]
    for table in tables:
        parts.append(f"## {table.decoder}, {table.mode}\n")
        parts.append(markdown(["scores", *HEADER], [[name, *map(_text, marks)] for name, marks in table.scores]))
        if table.differences:
            lines = [[name, *map(_text, marks)] for name, marks in table.differences]
            parts.append(markdown(["differences", *HEADER], lines))
    header, *rows = cost_rows(costs)
    parts += ["## Costs\n", markdown(header, rows)]
    parts += ["## Remarks\n", "".join(f"- {remark}\n" for remark in remarks)]
    return "\n".join(parts)


def rows_json(rows: Sequence[Row[ReaderCell]]) -> list[dict[str, Any]]:
    """Return plain values, for ``comparison.json`` and the last event."""
    return [{"decoder": row.cell.decoder, **row_json(row, drawn="groups")} for row in rows]


def cost_rows(costs: Mapping[str, ReadingCost]) -> list[tuple[str, ...]]:
    """Lay out what reading an image takes with each decoder: header first."""
    return [
        _COST_HEADER,
        *(
            (
                decoder,
                f"{found.cost.parameters:,}",
                f"{found.cost.gmac:.3g}",
                f"{found.cost.gflop:.3g}",
                f"{1e3 * found.cost.seconds:.3g}",
                f"{found.cost.peak_bytes / 2**20:.3g}",
                f"{found.images} of {found.height} × {found.width} px, {found.device}, {found.precision}",
            )
            for decoder, found in costs.items()
        ),
    ]


def _lines(rows: Sequence[Row[ReaderCell]], kind: tuple[str, str]) -> list[tuple[str, list[Mark]]]:
    """Return the lines of a decoder and mode, share by share, the best of each share marked."""
    found = []
    for share in shares_of(rows):
        of_share = by_line(row for row in rows if (row.cell.decoder, row.cell.mode, row.cell.share) == (*kind, share))
        best = {} if any(row.than for _, line in of_share for row in line) else best_of(of_share)
        for name, line in of_share:
            marks = [mark_of(row, best=best.get(row.score) == name) for row in line]
            found.append((f"{100 * share:g} %, {name}", marks))
    return found


def _text(mark: Mark) -> str:
    drawn = f", groups {mark.drawn}" if mark.drawn else ""
    shown = number_text(mark.cell) + drawn
    return f"{shown}, {mark.verdict}" if mark.verdict else shown
