"""Page of a comparison: tables, plots and pictures rendered to one self-contained HTML file, figures beside it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from volumen.errors import VolumenError
from volumen.recipes.comparing.curves import curve_lines
from volumen.recipes.comparing.ink import story
from volumen.recipes.comparing.ink.drawings import loss_plots, share_plots, show_segments, view_plots
from volumen.recipes.comparing.ink.tables import (
    EPOCHS,
    NAMES,
    curves_csv,
    lines_of,
    scores_at,
)
from volumen.recipes.comparing.rows import Mark, best_of, mark_of, share_name, shares_of
from volumen.recipes.comparing.run_rows import run_rows
from volumen.recipes.reporting.page import fill, slug
from volumen.recipes.reporting.tables import option_rows
from volumen.settings.compare_ink import CompareInk
from volumen.whole_files import write_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from volumen.recipes.comparing.ink.cells import Cell
    from volumen.recipes.comparing.ink.results import Outcome
    from volumen.recipes.comparing.record import Record
    from volumen.recipes.comparing.rows import Row
    from volumen.recipes.reporting.page import Plot, SegmentView


_RUNS = {"cell": lambda cell: cell.name, "share": lambda cell: f"{cell.share:g}"}


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of scores or of differences: ``claims`` says which, ``final`` whether it is of the last epoch."""

    name: str
    header: Sequence[str]
    lines: Sequence[tuple[str, Sequence[Mark]]]
    claims: bool
    final: bool


@dataclass(frozen=True, kw_only=True)
class ShareView:
    """All tables of one share of the labels."""

    name: str
    tables: Sequence[Table]


def write_page(
    chosen: CompareInk, record: Record, outcome: Outcome, scores: Sequence[Row[Cell]], differences: Sequence[Row[Cell]]
) -> None:
    """Write ``report.html``, ``curves.csv`` and the figures.

    Raises
    ------
    OutOfSpaceError
        The disk is full.
    """
    notes = story.remarks(chosen, record, outcome)
    try:
        segments = show_segments(chosen, outcome)
    except VolumenError as error:
        segments = []
        notes.append(f"The pictures could not be drawn. {error}")
    plots = [*loss_plots(outcome), *share_plots(outcome, scores), *view_plots(outcome)]
    page = fill(
        "volumen.recipes.comparing.ink",
        "comparison.html.j2",
        title=story.title(chosen),
        lead=story.lead(chosen, record),
        order=[row for row in differences if (row.score, row.epoch) == ("loss", "best")],
        mark=mark_of,
        share_name=share_name,
        notes=notes,
        shares=[_share_view(share, scores, differences) for share in shares_of(scores)],
        plots=plots,
        segments=segments,
        runs=run_rows(outcome, chosen.all_seeds, columns=_RUNS),
        settings=option_rows(CompareInk, record.content["settings"]),
        provenance=story.encoders(record),
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC by volumen {version('volumen')}",
    )
    figures = {f"figures/{name}": png for name, png in _figures(plots, segments)}
    curves = {"curves.csv": curves_csv(curve_lines(outcome, chosen.all_seeds, lambda cell: (cell.share, cell.name)))}
    write_all(Path(chosen.out), {**curves, **figures, "report.html": page})


def _share_view(share: float, scores: Sequence[Row[Cell]], differences: Sequence[Row[Cell]]) -> ShareView:
    tables = []
    for epoch, words in EPOCHS.items():
        for rows, claims in ((scores, False), (differences, True)):
            lines = lines_of(rows, share, epoch)
            best = {} if claims else best_of(lines)
            tables.append(
                Table(
                    name=f"{'Differences' if claims else 'Scores'}, {words}",
                    header=[NAMES[score] for score in scores_at(epoch)],
                    lines=[
                        (name, [mark_of(row, best=best.get(row.score) == name) for row in line]) for name, line in lines
                    ],
                    claims=claims,
                    final=epoch == "final",
                )
            )
    return ShareView(name=share_name(share), tables=tables)


def _figures(plots: Sequence[Plot], segments: Sequence[SegmentView]) -> Iterator[tuple[str, bytes]]:
    """Yield every figure with the name of its file."""
    for plot in plots:
        yield f"{slug(plot.name)}.png", plot.light
    for segment in segments:
        for number, place in enumerate(segment.places, start=1):
            for panel in place.panels:
                words = panel.title.partition(":")[0]
                yield f"{slug(segment.name, f'place {number}', place.title, words)}.png", panel.image
