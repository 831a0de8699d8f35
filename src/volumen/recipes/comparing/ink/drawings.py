"""Drawings of a comparison: losses by epoch, scores by share of the labels, and the maps of its runs side by side."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from volumen.evaluation.figures import plot_bands
from volumen.recipes.comparing.curves import by_epoch, by_share, colour_of
from volumen.recipes.comparing.ink.scoring import map_path
from volumen.recipes.comparing.ink.tables import NAMES
from volumen.recipes.comparing.rows import share_name
from volumen.recipes.ink_map import InkMap
from volumen.recipes.opening import open_all
from volumen.recipes.reporting.exhibit import Exhibit
from volumen.recipes.reporting.page import PlaceView, Plot, SegmentView
from volumen.recipes.reporting.panels import draw_place
from volumen.recipes.reporting.places import choose_places
from volumen.recipes.scopes import held_out_pixels
from volumen.settings.source import LabelPaths

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from volumen.evaluation.figures import Band
    from volumen.recipes.comparing.curves import Curves
    from volumen.recipes.comparing.ink.cells import Cell
    from volumen.recipes.comparing.ink.results import Outcome
    from volumen.recipes.comparing.ink.scoring import RunScores
    from volumen.recipes.comparing.rows import Row
    from volumen.settings.compare_ink import CompareInk

_BY_SHARE = ("loss", "average_precision", "auc", "f05")


def loss_plots(outcome: Outcome) -> list[Plot]:
    """Draw the validation loss by epoch, a line for each cell, share by share."""
    return [
        _plot(
            f"Validation loss, {share_name(share).lower()}",
            [
                by_epoch(cell.name, _curves(outcome[cell]), "loss", series=_colour(cell, outcome), dashed=cell.frozen)
                for cell in _of_share(outcome, share)
            ],
        )
        for share in dict.fromkeys(cell.share for cell in outcome)
    ]


def share_plots(outcome: Outcome, rows: Sequence[Row[Cell]]) -> list[Plot]:
    """Draw the scores by share of the labels, a line for each cell; nothing where there is one share."""
    if len({cell.share for cell in outcome}) < 2:
        return []
    plots = []
    for score in _BY_SHARE:
        lines: dict[str, list[Row[Cell]]] = {}
        for row in rows:
            if row.score == score and row.epoch == "best" and row.cell.augmented:
                lines.setdefault(row.cell.name, []).append(row)
        bands = [
            by_share(name, line, series=_colour(line[0].cell, outcome), dashed=line[0].cell.frozen)
            for name, line in lines.items()
        ]
        draw = partial(plot_bands, bands, title=NAMES[score], x_label="share of the labels", shares=True)
        plots.append(Plot.draw(f"{NAMES[score]} by share", draw))
    return plots


def view_plots(outcome: Outcome) -> list[Plot]:
    """Draw training and validation loss with and without augmentation; nothing where both were not trained."""
    plain = next((cell for cell in outcome if not cell.augmented), None)
    if plain is None:
        return []
    with_views = next(
        cell
        for cell in outcome
        if cell.augmented and (cell.share, cell.encoder, cell.frozen) == (plain.share, plain.encoder, plain.frozen)
    )
    bands = [
        by_epoch(f"{words}, {name}", _curves(outcome[cell]), quantity, series=series, dashed=quantity == "train_loss")
        for series, (cell, words) in enumerate(((with_views, "augmented"), (plain, "not augmented")))
        for quantity, name in (("loss", "held out"), ("train_loss", "training"))
    ]
    return [_plot("Loss with and without augmentation", bands)]


def show_segments(chosen: CompareInk, outcome: Outcome) -> list[SegmentView]:
    """Show the maps of the first seed's runs over the same places, share by share.

    Raises
    ------
    VolumenError
        Segment or map cannot be read.
    """
    count = len(next(iter(outcome.values()))[0].record.segments)
    return [_show_segment(chosen, outcome, index) for index in range(count)]


def _show_segment(chosen: CompareInk, outcome: Outcome, index: int) -> SegmentView:
    shares = list(dict.fromkeys(cell.share for cell in outcome))
    exhibits = {
        share: [_exhibit(cell.name, outcome[cell][0], index) for cell in _of_share(outcome, share)] for share in shares
    }
    first = exhibits[shares[-1]][0]
    held_out = held_out_pixels(chosen.held_out_region, first.segment, first.ink_map)
    views = []
    for place in choose_places(first.segment, first.ink_map, held_out, count=chosen.places):
        (y0, y1), (x0, x1) = place.window.y, place.window.x
        for share in shares:
            rows = draw_place(exhibits[share], place)
            views.append(
                PlaceView(
                    title=f"{place.reason}, {share_name(share).lower()}",
                    where=f"y {y0}–{y1}, x {x0}–{x1}",
                    columns=max(map(len, rows)),
                    held_out=place.held_out,
                    panels=[panel for row in rows for panel in row],
                )
            )
    depth, height, width = first.segment.shape
    facts = f"{height} × {width} px, {depth} layers of {first.segment.dtype}"
    return SegmentView(name=first.segment.name, facts=facts, tinted=False, overviews=(), places=views)


def _exhibit(name: str, run: RunScores, index: int) -> Exhibit:
    labels = run.record.labels(index)
    (segment,) = open_all((run.record.segments[index],), LabelPaths(**labels))
    path = str(map_path(run.record, segment.name))
    return Exhibit(
        name=name,
        path=path,
        run=run.record,
        ink_map=InkMap.open(path).on(segment),
        segment=segment,
        labels=labels,
        scores={"threshold": run.threshold},
    )


def _plot(title: str, bands: Sequence[Band]) -> Plot:
    return Plot.draw(title, partial(plot_bands, bands, title=title))


def _of_share(outcome: Iterable[Cell], share: float) -> list[Cell]:
    return [cell for cell in outcome if cell.share == share and cell.augmented]


def _colour(cell: Cell, outcome: Iterable[Cell]) -> int:
    return colour_of(cell.encoder, (other.encoder for other in outcome))


def _curves(runs: Iterable[RunScores]) -> list[Curves]:
    return [run.record.curves for run in runs]
