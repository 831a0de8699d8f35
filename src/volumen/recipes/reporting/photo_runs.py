"""Photo runs: what a report shows of runs over photographs: what was found in them, or said of them, with pictures."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from volumen.evaluation.figures import plot_curves
from volumen.evaluation.photo_overlap import NAMES
from volumen.recipes.reporting.courses import courses, loss_courses, shared_levels
from volumen.recipes.reporting.page import Headline, Plot
from volumen.recipes.reporting.photo_view import number_cell
from volumen.recipes.reporting.segmenter_view import show_segmenter
from volumen.recipes.reporting.tagger_view import GUESSES, ONE_TAG, TAG_SCORES, show_tagger
from volumen.settings.photos import PhotoTraining
from volumen.settings.verbs import VERBS as SETTINGS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from volumen.recipes.reporting.photo_view import PhotoRunView
    from volumen.recipes.reporting.run_record import RunRecord

VERBS = tuple(verb for verb, kind in SETTINGS.items() if issubclass(kind, PhotoTraining))
"""Verbs whose runs are told of here."""

_PRETEXTS = {"accuracy": "Turns told right", "overlap": "Overlap of neighbours' tags", "loss": "Loss"}
"""What is told at the top of a pretraining, the first of these that it has, and its loss."""

_PLOTS = {
    **{name: f"{title}, held out" for name, title in NAMES.items() if name in ("iou_hard_pooled", "iou_soft_image")},
    **{name: f"{title}, held out" for name, title in TAG_SCORES.items() if name in ("f1", "micro_f1")},
    "accuracy": "Accuracy, held out",
    "overlap": "Overlap of neighbours' tags, held out",
    "uniformity": "Uniformity of embeddings, 0 is collapse",
    "effective_rank": "Effective rank of features, 1 is collapse",
    "learning_rate": "Learning rate",
}


def lead(run: RunRecord) -> str:
    """Say in a sentence or two what was run."""
    chosen, counts = run.settings, run.recipe.get("photos") or {}
    what = {"train segmenter": f"A {chosen.get('model')}", "train tagger": "A tagger"}.get(run.verb, "An encoder")
    start = "weights from a file" if chosen.get("encoder") else "random weights"
    frozen = ", its encoder frozen" if chosen.get("freeze") else ""
    trained = f"learned for {run.epochs} epoch{'s' * (run.epochs != 1)}" if run.epochs else "has not finished an epoch"
    by = f" by {chosen['loss']}" if chosen.get("loss") else f" by {chosen['task']}" if chosen.get("task") else ""
    best = f"; epoch {run.best_epoch} was best" if run.best_epoch else ""
    state = "" if run.result is not None else " The run has not finished."
    where = f"on {counts.get('train', 'some')} photographs, {counts.get('held_out', 'some')} others being held out"
    return f"{what}, started from {start}{frozen}, {trained}{by} {where}{best}.{state}"


def headlines(runs: Sequence[RunRecord]) -> list[Headline]:
    """Choose the numbers at the top: of the first run that has scores, and what guessing would score."""
    for run in runs:
        scores, guesses = _mapping(run, "scores"), _mapping(run, "guesses")
        chosen: list[str] = [name for name in ("iou_hard_pooled", "iou_soft_image") if name in scores]
        if guesses:
            chosen = [str((run.result or {}).get("score"))]
        names = {**NAMES, **(ONE_TAG if len(run.recipe.get("tags") or ()) == 1 else TAG_SCORES)}
        note = "held out" + (f", {run.name}" if len(runs) > 1 else "")
        told = [
            Headline(label=names.get(name, name), cell=number_cell(scores[name]), note=note)
            for name in chosen
            if name in scores
        ]
        told += [
            Headline(label=words.capitalize(), cell=number_cell(guesses[name]), note="the same score, by guessing")
            for name, words in GUESSES.items()
            if name in guesses
        ]
        if told:
            return told
    for run in runs[:1]:
        scores = _mapping(run, "scores")
        chosen = [name for name in _PRETEXTS if name in scores]
        return [
            Headline(
                label=_PRETEXTS[name],
                cell=number_cell(scores[name]),
                note=f"held out, {run.name}"
                + (f"; guessing gets {scores['guessing']:.2f}" if name == "accuracy" and "guessing" in scores else ""),
            )
            for name in dict.fromkeys((*chosen[:1], *chosen[-1:]))
        ]
    return []


def show(run: RunRecord) -> PhotoRunView | None:
    """Gather what a run made of its held-out photographs; None where it has said nothing of them yet."""
    if (run.path / "overlaps.csv").exists():
        return show_segmenter(run)
    if (run.path / "tags.csv").exists():
        return show_tagger(run)
    return None


def draw_curves(runs: Sequence[RunRecord]) -> list[Plot]:
    """Draw the loss, then each other quantity that was told, a line for every run."""
    losses = loss_courses(runs)
    plots = [Plot.draw("Loss of photographs", partial(plot_curves, losses, title="Loss"))] if losses else []
    for quantity, title in _PLOTS.items():
        lines = courses(runs, quantity, mark_best=quantity != "learning_rate")
        if lines:
            levels = shared_levels(runs, {"guessing": "guessing"}) if quantity == "accuracy" else []
            plots.append(Plot.draw(title, partial(plot_curves, lines, title=title, levels=levels)))
    return plots


def _mapping(run: RunRecord, name: str) -> dict[str, Any]:
    found = (run.result or {}).get(name)
    return found if isinstance(found, dict) else {}
