"""Row: a score of a cell, or the difference of two cells, with its intervals; how rows are written in tables."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from volumen.evaluation import text
from volumen.evaluation.paired import drawn_interval, mean_interval, paired_difference, verdict_of
from volumen.recipes.reporting.tables import Cell as Number

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from volumen.evaluation.paired import Estimate, Verdict

    Draws = list[NDArray[np.float64]]  # of each seed, (draws,); draw k is of the same parts of the data throughout

LOWER_IS_BETTER = ("loss", *text.LOWER_IS_BETTER)
_NOWHERE = (float("nan"), float("nan"))


class AnyCell(Protocol):
    """A cell of a comparison: one way to train."""

    @property
    def share(self) -> float:
        """Share of the labels that it learns from, in (0, 1]."""
        ...

    @property
    def name(self) -> str:
        """What to call it beside others of its share."""
        ...

    @property
    def words(self) -> str:
        """What to call it while it is trained."""
        ...

    def folder(self, out: str, seed: int) -> Path:
        """Where its run with a seed is, in a comparison's folder."""
        ...


C = TypeVar("C", bound=AnyCell)


@dataclass(frozen=True, kw_only=True)
class Row(Generic[C]):
    """A score of a cell, or the difference of two cells' scores.

    Parameters
    ----------
    cell
        The cell, or the one that is claimed to be better.
    than
        The one that it is claimed to be better than; None where the row is no difference.
    score
        Its name.
    epoch
        ``best`` or ``final``: of which weights of a run.
    estimate
        Mean over the seeds, and the interval of it: what another seed may change.
    drawn
        The 95 % interval over the bootstrap's draws of what is scored, blocks of pixels or groups of lines: what
        another place or hand may change, these runs given. NaN where the score is not made of such.
    values
        By seed.
    """

    cell: C
    than: C | None
    score: str
    estimate: Estimate
    drawn: tuple[float, float]
    values: tuple[float, ...]
    epoch: str = "best"

    @property
    def verdict(self) -> Verdict:
        """Whether the claim holds: both intervals must say so, that over draws only where there is one."""
        lower = self.score in LOWER_IS_BETTER
        by_seeds = self.estimate.verdict(lower_is_better=lower)
        known = all(map(math.isfinite, self.drawn))
        return by_seeds if not known or by_seeds == verdict_of(*self.drawn, lower_is_better=lower) else "undecided"

    @property
    def line(self) -> str:
        """Name of the cell, or of the difference of two."""
        return self.cell.name if self.than is None else f"{self.cell.name} − {self.than.name}"


def mean_row(cell: C, score: str, values: Sequence[float], drawn: Draws | None, *, epoch: str = "best") -> Row[C]:
    """Return a cell's score over its seeds: ``values`` by seed, and in every draw of each seed's bootstrap."""
    return Row(
        cell=cell,
        than=None,
        score=score,
        epoch=epoch,
        estimate=mean_interval(values),
        drawn=_NOWHERE if drawn is None else drawn_interval(drawn),
        values=tuple(values),
    )


def difference_row(
    cells: tuple[C, C],
    score: str,
    values: tuple[Sequence[float], Sequence[float]],
    drawn: tuple[Draws, Draws] | None,
    *,
    epoch: str = "best",
) -> Row[C]:
    """Return the difference of two cells' scores, seed by seed and draw by draw: the claimed better one first."""
    return Row(
        cell=cells[0],
        than=cells[1],
        score=score,
        epoch=epoch,
        estimate=paired_difference(*values),
        drawn=_NOWHERE if drawn is None else drawn_interval(*drawn),
        values=tuple(one - other for one, other in zip(*values, strict=True)),
    )


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A field of a table: the mean with its interval over seeds, the one over draws, and the verdict of a claim."""

    cell: Number
    drawn: str
    verdict: str


def shares_of(rows: Sequence[Row[C]]) -> tuple[float, ...]:
    """Return the shares of the labels, in the rows' order."""
    return tuple(dict.fromkeys(row.cell.share for row in rows))


