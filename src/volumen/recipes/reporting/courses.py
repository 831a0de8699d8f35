"""Courses: how a quantity went from epoch to epoch, as curves of one run or several; levels that stay as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from volumen.evaluation.figures import Curve, Level

if TYPE_CHECKING:
    from collections.abc import Sequence

    from volumen.recipes.reporting.run_record import RunRecord


def loss_courses(runs: Sequence[RunRecord]) -> list[Curve]:
    """Return the training loss, dashed, and the held-out loss of each run; of a single run each in a colour."""
    several = len(runs) > 1
    return [
        course(
            run,
            quantity,
            name=f"{run.name}, {words}" if several else words,
            series=number if several else int(not dashed),
            dashed=dashed,
            best=None if dashed else run.best_epoch,
        )
        for number, run in enumerate(runs)
        for quantity, words, dashed in (("train_loss", "training", True), ("loss", "held out", False))
        if quantity in run.curves
    ]


def courses(
    runs: Sequence[RunRecord], quantity: str, *, mark_best: bool = False, name: str | None = None
) -> list[Curve]:
    """Return a quantity of each run that has it, under the run's name or another; with its best epoch if asked."""
    return [
        course(run, quantity, name=name or run.name, series=number, best=run.best_epoch if mark_best else None)
        for number, run in enumerate(runs)
        if quantity in run.curves
    ]


def course(
    run: RunRecord, quantity: str, *, name: str, series: int, dashed: bool = False, best: int | None = None
) -> Curve:
    """Return a quantity of a run as a curve over its epochs."""
    points = run.curves[quantity]
    return Curve(
        name=name,
        x=[epoch for epoch, _ in points],
        y=[value for _, value in points],
        series=series,
        dashed=dashed,
        best=best,
    )


def shared_levels(runs: Sequence[RunRecord], quantities: dict[str, str]) -> list[Level]:
    """Return the levels that do not change with the epochs; one for all runs where they agree on it."""
    levels = []
    for place, (quantity, words) in enumerate(quantities.items(), start=max(2, len(runs))):
        values = {run.name: run.value(quantity) for run in runs}
        known = {name: value for name, value in values.items() if value is not None}
        if len(set(known.values())) == 1:
            known = {"": next(iter(known.values()))}
        levels += [
            Level(name=f"{words}, {name}" if name else words, y=value, series=place) for name, value in known.items()
        ]
    return levels
