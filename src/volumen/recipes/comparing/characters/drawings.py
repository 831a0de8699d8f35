"""Drawings of a comparison for characters: overlap and losses by epoch, a line for each way to train."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from volumen.evaluation.figures import plot_bands
from volumen.evaluation.photo_overlap import NAMES
from volumen.recipes.comparing.curves import by_epoch
from volumen.recipes.reporting.page import Plot

if TYPE_CHECKING:
    from volumen.recipes.comparing.characters.scoring import Outcome

_QUANTITIES = {
    "iou_hard_pooled": f"{NAMES['iou_hard_pooled']}, held out",
    "iou_soft_image": f"{NAMES['iou_soft_image']}, held out",
    "loss": "Loss, held out",
    "train_loss": "Loss, training",
}


def course_plots(outcome: Outcome) -> list[Plot]:
    """Draw what was measured by epoch: models by colour; the first loss in full lines, the others dashed."""
    models = list(dict.fromkeys(cell.model for cell in outcome))
    first = next(iter(outcome)).loss
    plots = []
    for quantity, title in _QUANTITIES.items():
        bands = [
            by_epoch(
                cell.name,
                [run.record.curves for run in runs],
                quantity,
                series=models.index(cell.model),
                dashed=cell.loss != first,
            )
            for cell, runs in outcome.items()
        ]
        drawn = [band for band in bands if band.x]
        if drawn:
            plots.append(Plot.draw(title, partial(plot_bands, drawn, title=title)))
    return plots
