"""Page of a comparison of encoders: tables, plots and what was found in one self-contained HTML file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from volumen.recipes.comparing.apparel import story
from volumen.recipes.comparing.apparel.drawings import course_plots, found_plot
from volumen.recipes.comparing.apparel.sheets import draw_sheet
from volumen.recipes.comparing.apparel.tables import all_tables, table_markdown
from volumen.recipes.comparing.curves import curve_lines
from volumen.recipes.comparing.provenance import provenance
from volumen.recipes.comparing.run_rows import run_rows
from volumen.recipes.reporting.page import fill, slug
from volumen.recipes.reporting.tables import csv_text, option_rows
from volumen.settings.compare_apparel import CompareApparel
from volumen.whole_files import write_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from volumen.recipes.comparing.apparel.cells import ApparelCell
    from volumen.recipes.comparing.apparel.inputs import ApparelPhotos
    from volumen.recipes.comparing.apparel.scoring import Finds, Outcome
    from volumen.recipes.comparing.record import Record
    from volumen.recipes.comparing.rows import Row

_RUNS = {"route": lambda cell: cell.name, "from": lambda cell: cell.start}
_CURVES = ("route", "seed", "quantity", "epoch", "value")


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A picture of what an encoder found, as PNG."""

    title: str
    image: bytes


def write_page(
    chosen: CompareApparel,
    record: Record,
    photos: ApparelPhotos,
    outcome: Outcome,
    finds: tuple[Finds, Finds],
    chance: NDArray[np.float64],
    rows: tuple[Sequence[Row[ApparelCell]], Sequence[Row[ApparelCell]], Sequence[Row[ApparelCell]]],
) -> None:
    """Write ``report.html``, ``table.md``, ``curves.csv``, the figures, and the sheets of what was found.

    Parameters
    ----------
    rows
        Scores, differences of taggers, and what was found.

    Raises
    ------
    OutOfSpaceError
        The disk is full.
    """
    title, lead = story.title(chosen), story.lead(chosen, record)
    notes = story.remarks(chosen, record, outcome, finds, float(np.nanmean(chance)))
    tables = all_tables(chosen, *rows, finds)
    plots = [*found_plot(finds, chance), *course_plots(outcome)]
    sheets = list(_sheets(finds, photos, chosen.examples))
    page = fill(
        "volumen.recipes.comparing.apparel",
        "apparel.html.j2",
        title=title,
        lead=lead,
        notes=notes,
        tables=tables,
        plots=plots,
        sheets=sheets,
        seed=chosen.seed,
        runs=run_rows(outcome, chosen.all_seeds, columns=_RUNS),
        settings=option_rows(CompareApparel, record.content["settings"]),
        provenance=[
            *provenance(record.content, source="Photographs"),
            ("Tags", [("tags", ", ".join(record.content["tags"]))]),
        ],
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC by volumen {version('volumen')}",
    )
    figures = {f"figures/{slug(plot.name)}.png": plot.light for plot in plots}
    pictures = {f"sheets/{slug(sheet.title)}.png": sheet.image for sheet in sheets}
    texts = {
        "table.md": table_markdown(tables, title, lead, notes),
        "curves.csv": csv_text(_CURVES, curve_lines(outcome, chosen.all_seeds, lambda cell: (cell.name,))),
    }
    write_all(Path(chosen.out), {**texts, **figures, **pictures, "report.html": page})


def _sheets(finds: tuple[Finds, Finds], photos: ApparelPhotos, count: int) -> Iterator[Sheet]:
    """Draw what the encoders of the first seed found, whole and masked."""
    for words, each in zip(("whole", "masked"), finds, strict=True):
        for cell, runs in each.items():
            image = draw_sheet(runs[0], photos, count=count)
            if image is not None:
                yield Sheet(title=f"{cell.name}, {words}", image=image)
