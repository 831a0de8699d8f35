"""Drawings of a comparison of readers: scores by share of the labels, and the held-out CER while they learned."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from volumen.evaluation.figures import Band, plot_bands
from volumen.recipes.comparing.curves import by_epoch, by_share, colour_of
from volumen.recipes.comparing.rows import by_line, share_name
from volumen.recipes.reporting.line_runs import NAMES
from volumen.recipes.reporting.page import Plot

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from volumen.recipes.comparing.readers.cells import ReaderCell
    from volumen.recipes.comparing.readers.scoring import Outcome
    from volumen.recipes.comparing.rows import Row

_BY_SHARE = ("cer", "word_accuracy")


def share_plots(rows: Sequence[Row[ReaderCell]]) -> list[Plot]:
    """Draw scores by share of the labels for each decoder, a line a cell; nothing where there is one share."""
    if len({row.cell.share for row in rows}) < 2:
        return []
    encoders = [row.cell.encoder for row in rows]
    plots = []
    for decoder in dict.fromkeys(row.cell.decoder for row in rows):
        for score in _BY_SHARE:
            lines = by_line(row for row in rows if (row.cell.decoder, row.score) == (decoder, score))
            bands = [
                by_share(name, line, series=colour_of(cell.encoder, encoders), dashed=cell.frozen)
                for name, line in lines
                for cell in [line[0].cell]
            ]
            plots.append(_plot(f"{NAMES[score]}, {decoder}", bands, x_label="share of the labels", shares=True))
    return plots


def course_plots(outcome: Outcome) -> list[Plot]:
    """Draw the held-out CER round by round, for each decoder at each share, a line a cell."""
    encoders = [cell.encoder for cell in outcome]
    plots = []
    for decoder, share in dict.fromkeys((cell.decoder, cell.share) for cell in outcome):
        bands = [
            by_epoch(
                cell.name,
                [run.record.curves for run in runs],
                "cer",
                series=colour_of(cell.encoder, encoders),
                dashed=cell.frozen,
            )
            for cell, runs in outcome.items()
            if (cell.decoder, cell.share) == (decoder, share)
        ]
        plots.append(_plot(f"Held-out CER, {decoder}, {share_name(share).lower()}", bands, x_label="scoring"))
    return plots


def _plot(title: str, bands: Iterable[Band], *, x_label: str, shares: bool = False) -> Plot:
    return Plot.draw(title, partial(plot_bands, list(bands), title=title, x_label=x_label, shares=shares))
