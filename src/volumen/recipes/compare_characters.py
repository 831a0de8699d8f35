"""Compare: annotated photographs in, one table of what each model and loss finds in them out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from volumen.events import relay
from volumen.recipes.comparing.characters.cells import cells_of
from volumen.recipes.comparing.characters.costs import model_costs
from volumen.recipes.comparing.characters.inputs import held_out_photos, look
from volumen.recipes.comparing.characters.page import write_page
from volumen.recipes.comparing.characters.results import difference_rows, score_rows
from volumen.recipes.comparing.characters.scoring import CharacterScores, check_same_photos
from volumen.recipes.comparing.characters.tables import rows_json, table_csv
from volumen.recipes.comparing.ending import end_comparison
from volumen.recipes.comparing.record import Record
from volumen.recipes.comparing.runs import train_cells
from volumen.recipes.photos.segmenter import train_segmenter
from volumen.settings.command import absolute
from volumen.whole_files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from volumen.crops.photo_dataset import PhotoDataset
    from volumen.events import Event
    from volumen.recipes.comparing.characters.scoring import Outcome
    from volumen.settings.compare_characters import CompareCharacters


def compare_characters(settings: CompareCharacters) -> Iterator[Event]:
    """Train {models} × {losses} to find characters in photographs, seed by seed, and put all into one table.

    All runs learn from the same photographs and are scored on the same others. Those of one seed share the order of
    the photographs and every augmentation, those of one model also the random weights that they begin with: what is
    compared is compared in pairs. Each run is a folder of its own under ``runs/MODEL/LOSS/seedN``, as `volumen train
    segmenter` makes it. A comparison that was stopped or killed goes on when the same settings are given again:
    finished runs are kept, and a half-done one is resumed.

    ``comparison.json``, ``table.csv``, ``table.md``, ``curves.csv``, ``costs.json`` and ``report.html`` are written
    once every run is finished.

    Yields
    ------
    Event
        `Started` with the number of runs, then the events of every run, a `Saved` after each; the
        last is `Finished` with ``report``, ``table``, ``comparison`` (paths), ``runs``, ``scores`` and
        ``differences`` (a dictionary for each row) and ``seconds``.

    Raises
    ------
    SettingsError
        The comparison at the output path was begun with other settings; the message lists them.
    SourceError, LabelError
        The photographs cannot be read, there is nothing to learn from, or they are no longer what the comparison was
        begun with.
    OutputExistsError
        Something else is at the output path.

    Examples
    --------
    >>> from volumen import settings
    >>> chosen = settings.CompareCharacters(photos=("scenes.jsonl",), out="compared")
    >>> table = result(compare_characters(chosen))["table"]  # doctest: +SKIP
    """
    begun = time.monotonic()
    chosen = absolute(settings)
    record = Record.begin("compare characters", chosen, lambda: look(chosen))
    cells, held_out = cells_of(chosen), held_out_photos(chosen)
    yield from train_cells(
        "compare characters", cells, chosen, lambda cell, seed: relay(train_segmenter(cell.settings(chosen, seed)))
    )
    outcome = {
        cell: tuple(
            CharacterScores.read(cell.folder(chosen.out, seed), batch=chosen.batch, resamples=chosen.resamples)
            for seed in chosen.all_seeds
        )
        for cell in cells
    }
    yield from _conclude(chosen, record, outcome, held_out, begun)


def _conclude(
    chosen: CompareCharacters, record: Record, outcome: Outcome, held_out: PhotoDataset, begun: float
) -> Iterator[Event]:
    """Write the tables and the page, and finish."""
    check_same_photos(run for runs in outcome.values() for run in runs)
    scores, differences = score_rows(outcome), difference_rows(outcome)
    folder = Path(chosen.out)
    write_whole(folder / "table.csv", table_csv((*scores, *differences)))
    costs = model_costs(chosen.out, outcome, chosen.size)
    write_page(chosen, record, outcome, (scores, differences), costs, held_out)
    results = {"scores": rows_json(scores), "differences": rows_json(differences)}
    yield from end_comparison(chosen.out, record, outcome, results, begun=begun)
