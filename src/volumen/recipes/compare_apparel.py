"""Compare apparel: tagged photographs in, one table of what each route to an encoder is worth out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from volumen.evaluation.retrieval import chance_overlap
from volumen.events import relay
from volumen.recipes.comparing.apparel.cells import cells_of
from volumen.recipes.comparing.apparel.inputs import ApparelPhotos, look
from volumen.recipes.comparing.apparel.page import write_page
from volumen.recipes.comparing.apparel.results import difference_rows, retrieval_rows, score_rows
from volumen.recipes.comparing.apparel.scoring import ApparelScores, check_same_photos, check_same_queries
from volumen.recipes.comparing.apparel.searching import search_all
from volumen.recipes.comparing.apparel.tables import rows_json, table_csv
from volumen.recipes.comparing.ending import end_comparison
from volumen.recipes.comparing.record import Record
from volumen.recipes.comparing.runs import train_cells
from volumen.recipes.photos.pretrain import pretrain_photos
from volumen.recipes.photos.segmenter import train_segmenter
from volumen.recipes.photos.tagger import train_tagger
from volumen.recipes.photos.vocabulary import tag_matrix
from volumen.settings.command import absolute
from volumen.settings.train_segmenter import TrainSegmenter
from volumen.settings.train_tagger import TrainTagger
from volumen.whole_files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from volumen.events import Event
    from volumen.recipes.comparing.apparel.cells import ApparelCell
    from volumen.settings.compare_apparel import CompareApparel


def compare_apparel(settings: CompareApparel) -> Iterator[Event]:
    """Train encoders by several routes, seed by seed, and compare what they tell and what they find alike.

    All learn from the same photographs and are scored on the same others. Each run is a folder of its own under
    ``runs/ROUTE/seedN``, as its verb makes it; what a route starts from is trained before it. Then every encoder, and
    those that nothing was taught, find the nearest of the photographs that were learned from for each query, in whole
    photographs and in those that the seed's segmenter takes the background from; that is kept under ``found``. A
    comparison that was stopped or killed goes on when the same settings are given again.

    ``comparison.json``, ``table.csv``, ``table.md``, ``curves.csv``, ``sheets`` and ``report.html`` are written once
    every part is finished.

    Yields
    ------
    Event
        `Started` with the number of runs, then the events of every run, a `Saved` after each, `Stepped` for what was
        found; the last is `Finished` with ``report``, ``table``, ``comparison`` (paths), ``runs``, ``scores``,
        ``differences`` and ``found`` (a dictionary for each row) and ``seconds``.

    Raises
    ------
    SettingsError
        The comparison at the output path was begun with other settings; the message lists them.
    SourceError, LabelError, CheckpointError
        The photographs cannot be read, there is nothing to learn from, weights do not fit, or one of these is no
        longer what the comparison was begun with.
    OutputExistsError
        Something else is at the output path.

    Examples
    --------
    >>> from volumen import settings
    >>> chosen = settings.CompareApparel(photos=("apparel/labels.csv",), out="compared", size=96)
    >>> table = result(compare_apparel(chosen))["table"]  # doctest: +SKIP
    """
    begun = time.monotonic()
    chosen = absolute(settings)
    record = Record.begin("compare apparel", chosen, lambda: look(chosen))
    cells = cells_of(chosen)
    yield from train_cells("compare apparel", cells, chosen, lambda cell, seed: relay(_train(cell, chosen, seed)))
    photos = ApparelPhotos.of(chosen)
    whole, masked = yield from search_all(chosen, photos, cells)
    outcome = {
        cell: tuple(
            ApparelScores.read(cell, cell.folder(chosen.out, seed), resamples=chosen.resamples)
            for seed in chosen.all_seeds
        )
        for cell in cells
    }
    check_same_photos(outcome)
    check_same_queries((whole, masked))
    names = next(iter(whole.values()))[0].names
    asked = [photo for photo in photos.queries if photo.name in names]  # those that could be read
    chance = chance_overlap(tag_matrix(asked, photos.tags).numpy(), tag_matrix(photos.index, photos.tags).numpy())
    scores, differences = score_rows(outcome), difference_rows(outcome)
    found = retrieval_rows(whole, masked, chance, resamples=chosen.resamples)
    folder = Path(chosen.out)
    write_whole(folder / "table.csv", table_csv((*scores, *differences, *found)))
    write_page(chosen, record, photos, outcome, (whole, masked), chance, (scores, differences, found))
    results = {"scores": rows_json(scores), "differences": rows_json(differences), "found": rows_json(found)}
    yield from end_comparison(chosen.out, record, outcome, results, begun=begun)


def _train(cell: ApparelCell, chosen: CompareApparel, seed: int) -> Iterator[Event]:
    match cell.settings(chosen, seed):
        case TrainTagger() as settings:
            yield from train_tagger(settings)
        case TrainSegmenter() as settings:
            yield from train_segmenter(settings)
        case settings:
            yield from pretrain_photos(settings)
