"""CharacterScores: how far what a run finds in the held-out photographs overlaps with what is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from volumen.errors import SourceError
from volumen.recipes.photos.overlaps import read_overlaps
from volumen.recipes.reporting.run_record import RunRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from volumen.evaluation.photo_overlap import PhotoOverlap
    from volumen.recipes.comparing.characters.cells import CharacterCell


@dataclass(frozen=True, kw_only=True)
class CharacterScores:
    """What a run scored on the held-out photographs.

    Parameters
    ----------
    record
        The run.
    photos
        Names of what was scored, in order.
    overlap
        Of each of these.
    scores
        By name, of all photographs, see `volumen.evaluation.photo_overlap.SCORES`.
    draws
        By name: in every draw of the bootstrap of photographs, (draws,). Draw k is of the same photographs in every
        run of a comparison.
    """

    record: RunRecord
    photos: tuple[str, ...]
    overlap: PhotoOverlap
    scores: Mapping[str, float]
    draws: Mapping[str, NDArray[np.float64]]

    @classmethod
    def read(cls, folder: Path, *, batch: int, resamples: int) -> CharacterScores:
        """Score what the best weights of a run found, as its folder says.

        Parameters
        ----------
        batch
            Photographs in a batch, for the mean of batches.
        resamples
            Draws of the bootstrap.
        """
        photos, overlap = read_overlaps(folder / "overlaps.csv")
        return cls(
            record=RunRecord.read(folder),
            photos=photos,
            overlap=overlap,
            scores=overlap.scores(batch=batch),
            draws=overlap.draws(batch=batch, draws=resamples),
        )


Outcome = dict["CharacterCell", tuple[CharacterScores, ...]]
"""The runs of every cell, in the order of their seeds."""


def check_same_photos(runs: Iterable[CharacterScores]) -> None:
    """Raise a `SourceError` where runs were scored on other photographs, since draws of these are no pairs."""
    first, *others = runs
    for run in others:
        if run.photos != first.photos or not np.array_equal(run.overlap.soft[:, 2], first.overlap.soft[:, 2]):
            raise SourceError(
                f"{run.record.path} was scored on other photographs than {first.record.path}, so the two cannot be "
                "compared. Bring the former images back and delete that run, or begin another comparison."
            )
