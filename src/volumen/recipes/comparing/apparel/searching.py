"""Searching: every encoder of every seed asked what is like each query, as far as that was not found before."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from volumen.events import Started, Stepped
from volumen.recipes.bookkeeping import fabric_of
from volumen.recipes.comparing.apparel.background import Foreground
from volumen.recipes.comparing.apparel.cells import SEGMENTER, untrained_of
from volumen.recipes.comparing.apparel.finding import Answers, embedder_of, find, found_file, origin_of
from volumen.recipes.first_weights import digest
from volumen.run_folder import weights_file

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from lightning_fabric import Fabric

    from volumen.crops.photo_dataset import PhotoDataset
    from volumen.events import Event
    from volumen.recipes.comparing.apparel.cells import ApparelCell
    from volumen.recipes.comparing.apparel.inputs import ApparelPhotos
    from volumen.recipes.comparing.apparel.scoring import Finds
    from volumen.settings.compare_apparel import CompareApparel


def search_all(
    chosen: CompareApparel, photos: ApparelPhotos, cells: Sequence[ApparelCell]
) -> Generator[Event, None, tuple[Finds, Finds]]:
    """Ask the encoders of all routes, and those that nothing was taught; what was found before is read.

    Returns
    -------
    tuple
        What was found in whole photographs, and in those without their background; the second is empty where no
        segmenter was trained.
    """
    segmenter = next((cell for cell in cells if cell.name == SEGMENTER), None)
    encoders = [*untrained_of(chosen), *(cell for cell in cells if cell != segmenter)]
    out, fabric = Path(chosen.out), fabric_of(chosen)
    index, queries = (photos.dataset(part, chosen) for part in (photos.index, photos.queries))
    total = len(encoders) * chosen.seeds
    yield Started(work="find alike", total=total, unit="encoders", device=str(fabric.device))
    done, ways = 0, (False, True) if segmenter else (False,)
    for seed in chosen.all_seeds:
        grounds: tuple[Foreground, Foreground] | None = None
        of_masks = None if segmenter is None else digest(weights_file(segmenter.folder(chosen.out, seed)))
        for cell in encoders:
            made = {masked: origin_of(cell, chosen, seed, of_masks if masked else None) for masked in ways}
            todo = [masked for masked in ways if not _holds(_file(out, cell, seed, masked), made[masked])]
            if any(todo) and grounds is None and segmenter is not None:
                grounds = _foregrounds(segmenter, chosen, seed, (index, queries), fabric)
            look = embedder_of(cell, chosen, seed, index, fabric) if todo else None
            for masked in todo:
                if look is not None:
                    found = find(
                        look,
                        index,
                        queries,
                        grounds if masked else None,
                        k=chosen.neighbours,
                        batch=chosen.batch,
                        fabric=fabric,
                        made_by=made[masked],
                    )
                    found.write(_file(out, cell, seed, masked))
            done += 1
            yield Stepped(done=done, total=total)
    whole, without = (
        {cell: tuple(Answers.read(_file(out, cell, seed, masked)) for seed in chosen.all_seeds) for cell in encoders}
        for masked in (False, segmenter is not None)
    )
    return whole, without if segmenter is not None else {}


def _file(out: Path, cell: ApparelCell, seed: int, masked: bool) -> Path:
    return found_file(out, cell, seed, masked=masked)


def _holds(file: Path, made: str) -> bool:
    """Say whether a file has what these weights found; those of a run that was made anew found something else."""
    return file.exists() and Answers.read(file).made_by == made


def _foregrounds(
    segmenter: ApparelCell,
    chosen: CompareApparel,
    seed: int,
    photos: tuple[PhotoDataset, PhotoDataset],
    fabric: Fabric,
) -> tuple[Foreground, Foreground]:
    """Return where the seed's segmenter sees something in what is searched and in the queries."""
    weights, folder = weights_file(segmenter.folder(chosen.out, seed)), Path(chosen.out) / "foreground"
    index, queries = (
        Foreground.kept(folder / f"seed{seed}-{name}.npz", weights, part, batch=chosen.segment_batch, fabric=fabric)
        for name, part in zip(("index", "queries"), photos, strict=True)
    )
    return index, queries
