"""ApparelScores: what the run of a route scored on held-out photographs, and how that may vary with these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from volumen.errors import SourceError
from volumen.evaluation.labels import example_scores, score_tags
from volumen.evaluation.retrieval import resampled_means
from volumen.recipes.photos.overlaps import read_overlaps
from volumen.recipes.photos.said_tags import read_said
from volumen.recipes.reporting.run_record import RunRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from volumen.recipes.comparing.apparel.cells import ApparelCell
    from volumen.recipes.comparing.apparel.finding import Answers

TAGGING = ("f1", "precision", "recall", "accuracy", "micro_f1", "macro_f1")
"""Scores of a tagger, in this order; the first four are example-wise, and have draws."""

MASKS = ("iou_hard_image", "iou_hard_pooled", "iou_soft_image")
"""Scores of a segmenter that are told."""


@dataclass(frozen=True, kw_only=True)
class ApparelScores:
    """What a run scored.

    Parameters
    ----------
    record
        The run.
    scored
        Names of the photographs that were.
    scores
        By name.
    draws
        By name, where a score is a mean of photographs: in every draw of their bootstrap, (draws,). Draw k is of the
        same photographs in every run of one kind.
    """

    record: RunRecord
    scored: tuple[str, ...]
    scores: Mapping[str, float]
    draws: Mapping[str, NDArray[np.float64]]

    @classmethod
    def read(cls, cell: ApparelCell, folder: Path, *, resamples: int) -> ApparelScores:
        """Score what a run's folder holds."""
        record = RunRecord.read(folder)
        if cell.work == "tagger":
            said = read_said(folder / "tags.csv")
            draws = {
                name: resampled_means(values, draws=resamples)
                for name, values in example_scores(said.said, said.truth).items()
            }
            return cls(record=record, scored=said.names, scores=score_tags(said.said, said.truth), draws=draws)
        told = dict((record.result or {}).get("scores") or {})
        if cell.work == "segmenter":
            names, overlap = read_overlaps(folder / "overlaps.csv")
            batch = int(record.settings["batch"])
            drawn = overlap.draws(batch=batch, draws=resamples)
            return cls(record=record, scored=names, scores=overlap.scores(batch=batch), draws=drawn)
        return cls(record=record, scored=(), scores=told, draws={})


Outcome = dict["ApparelCell", tuple[ApparelScores, ...]]
"""The runs of every route, in the order of their seeds."""

Finds = dict["ApparelCell", tuple["Answers", ...]]
"""What the encoder of each route found, in the order of their seeds."""


def check_same_photos(outcome: Outcome) -> None:
    """Raise a `SourceError` where runs of one kind were scored on other photographs, since draws are then no pairs."""
    for work in ("tagger", "segmenter"):
        _check(
            [(str(run.record.path), run.scored) for cell, runs in outcome.items() if cell.work == work for run in runs]
        )


def check_same_queries(finds: Iterable[Finds]) -> None:
    """Raise a `SourceError` where encoders were asked with other photographs."""
    _check([(cell.name, found.names) for each in finds for cell, runs in each.items() for found in runs])


def _check(scored: list[tuple[str, tuple[str, ...]]]) -> None:
    for name, photos in scored[1:]:
        if photos != scored[0][1]:
            raise SourceError(
                f"{name} was scored on other photographs than {scored[0][0]}, so the two cannot be compared. Bring the "
                "former images back and delete that run, or begin another comparison."
            )
