"""Page of a comparison of readers: tables, curves and examples in one self-contained HTML file, figures beside it."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from volumen.recipes.comparing.curves import curve_lines
from volumen.recipes.comparing.provenance import provenance
from volumen.recipes.comparing.readers import story
from volumen.recipes.comparing.readers.drawings import course_plots, share_plots
from volumen.recipes.comparing.readers.examples import example_views
from volumen.recipes.comparing.readers.tables import HEADER, cost_rows, decoder_tables, table_markdown, verdict_table
from volumen.recipes.comparing.rows import share_name
from volumen.recipes.comparing.run_rows import run_rows
from volumen.recipes.reporting.page import fill, slug
from volumen.recipes.reporting.tables import csv_text, option_rows
from volumen.settings.compare_handwriting import CompareHandwriting
from volumen.whole_files import write_all

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from volumen.recipes.comparing.readers.cells import ReaderCell
    from volumen.recipes.comparing.readers.costs import ReadingCost
    from volumen.recipes.comparing.readers.scoring import Outcome
    from volumen.recipes.comparing.record import Record
    from volumen.recipes.comparing.rows import Row
    from volumen.recipes.reading.line_corpus import LineCorpus

_RUNS = {"decoder": lambda cell: cell.decoder, "cell": lambda cell: cell.name, "share": lambda cell: f"{cell.share:g}"}
_CURVES = ("decoder", "share", "cell", "seed", "quantity", "epoch", "value")


def write_page(
    chosen: CompareHandwriting,
    record: Record,
    corpus: LineCorpus,
    outcome: Outcome,
    rows: tuple[Sequence[Row[ReaderCell]], Sequence[Row[ReaderCell]]],
    costs: Mapping[str, ReadingCost],
) -> None:
    """Write ``report.html``, ``table.md``, ``curves.csv`` and the figures.

    Parameters
    ----------
    rows
        Scores, and differences.

    Raises
    ------
    OutOfSpaceError
        The disk is full.
    """
    title, lead = story.title(chosen), story.lead(chosen, record)
    notes = story.remarks(chosen, record, outcome)
    tables = decoder_tables(*rows)
    plots = {"shares": share_plots(rows[0]), "courses": course_plots(outcome)}
    verdicts = verdict_table(rows[1])
    page = fill(
        "volumen.recipes.comparing.readers",
        "handwriting.html.j2",
        title=title,
        lead=lead,
        notes=notes,
        verdicts=verdicts,
        header=HEADER,
        tables=tables,
        costs=cost_rows(costs),
        plots=plots,
        examples=example_views(outcome, corpus, count=chosen.examples),
        share=share_name(max(chosen.share)).lower(),
        full="full" in chosen.training,
        seed=chosen.seed,
        runs=run_rows(outcome, chosen.all_seeds, columns=_RUNS, rounds="rounds"),
        settings=option_rows(CompareHandwriting, record.content["settings"]),
        provenance=provenance(record.content, source="Lines"),
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC by volumen {version('volumen')}",
    )
    figures = {f"figures/{slug(plot.name)}.png": plot.light for kind in plots.values() for plot in kind}
    texts = {
        "table.md": table_markdown(tables, costs, title, lead, notes),
        "curves.csv": csv_text(_CURVES, curve_lines(outcome, chosen.all_seeds, _names)),
    }
    write_all(Path(chosen.out), {**texts, **figures, "report.html": page})


def _names(cell: ReaderCell) -> tuple[str, float, str]:
    return (cell.decoder, cell.share, cell.name)
