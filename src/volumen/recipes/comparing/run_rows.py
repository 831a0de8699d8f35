"""run_rows: how each run of a comparison went, for the table at the end of its report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from volumen.recipes.comparing.rows import C
    from volumen.recipes.reporting.run_record import RunRecord


class Recorded(Protocol):
    """What a run came to, whatever was scored."""

    @property
    def record(self) -> RunRecord:
        """The run."""
        ...


def run_rows(
    outcome: Mapping[C, Sequence[Recorded]],
    seeds: Sequence[int],
    *,
    columns: Mapping[str, Callable[[C], str]],
    rounds: str = "epochs",
) -> list[tuple[str, ...]]:
    """Lay out how each run went: header first.

    Parameters
    ----------
    outcome, seeds
        The runs of every cell, in the order of their seeds.
    columns
        What tells cells apart: heads, and what stands below them.
    rounds
        What is counted between two scorings.
    """
    rows: list[tuple[str, ...]] = [(*columns, "seed", rounds, "best", "device", "minutes")]
    for cell, runs in outcome.items():
        for seed, run in zip(seeds, runs, strict=True):
            result = run.record.result or {}
            rows.append(
                (
                    *(said(cell) for said in columns.values()),
                    str(seed),
                    str(result.get("epochs", "–")),
                    str(run.record.best_epoch or "–"),
                    run.record.device or "–",
                    f"{float(result.get('seconds', 0.0)) / 60:.1f}",
                )
            )
    return rows
