"""train_cells: every cell of a comparison trained with every seed, each run a folder, whatever is compared."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

from volumen.events import Saved, Started
from volumen.training.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from volumen.events import Event
    from volumen.recipes.comparing.rows import C
    from volumen.settings.comparing import Comparison


def train_cells(
    verb: str, cells: Sequence[C], chosen: Comparison, train: Callable[[C, int], Iterator[Event]]
) -> Iterator[Event]:
    """Train every cell with every seed, seed by seed, so that whole sets of pairs come first.

    Parameters
    ----------
    verb
        Words of the command, such as ``compare ink``.
    cells, chosen
        What is compared, and the settings.
    train
        Trains and scores a cell with a seed in its folder, or does what is left of that. Runs that are finished are
        kept without the state that they could be resumed from, the larger part of their bytes.

    Yields
    ------
    Event
        `Started` with the number of runs, what ``train`` yields, a `Saved` after each run.
    """
    runs = [(seed, cell) for seed in chosen.all_seeds for cell in cells]
    shares = list(dict.fromkeys(cell.share for cell in cells))
    detail = {"cells": len(cells), "seeds": chosen.seeds, "shares": shares}
    yield Started(work=verb, total=len(runs), unit="runs", detail=detail)
    for number, (seed, cell) in enumerate(runs, start=1):
        what = f"run {number} of {len(runs)}: {cell.words}, seed {seed}"
        for event in train(cell, seed):
            yield replace(event, work=what) if isinstance(event, Started) else event
        folder = cell.folder(chosen.out, seed)
        shutil.rmtree(Run.open(folder).state_path.parent, ignore_errors=True)
        yield Saved(path=str(folder), what=what)
