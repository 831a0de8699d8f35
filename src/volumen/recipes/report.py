"""Report: runs and their ink maps in, one self-contained page out, with its tables and figures beside it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from volumen.errors import VolumenError
from volumen.evaluation.figures import plot_curves, plot_levels, plot_reliability, plot_threshold
from volumen.events import Finished, Saved, Started, Stepped, Warned, relay
from volumen.recipes.reporting import line_runs, photo_runs, pretraining, story
from volumen.recipes.reporting.courses import courses, loss_courses
from volumen.recipes.reporting.exhibit import Gallery, open_gallery, score
from volumen.recipes.reporting.page import MapView, Page, PlaceView, Plot, SegmentView
from volumen.recipes.reporting.panels import draw_overviews, draw_place, reads_alike
from volumen.recipes.reporting.places import choose_places
from volumen.recipes.reporting.run_record import read_runs
from volumen.recipes.reporting.tables import (
    SCORE_NAMES,
    curves_csv,
    scope_tables,
    scores_csv,
    setting_rows,
    settings_csv,
)
from volumen.recipes.scopes import held_out_pixels
from volumen.whole_files import write_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from volumen import settings as choose
    from volumen.events import Event
    from volumen.recipes.reporting.exhibit import Exhibit
    from volumen.recipes.reporting.run_record import RunRecord
    from volumen.recipes.scopes import Where

_CURVES = ("auc", "average_precision", "f05", "dice", "learning_rate")


def report(settings: choose.Report) -> Iterator[Event]:
    """Write ``report.html``: scores, pictures, curves, settings and provenance of one run or several.

    Runs of `finetune` are shown by their ink maps, runs of `pretrain_spark` by what they reconstruct, runs over text
    lines by what they read, runs over photographs by what they find in them or say of them. A run may be unfinished and
    its data may be gone: the page shows what is there and says what is not. Maps without scores are scored first, as
    `evaluate` does.

    Parameters
    ----------
    settings
        Which runs and maps, and where the page goes.

    Yields
    ------
    Event
        The last is `Finished` with ``path`` of the page, ``runs`` and ``maps`` (how many), and ``auc`` by map.

    Raises
    ------
    SourceNotFoundError, SourceError
        A folder is no run, or its recipe is damaged.
    OutOfSpaceError
        The disk is full.

    Examples
    --------
    >>> from volumen import settings
    >>> chosen = settings.Report(runs=("runs/first", "runs/second"), out="report")
    >>> page = result(report(chosen))["path"]  # doctest: +SKIP
    """
    out = Path(settings.out)
    runs = read_runs(settings.runs)
    trained, *_ = _by_kind(runs)
    gallery = Gallery(exhibits=(), notes=())
    if trained or settings.predictions:
        gallery = open_gallery(trained or runs, settings.predictions)
    notes, exhibits = list(gallery.notes), []
    for exhibit in gallery.exhibits:
        told = yield from relay(score(exhibit, out / "scores"))
        exhibits.append(replace(exhibit, scores=told["scores"]))
    notes += story.remarks(exhibits)
    groups = _group(exhibits)
    yield Started(work="report", total=len(groups) + 1, unit="parts")
    segments = []
    for done, group in enumerate(groups, start=1):
        try:
            segments.append(_show_segment(group, settings.places))
        except VolumenError as error:
            notes.append(f"The pictures of {group[0].segment.name} could not be drawn. {error}")
        yield Stepped(done=done, total=len(groups) + 1)
    for note in gallery.notes:
        yield Warned(message=note)
    page = _compose(runs, exhibits, segments, list(dict.fromkeys(notes)))
    write_all(out, _files(page, runs, exhibits))
    yield Stepped(done=len(groups) + 1, total=len(groups) + 1)
    path = str(out / "report.html")
    yield Saved(path=path, what="report")
    aucs = {exhibit.name: exhibit.scores["auc"] for exhibit in exhibits if exhibit.scores}
    yield Finished(result={"path": path, "runs": len(runs), "maps": len(exhibits), "auc": aucs})


def _by_kind(
    runs: Sequence[RunRecord],
) -> tuple[list[RunRecord], list[RunRecord], list[RunRecord], list[RunRecord]]:
    """Part runs into those that learned from ink, those pretrained for it, those over text lines, over photographs."""
    kinds = [
        [run for run in runs if run.verb in verbs] for verbs in (pretraining.VERBS, line_runs.VERBS, photo_runs.VERBS)
    ]
    pretrained, over_lines, over_photos = kinds
    trained = [run for run in runs if not any(run in kind for kind in kinds)]
    return trained, pretrained, over_lines, over_photos


def _compose(
    runs: Sequence[RunRecord], exhibits: Sequence[Exhibit], segments: Sequence[SegmentView], notes: Sequence[str]
) -> Page:
    """Gather all that the page says."""
    trained, pretrained, over_lines, over_photos = _by_kind(runs)
    return Page(
        subject=story.subject(runs),
        title=story.title(runs),
        lead=story.lead(runs),
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC by volumen {version('volumen')}",
        runs=runs,
        headlines=story.headlines(exhibits)
        or pretraining.headlines(pretrained)
        or line_runs.headlines(over_lines)
        or photo_runs.headlines(over_photos),
        tables=scope_tables(exhibits),
        pretraining=[pretraining.show(run) for run in (*pretrained, *(run for run in over_photos if run.sheets))],
        readings=[view for run in over_lines if (view := line_runs.show(run)) is not None],
        photographs=[seen for run in over_photos if (seen := photo_runs.show(run)) is not None],
        segments=segments,
        curves=[
            *_draw_curves(trained),
            *pretraining.draw_curves(pretrained),
            *line_runs.draw_curves(over_lines),
            *photo_runs.draw_curves(over_photos),
        ],
        training=story.training(runs),
        maps=[_show_map(exhibit) for exhibit in exhibits if exhibit.scores],
        settings=setting_rows(runs),
        provenance=story.provenance(runs, exhibits),
        warnings=[(run.name, message) for run in runs for message in run.warnings],
        notes=notes,
    )


def _group(exhibits: Sequence[Exhibit]) -> list[list[Exhibit]]:
    """Gather the maps of one segment, so that its places are shown once."""
    groups: list[list[Exhibit]] = []
    for exhibit in exhibits:
        home = next((group for group in groups if reads_alike(group[0].segment, exhibit.segment)), None)
        if home is None:
            groups.append([exhibit])
        else:
            home.append(exhibit)
    return groups


def _show_segment(group: Sequence[Exhibit], count: int) -> SegmentView:
    """Choose the places by the first map of a segment, and draw them for all."""
    first = group[0]
    depth, height, width = first.segment.shape
    edge = f", voxels of {first.segment.voxel_um:g} µm" if first.segment.voxel_um else ""
    held_out = _held_out(first)
    places = choose_places(first.segment, first.ink_map, held_out, count=count)
    views = []
    for place in places:
        y, x = place.window.y, place.window.x
        rows = draw_place(group, place)
        views.append(
            PlaceView(
                title=place.reason,
                where=f"y {y[0]}–{y[1]}, x {x[0]}–{x[1]}",
                columns=max(map(len, rows)),
                held_out=place.held_out,
                panels=[panel for row in rows for panel in row],
            )
        )
    return SegmentView(
        name=first.segment.name,
        facts=f"{height} × {width} px, {depth} layers of {first.segment.dtype}{edge}",
        tinted=held_out is not None,
        overviews=draw_overviews(group, places, held_out),
        places=views,
    )


def _held_out(exhibit: Exhibit) -> Where | None:
    try:
        return held_out_pixels(exhibit.region, exhibit.segment, exhibit.ink_map)
    except VolumenError:
        return None  # a region where nothing was predicted: there is nothing of it to show


def _draw_curves(runs: Sequence[RunRecord]) -> list[Plot]:
    """Draw the loss, then each score, a line for every run that has it."""
    losses = loss_courses(runs)
    plots = [Plot.draw("Loss", partial(plot_curves, losses, title="Loss"))] if losses else []
    for quantity in _CURVES:
        lines = courses(runs, quantity, mark_best=quantity != "learning_rate")
        if lines:
            name = SCORE_NAMES[quantity]
            title = name if quantity == "learning_rate" else f"{name}, held out"
            plots.append(Plot.draw(name, partial(plot_curves, lines, title=title)))
    return plots


def _show_map(exhibit: Exhibit) -> MapView:
    """Draw the threshold, the spread of probabilities and their reliability, on the pixels that chose the threshold."""
    scope = (exhibit.scores or {}).get("threshold_from", "whole_mask")
    counts = exhibit.counts(scope)
    plots = []
    if counts is not None:
        marked = {"Scores by threshold": plot_threshold, "Ink and background": plot_levels}
        plots = [
            Plot.draw(f"{title} {exhibit.name}", partial(draw, counts, threshold=exhibit.threshold, title=title))
            for title, draw in marked.items()
        ]
        plots.append(Plot.draw(f"Reliability {exhibit.name}", partial(plot_reliability, counts, title="Reliability")))
    return MapView(name=exhibit.name, sentence=story.threshold(exhibit, scope), plots=plots)


def _files(page: Page, runs: Sequence[RunRecord], exhibits: Sequence[Exhibit]) -> dict[str, str | bytes]:
    """Return all that is written, the page last."""
    scores: dict[str, Any] = {
        exhibit.name: {key: value for key, value in exhibit.scores.items() if key != "histograms"}
        for exhibit in exhibits
        if exhibit.scores
    }
    return {
        "scores.csv": scores_csv(exhibits),
        "scores.json": json.dumps(scores, indent=1) + "\n",
        "curves.csv": curves_csv(runs),
        "settings.csv": settings_csv(runs),
        **{f"figures/{name}": png for name, png in page.figures().items()},
        "report.html": page.render(),
    }
