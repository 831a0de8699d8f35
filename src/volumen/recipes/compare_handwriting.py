"""Compare handwriting: transcribed lines and pretrained weights in, one table of what each is worth to a reader out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from volumen.events import relay
from volumen.recipes.comparing.ending import end_comparison
from volumen.recipes.comparing.readers.cells import cells_of
from volumen.recipes.comparing.readers.costs import reading_costs
from volumen.recipes.comparing.readers.inputs import look
from volumen.recipes.comparing.readers.page import write_page
from volumen.recipes.comparing.readers.results import difference_rows, score_rows
from volumen.recipes.comparing.readers.scoring import ReaderScores, check_same_lines
from volumen.recipes.comparing.readers.tables import rows_json, table_csv
from volumen.recipes.comparing.record import Record
from volumen.recipes.comparing.runs import train_cells
from volumen.recipes.reading.line_corpus import LineCorpus
from volumen.recipes.reading.train import train_reader
from volumen.settings.command import absolute
from volumen.whole_files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from volumen.events import Event
    from volumen.recipes.comparing.readers.scoring import Outcome
    from volumen.settings.compare_handwriting import CompareHandwriting


def compare_handwriting(settings: CompareHandwriting) -> Iterator[Event]:
    """Train {decoders} × {shares} × {random, each pretraining} × {frozen, full}, seed by seed: one table.

    All readers are tested on the same lines. Those of one seed learn from the same lines at a share, and share random
    weights and the order of lines: what is compared is compared in pairs. Each run is a folder of its own under
    ``runs/DECODER/SHARE/CELL/seedN``, as `volumen train reader` makes it. A comparison that was stopped or killed goes
    on when the same settings are given again: finished runs are kept, and a half-done one is resumed.

    ``comparison.json``, ``table.csv``, ``table.md``, ``curves.csv``, ``costs.json`` and ``report.html`` are written
    once every run is finished.

    Yields
    ------
    Event
        `Started` with the number of runs, then the events of every run, a `Saved` after each; the last is `Finished`
        with ``report``, ``table``, ``comparison`` (paths), ``runs``, ``scores`` and ``differences`` (a dictionary for
        each row) and ``seconds``.

    Raises
    ------
    SettingsError
        The comparison at the output path was begun with other settings; the message lists them.
    SourceError, LabelError, CheckpointError
        The lines cannot be read, none is transcribed, pretrained weights do not fit, or one of these is no longer what
        the comparison was begun with.
    OutputExistsError
        Something else is at the output path.

    Examples
    --------
    >>> from volumen import settings
    >>> chosen = settings.CompareHandwriting(lines=("words.tsv",), pretext=("runs/seqclr-{seed}",), out="compared")
    >>> table = result(compare_handwriting(chosen))["table"]  # doctest: +SKIP
    """
    begun = time.monotonic()
    chosen = absolute(settings)
    record = Record.begin("compare handwriting", chosen, lambda: look(chosen))
    cells = cells_of(chosen)
    yield from train_cells(
        "compare handwriting", cells, chosen, lambda cell, seed: relay(train_reader(cell.settings(chosen, seed)))
    )
    outcome = {
        cell: tuple(
            ReaderScores.read(cell.folder(chosen.out, seed), resamples=chosen.resamples) for seed in chosen.all_seeds
        )
        for cell in cells
    }
    yield from _conclude(chosen, record, outcome, begun)


def _conclude(chosen: CompareHandwriting, record: Record, outcome: Outcome, begun: float) -> Iterator[Event]:
    """Write the tables and the page, and finish."""
    check_same_lines(run for runs in outcome.values() for run in runs)
    scores, differences = score_rows(outcome), difference_rows(outcome)
    folder, corpus = Path(chosen.out), LineCorpus.of(chosen, transcribed=True)
    write_whole(folder / "table.csv", table_csv((*scores, *differences)))
    costs = reading_costs(chosen.out, outcome, corpus)
    write_page(chosen, record, corpus, outcome, (scores, differences), costs)
    results = {"scores": rows_json(scores), "differences": rows_json(differences)}
    yield from end_comparison(chosen.out, record, outcome, results, begun=begun)
