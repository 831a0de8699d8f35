"""Page of a comparison for characters: tables, curves and pictures in one HTML file, figures beside it."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from volumen.recipes.comparing.characters import story
from volumen.recipes.comparing.characters.costs import cost_rows
from volumen.recipes.comparing.characters.drawings import course_plots
from volumen.recipes.comparing.characters.examples import example_views
from volumen.recipes.comparing.characters.tables import HEADER, score_lines, table_markdown
from volumen.recipes.comparing.curves import curve_lines
from volumen.recipes.comparing.provenance import provenance
from volumen.recipes.comparing.run_rows import run_rows
from volumen.recipes.reporting.page import fill, slug
from volumen.recipes.reporting.tables import csv_text, option_rows
from volumen.settings.compare_characters import CompareCharacters
from volumen.whole_files import write_all

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from volumen.crops.photo_dataset import PhotoDataset
    from volumen.evaluation.cost import Cost
    from volumen.recipes.comparing.characters.cells import CharacterCell
    from volumen.recipes.comparing.characters.scoring import Outcome
    from volumen.recipes.comparing.record import Record
    from volumen.recipes.comparing.rows import Row

_RUNS = {"cell": lambda cell: cell.name}
_CURVES = ("model", "loss", "seed", "quantity", "epoch", "value")


def write_page(
    chosen: CompareCharacters,
    record: Record,
    outcome: Outcome,
    rows: tuple[Sequence[Row[CharacterCell]], Sequence[Row[CharacterCell]]],
    costs: Mapping[str, Cost],
    held_out: PhotoDataset,
) -> None:
    """Write ``report.html``, ``table.md``, ``curves.csv`` and the figures.

    Parameters
    ----------
    rows
        Scores, and differences.
    held_out
        The photographs that pictures are of.

    Raises
    ------
    OutOfSpaceError
        The disk is full.
    """
    title, lead = story.title(chosen), story.lead(chosen, record)
    notes = story.remarks(chosen, record, outcome)
    plots, examples = course_plots(outcome), example_views(outcome, chosen, held_out)
    costly = cost_rows(costs, outcome, chosen.size)
    page = fill(
        "volumen.recipes.comparing.characters",
        "characters.html.j2",
        title=title,
        lead=lead,
        notes=notes,
        header=HEADER,
        scores=score_lines(rows[0]),
        differences=score_lines(rows[1]),
        batch=chosen.batch,
        costs=costly,
        plots=plots,
        examples=examples,
        seed=chosen.seed,
        runs=run_rows(outcome, chosen.all_seeds, columns=_RUNS),
        settings=option_rows(CompareCharacters, record.content["settings"]),
        provenance=provenance(record.content, source="Photographs"),
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC by volumen {version('volumen')}",
    )
    figures = {f"figures/{slug(plot.name)}.png": plot.light for plot in plots}
    for view in examples:
        for panel in view.panels:
            words = panel.title.partition(", IoU")[0].partition(":")[0]
            figures[f"figures/{slug(view.title, words)}.png"] = panel.image
    texts = {
        "table.md": table_markdown(rows, costly, title, lead, notes),
        "curves.csv": csv_text(_CURVES, curve_lines(outcome, chosen.all_seeds, lambda cell: (cell.model, cell.loss))),
    }
    write_all(Path(chosen.out), {**texts, **figures, "report.html": page})
