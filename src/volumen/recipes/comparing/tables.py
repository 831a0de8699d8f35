"""Tables of a comparison, as CSV for programs and as Markdown for people."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from volumen.recipes.comparing.scoring import FINAL, LOWER_IS_BETTER, SCORES
from volumen.recipes.reporting.tables import SCORE_NAMES, Cell, csv_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from volumen.recipes.comparing.results import Row

NAMES = {**SCORE_NAMES, "loss": "Validation loss"}
_READING = (
    "Means over the seeds with 95 % intervals over seeds; the best of a column is bold. For the validation loss, lower "
    "is better. Differences are taken seed by seed, the one that is claimed to be better minus the other."
)
EPOCHS = {"best": "best epoch", "final": "last epoch"}


def shares_of(rows: Sequence[Row]) -> tuple[float, ...]:
    """Return the shares of the labels, in the rows' order."""
    return tuple(dict.fromkeys(row.cell.share for row in rows))


def scores_at(epoch: str) -> tuple[str, ...]:
    """Return what is scored of the best or of the final epoch."""
    return SCORES if epoch == "best" else FINAL


def lines_of(rows: Sequence[Row], share: float, epoch: str) -> list[tuple[str, list[Row]]]:
    """Gather the rows of a table: a line for each cell or claim, with its scores in order."""
    lines: dict[str, list[Row]] = {}
    for row in rows:
        if row.cell.share == share and row.epoch == epoch:
            lines.setdefault(line_name(row), []).append(row)
    return list(lines.items())


def line_name(row: Row) -> str:
    """Name a cell, or a difference of two."""
    return row.cell.name if row.than is None else f"{row.cell.name} − {row.than.name}"


def best_of(lines: Iterable[tuple[str, list[Row]]]) -> dict[str, str]:
    """Return for each score which line has the best mean, where several have one."""
    by_score: dict[str, dict[str, float]] = {}
    for name, rows in lines:
        for row in rows:
            if math.isfinite(row.estimate.mean):
                by_score.setdefault(row.score, {})[name] = row.estimate.mean
    return {
        score: (min if score in LOWER_IS_BETTER else max)(means, key=lambda name: means[name])
        for score, means in by_score.items()
        if len(means) > 1
    }


def cell_of(row: Row, *, best: bool = False) -> Cell:
    """Write a mean and its interval over seeds, to three digits; a difference with its sign."""
    sign = "+" if row.than is not None else ""
    return Cell(text=_text(row.estimate.mean, sign), interval=_interval(row.estimate.low, row.estimate.high), best=best)


def blocks_of(row: Row) -> str:
    """Write the interval over blocks."""
    return _interval(*row.blocks)


def table_csv(rows: Sequence[Row]) -> str:
    """Write a line for each share, cell or difference, epoch and score."""
    of = ("share", "cell", "minus", "epoch", "score")
    return csv_text(
        (*of, "mean", "low_seeds", "high_seeds", "low_blocks", "high_blocks", "seeds", "verdict", "values"),
        [
            (
                f"{row.cell.share:g}",
                row.cell.name,
                row.than.name if row.than else "",
                row.epoch,
                row.score,
                *map(_exact, (row.estimate.mean, row.estimate.low, row.estimate.high, *row.blocks)),
                row.estimate.count,
                row.verdict if row.than else "",
                " ".join(map(_exact, row.values)),
            )
            for row in rows
        ],
    )


def table_markdown(
    scores: Sequence[Row], differences: Sequence[Row], title: str, lead: str, remarks: Sequence[str]
) -> str:
    """Write, share by share, the scores and the differences as Markdown tables, and what to know about them."""
    parts = [f"# {title}\n", f"{lead}\n", f"{_READING}\n"]
    for share in shares_of(scores):
        parts.append(f"## {share_name(share)}\n")
        for epoch, words in EPOCHS.items():
            lines = lines_of(scores, share, epoch)
            best = best_of(lines)
            cells = [
                [name, *(_score_text(cell_of(row, best=best.get(row.score) == name)) for row in rows)]
                for name, rows in lines
            ]
            names = [NAMES[score] for score in scores_at(epoch)]
            parts.append(_markdown([words, *names], cells))
            claims = lines_of(differences, share, epoch)
            cells = [[name, *(f"{_score_text(cell_of(row))}, {row.verdict}" for row in rows)] for name, rows in claims]
            parts.append(_markdown([f"difference, {words}", *names], cells))
    parts += ["## Remarks\n", "".join(f"- {remark}\n" for remark in remarks)]
    return "\n".join(parts)


def rows_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return plain values, for ``comparison.json`` and the last event."""
    return [
        {
            "share": row.cell.share,
            "cell": row.cell.name,
            **({"minus": row.than.name, "verdict": row.verdict} if row.than else {}),
            "epoch": row.epoch,
            "score": row.score,
            "mean": row.estimate.mean,
            "seeds": [row.estimate.low, row.estimate.high],
            "blocks": list(row.blocks),
            "values": list(row.values),
        }
        for row in rows
    ]


def share_name(share: float) -> str:
    """Say a share in words."""
    return "All labels" if share == 1 else f"{100 * share:g} % of the labels"


def curves_csv(lines: Iterable[tuple[float, str, int, str, int, float]]) -> str:
    """Write a line for each share, cell, seed, quantity and epoch."""
    return csv_text(("share", "cell", "seed", "quantity", "epoch", "value"), lines)


def _score_text(cell: Cell) -> str:
    number = f"**{cell.text}**" if cell.best else cell.text
    return f"{number} ({cell.interval})" if cell.interval else number


def _text(value: float, sign: str = "") -> str:
    return f"{value:{sign}.3f}".replace("-", "−") if math.isfinite(value) else "–"


def _interval(low: float, high: float) -> str:
    return f"{_text(low)} … {_text(high)}" if math.isfinite(low) and math.isfinite(high) else ""


def _exact(value: float) -> str:
    return f"{value:.6g}" if math.isfinite(value) else ""


def _markdown(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [header, ["---"] + ["---:"] * (len(header) - 1), *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
