"""Curves of a comparison: what was measured by epoch, and scores by share of the labels, each with its range."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from volumen.evaluation.figures import Band
from volumen.settings.comparing import RANDOM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from volumen.recipes.comparing.rows import C, Row
    from volumen.recipes.reporting.run_record import RunRecord

    Curves = Mapping[str, tuple[tuple[int, float], ...]]  # of a run: for each quantity, (epoch, value) pairs in order


class Recorded(Protocol):
    """What a comparison read of one run."""

    @property
    def record(self) -> RunRecord: ...  # noqa: D102


def curve_lines(
    outcome: Mapping[C, Sequence[Recorded]], seeds: Sequence[int], names: Callable[[C], tuple[Any, ...]]
) -> Iterator[tuple[Any, ...]]:
    """Yield a line for every point of every run: what ``names`` says of its cell, seed, quantity, epoch and value."""
    for cell, runs in outcome.items():
        for seed, run in zip(seeds, runs, strict=True):
            for quantity, points in run.record.curves.items():
                for epoch, value in points:
                    yield (*names(cell), seed, quantity, epoch, value)


def by_epoch(name: str, runs: Iterable[Curves], quantity: str, *, series: int, dashed: bool) -> Band:
    """Gather a quantity of runs: at each epoch its mean over the seeds that came so far, and their range."""
    values: dict[int, list[float]] = {}
    for curves in runs:
        for epoch, value in curves.get(quantity, ()):
            values.setdefault(epoch, []).append(value)
    epochs = sorted(values)
    return Band(
        name=name,
        x=epochs,
        y=[sum(values[epoch]) / len(values[epoch]) for epoch in epochs],
        low=[min(values[epoch]) for epoch in epochs],
        high=[max(values[epoch]) for epoch in epochs],
        series=series,
        dashed=dashed,
    )


def by_share(name: str, rows: Sequence[Row[C]], *, series: int, dashed: bool) -> Band:
    """Draw a score of one way to train over the share of the labels: its mean over the seeds, and their range."""
    return Band(
        name=name,
        x=[row.cell.share for row in rows],
        y=[row.estimate.mean for row in rows],
        low=[min(row.values) for row in rows],
        high=[max(row.values) for row in rows],
        series=series,
        dashed=dashed,
    )


def colour_of(encoder: str, encoders: Iterable[str]) -> int:
    """Give each encoder a colour: random weights the first."""
    return [RANDOM, *dict.fromkeys(other for other in encoders if other != RANDOM)].index(encoder)