def by_line(rows: Iterable[Row[C]]) -> list[tuple[str, list[Row[C]]]]:
    """Gather rows by the cell or the difference that they are of, each with its scores in order."""
    lines: dict[str, list[Row[C]]] = {}
    for row in rows:
        lines.setdefault(row.line, []).append(row)
    return list(lines.items())


def best_of(lines: Iterable[tuple[str, list[Row[C]]]]) -> dict[str, str]:
    """Return for each score which line has the best mean, where several have one and they differ."""
    by_score: dict[str, dict[str, float]] = {}
    for name, rows in lines:
        for row in rows:
            if math.isfinite(row.estimate.mean):
                by_score.setdefault(row.score, {})[name] = row.estimate.mean
    return {
        score: (min if score in LOWER_IS_BETTER else max)(means, key=lambda name: means[name])
        for score, means in by_score.items()
        if len({*means.values()}) > 1
    }


def number_of(row: Row[C], *, best: bool = False) -> Number:
    """Write a mean and its interval over seeds, to three digits; a difference with its sign."""
    sign = "+" if row.than is not None else ""
    interval = _interval(row.estimate.low, row.estimate.high)
    return Number(text=_text(row.estimate.mean, sign), interval=interval, best=best)


def mark_of(row: Row[C], *, best: bool = False) -> Mark:
    """Write a row as a field of a page's table."""
    return Mark(
        cell=number_of(row, best=best), drawn=_interval(*row.drawn), verdict=row.verdict if row.than is not None else ""
    )


def share_name(share: float) -> str:
    """Say a share in words."""
    return "All labels" if share == 1 else f"{100 * share:g} % of the labels"


def row_json(row: Row[C], *, drawn: str) -> dict[str, Any]:
    """Return plain values of a row, the interval over draws under the name of what is drawn."""
    return {
        "share": row.cell.share,
        "cell": row.cell.name,
        **({"minus": row.than.name, "verdict": row.verdict} if row.than else {}),
        "epoch": row.epoch,
        "score": row.score,
        "mean": row.estimate.mean,
        "seeds": [row.estimate.low, row.estimate.high],
        drawn: list(row.drawn),
        "values": list(row.values),
    }


def csv_header(drawn: str) -> tuple[str, ...]:
    """Name the columns of `csv_line`, those of the interval over draws by what is drawn."""
    of = ("share", "cell", "minus", "epoch", "score")
    ends = ("low_seeds", "high_seeds", f"low_{drawn}", f"high_{drawn}")
    return (*of, "mean", *ends, "seeds", "verdict", "values")


def csv_line(row: Row[C]) -> tuple[Any, ...]:
    """Return the fields of a row in CSV; what is undefined is empty."""
    return (
        f"{row.cell.share:g}",
        row.cell.name,
        row.than.name if row.than else "",
        row.epoch,
        row.score,
        *map(_exact, (row.estimate.mean, row.estimate.low, row.estimate.high, *row.drawn)),
        row.estimate.count,
        row.verdict if row.than else "",
        " ".join(map(_exact, row.values)),
    )


def number_text(number: Number) -> str:
    """Write a number with its interval in Markdown, the best one bold."""
    shown = f"**{number.text}**" if number.best else number.text
    return f"{shown} ({number.interval})" if number.interval else shown


def markdown(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Write a table in Markdown, its first column words and the others numbers."""
    rows = [header, ["---"] + ["---:"] * (len(header) - 1), *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _text(value: float, sign: str = "") -> str:
    return f"{value:{sign}.3f}".replace("-", "−") if math.isfinite(value) else "–"


def _interval(low: float, high: float) -> str:
    return f"{_text(low)} … {_text(high)}" if math.isfinite(low) and math.isfinite(high) else ""


def _exact(value: float) -> str:
    return f"{value:.6g}" if math.isfinite(value) else ""
