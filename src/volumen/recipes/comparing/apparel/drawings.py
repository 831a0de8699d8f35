"""Drawings of a comparison of encoders: what each finds, as bars, and how each learned."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from volumen.evaluation.bars import Bars, plot_bars
from volumen.evaluation.figures import Level, plot_bands
from volumen.recipes.comparing.apparel.results import deviation
from volumen.recipes.comparing.curves import by_epoch
from volumen.recipes.reporting.page import Plot

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from volumen.recipes.comparing.apparel.scoring import Finds, Outcome

_COURSES = (
    ("tagger", "f1", "Held-out F1"),
    ("tagger", "loss", "Held-out cross-entropy"),
    ("rotation", "accuracy", "Held-out turns told right"),
    ("triplet", "overlap", "Held-out overlap of neighbours"),
    ("triplet", "effective_rank", "Effective rank of embeddings"),
    ("spark", "loss", "Held-out loss of hidden patches"),
    ("segmenter", "iou_hard_image", "Held-out IoU, mean of images"),
)


def found_plot(finds: tuple[Finds, Finds], chance: NDArray[np.float64]) -> list[Plot]:
    """Draw the overlap of what each encoder finds, and its deviation over queries; whole and masked."""
    whole, masked = finds
    names = [cell.name for cell in whole]
    kinds = [
        Bars(
            name=name,
            values=[float(np.mean([np.nanmean(found.overlap) for found in runs])) for runs in each.values()],
            reach=[deviation(each, cell) for cell in each],
            series=series,
        )
        for series, (name, each) in enumerate((("whole", whole), ("masked", masked)))
        if each
    ]
    level = Level(name="chance", y=float(np.nanmean(chance)), series=2)
    title = "Overlap of what is found"
    draw = partial(plot_bars, names, kinds, title=title, x_label="overlap, ± deviation over queries", levels=[level])
    return [Plot.draw(title, draw)]


def course_plots(outcome: Outcome) -> list[Plot]:
    """Draw held-out scores epoch by epoch, a line a route."""
    plots = []
    for work, score, title in _COURSES:
        cells = [cell for cell in outcome if cell.work == work]
        bands = [
            by_epoch(cell.name, [run.record.curves for run in outcome[cell]], score, series=number, dashed=number > 5)
            for number, cell in enumerate(cells)
        ]
        bands = [band for band in bands if len(band.x)]
        if bands:
            plots.append(Plot.draw(title, partial(plot_bands, bands, title=title)))
    return plots
