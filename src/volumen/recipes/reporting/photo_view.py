"""PhotoRunView: what a report shows of one run over photographs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from volumen.recipes.reporting.tables import Cell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from volumen.recipes.reporting.panels import Panel


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A photograph: its name, what there is to say of it, and its pictures, all in one row."""

    name: str
    words: str
    panels: Sequence[Panel]


@dataclass(frozen=True, kw_only=True)
class PhotoRunView:
    """What a run made of its held-out photographs: scores, and examples from good to bad."""

    name: str
    lead: str
    scores: Sequence[tuple[str, Cell]]
    examples: Sequence[Shown]
    columns: int


def number_cell(value: float | None, interval: tuple[float, float] | None = None) -> Cell:
    """Write a score, to three digits, with its interval where there is one."""
    ends = "" if interval is None or not np.isfinite(interval).all() else f"{interval[0]:.3f} to {interval[1]:.3f}"
    return Cell(text="–" if value is None or not np.isfinite(value) else f"{value:.3f}", interval=ends)
