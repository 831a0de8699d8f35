"""Compare: encoder files and labelled segments in, one table of what each is worth out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from volumen.events import relay
from volumen.recipes.comparing.ending import end_comparison
from volumen.recipes.comparing.ink import story
from volumen.recipes.comparing.ink.cells import Cell, cells_of
from volumen.recipes.comparing.ink.inputs import look
from volumen.recipes.comparing.ink.page import write_page
from volumen.recipes.comparing.ink.results import difference_rows, score_rows
from volumen.recipes.comparing.ink.scoring import RunScores, score_run
from volumen.recipes.comparing.ink.tables import rows_json, table_csv, table_markdown
from volumen.recipes.comparing.record import Record
from volumen.recipes.comparing.runs import train_cells
from volumen.recipes.finetune import finetune
from volumen.settings.command import absolute
from volumen.whole_files import write_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from volumen.events import Event
    from volumen.recipes.comparing.ink.results import Outcome
    from volumen.recipes.comparing.rows import Row
    from volumen.settings.compare_ink import CompareInk


def compare_ink(settings: CompareInk) -> Iterator[Event]:
    """Train {random weights, each encoder file} × {frozen, full}, seed by seed, and put all into one table.

    All runs learn from the same segments and are scored on the same held-out pixels. Those of one seed share the
    random weights that they begin with, the order of the crops, every augmentation, and at a share of the labels the
    place that is learned from: what is compared is compared in pairs. Each run is a folder of its own under
    ``runs/SHARE/CELL/seedN``, as `volumen finetune` makes it. A comparison that was stopped or killed goes on when
    the same settings are given again: finished runs are kept, without the state that they could be resumed from, and a
    half-done one is resumed.

    ``comparison.json``, ``table.csv``, ``table.md``, ``curves.csv`` and ``report.html`` are written once every run is
    finished.

    Yields
    ------
    Event
        `Started` with the number of runs, then the events of every run and of its scoring, a `Saved` after each; the
        last is `Finished` with ``report``, ``table``, ``comparison`` (paths), ``runs``, ``scores`` and
        ``differences`` (a dictionary for each row), ``order`` (the verdicts on the validation loss) and ``seconds``.

    Raises
    ------
    SettingsError
        The comparison at the output path was begun with other settings; the message lists them.
    SourceError, LabelError, CheckpointError
        The data cannot be read, there is nothing to learn from, an encoder file does not fit, or one of these is no
        longer what the comparison was begun with.
    OutputExistsError
        Something else is at the output path.

    Examples
    --------
    >>> from volumen import settings
    >>> chosen = settings.CompareInk(segments=("20230827161847.zarr",), encoder=("spark.safetensors",), out="compared")
    >>> table = result(compare_ink(chosen))["table"]  # doctest: +SKIP
    """
    begun = time.monotonic()
    chosen = absolute(settings)
    record = Record.begin("compare ink", chosen, lambda: look(chosen))
    cells = cells_of(chosen)
    yield from train_cells("compare ink", cells, chosen, lambda cell, seed: _train(cell, seed, chosen))
    outcome = {
        cell: tuple(RunScores.read(cell.folder(chosen.out, seed)) for seed in chosen.all_seeds) for cell in cells
    }
    yield from _conclude(chosen, record, outcome, begun)


def _train(cell: Cell, seed: int, chosen: CompareInk) -> Iterator[Event]:
    yield from relay(finetune(cell.settings(chosen, seed)))
    yield from relay(score_run(cell.folder(chosen.out, seed), chosen))


def _conclude(chosen: CompareInk, record: Record, outcome: Outcome, begun: float) -> Iterator[Event]:
    """Write the tables and the page, and finish."""
    scores, differences = score_rows(outcome), difference_rows(outcome)
    folder = Path(chosen.out)
    write_page(chosen, record, outcome, scores, differences)
    words = (story.title(chosen), story.lead(chosen, record), story.remarks(chosen, record, outcome))
    write_all(
        folder,
        {
            "table.md": table_markdown(scores, differences, *words),
            "table.csv": table_csv((*scores, *differences)),
        },
    )
    results = {"scores": rows_json(scores), "differences": rows_json(differences)}
    yield from end_comparison(chosen.out, record, outcome, results, begun=begun, order=_order(differences))


def _order(differences: Sequence[Row[Cell]]) -> dict[str, str]:
    """Say of each claim whether it holds, by the validation loss of the best epoch."""
    return {
        f"{row.cell.share:g}: {row.cell.name} better than {row.than.name}": row.verdict
        for row in differences
        if row.than is not None and row.score == "loss" and row.epoch == "best"
    }
