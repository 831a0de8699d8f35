"""ReaderScores: what a run read of the test lines, and how far that is from what is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from volumen.errors import SourceError
from volumen.recipes.reading.readings import count_texts, read_readings
from volumen.recipes.reporting.run_record import RunRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from volumen.recipes.comparing.readers.cells import ReaderCell
    from volumen.recipes.reading.readings import ReadLine

SCORES = ("cer", "cer_mean", "wer", "word_accuracy", "within_one")
"""What is compared, in this order."""


@dataclass(frozen=True, kw_only=True)
class ReaderScores:
    """What a run scored on the test lines.

    Parameters
    ----------
    record
        The run.
    lines
        The test lines with what its best weights read there.
    scores
        By name, of all test lines.
    draws
        By name: in every draw of the bootstrap of groups, (draws,). Draw k is of the same groups in every run of a
        comparison.
    """

    record: RunRecord
    lines: tuple[ReadLine, ...]
    scores: Mapping[str, float]
    draws: Mapping[str, NDArray[np.float64]]

    @classmethod
    def read(cls, folder: Path, *, resamples: int) -> ReaderScores:
        """Score the readings in a run's folder.

        Parameters
        ----------
        resamples
            Draws of the bootstrap.
        """
        lines = read_readings(folder / "readings.tsv")
        counts = count_texts(lines)
        return cls(
            record=RunRecord.read(folder),
            lines=tuple(lines),
            scores=counts.scores(),
            draws=counts.draws(draws=resamples),
        )


Outcome = dict["ReaderCell", tuple[ReaderScores, ...]]
"""The runs of every cell, in the order of their seeds."""


def check_same_lines(runs: Iterable[ReaderScores]) -> None:
    """Raise a `SourceError` where runs read other lines, since draws of these are no pairs."""
    first, *others = runs
    asked = [(line.name, line.group, line.text) for line in first.lines]
    for run in others:
        if [(line.name, line.group, line.text) for line in run.lines] != asked:
            raise SourceError(
                f"{run.record.path} read other test lines than {first.record.path}, so the two cannot be compared. "
                "Bring the former images back and delete that run, or begin another comparison."
            )
