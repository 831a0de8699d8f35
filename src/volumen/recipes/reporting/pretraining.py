"""Pretraining: what a report shows of runs that learned by reconstruction, in words, curves and pictures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from volumen.evaluation.figures import plot_curves
from volumen.recipes.reporting.courses import courses, loss_courses, shared_levels
from volumen.recipes.reporting.page import Headline, Plot
from volumen.recipes.reporting.panels import Panel
from volumen.recipes.reporting.tables import Cell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from volumen.recipes.reporting.run_record import RunRecord

VERBS = ("pretrain spark",)
"""Verbs whose runs are told of here."""

BASELINES = {
    "mean_level": "flat grey",
    "mean_patch": "mean patch",
    "nearest_patch": "nearest patch",
    "inpaint": "smooth inpainting",
}
"""Guesses that learn nothing, by the name of their score, in words."""

_VOXELS = {"probe_auc": "probe_voxels_auc", "probe_average_precision": "probe_voxels_average_precision"}
_PLOTS = {
    "pixel_error": "Error in voxels where hidden, RMS",
    "spread": "Feature spread",
    "effective_rank": "Effective rank of the features",
    "probe_auc": "Probe AUC",
    "probe_average_precision": "Probe average precision",
    "learning_rate": "Learning rate",
    "weight_decay": "Weight decay",
}
_FROM_ZERO = ("pixel_error", "spread", "effective_rank")  # collapse is nearness to 0


@dataclass(frozen=True, kw_only=True)
class PretrainingView:
    """A pretraining run: how it compares with guesses that learn nothing, and its first and newest reconstructions."""

    name: str
    sentences: Sequence[str]
    rows: Sequence[tuple[str, Cell]]
    sheets: Sequence[Panel]


def lead(run: RunRecord) -> str:
    """Say in a sentence or two what was run."""
    chosen, epochs = run.settings, run.epochs
    start = "weights from a file" if chosen.get("encoder") else "random weights"
    hidden = f"the {100 * chosen['masked']:.0f} %" if isinstance(chosen.get("masked"), float) else "the part"
    learned = f"learned for {epochs} epoch{'s' * (epochs != 1)}" if epochs else "has not finished an epoch of learning"
    count = len(run.segments)
    where = f", on {count} segment{'s' * (count != 1)} without labels" if count else ""
    best = f"; epoch {run.best_epoch} was best" if run.best_epoch else ""
    state = "" if run.result is not None else " The run has not finished."
    return (
        f"A {chosen.get('encoder_name', 'model')} encoder, started from {start}, {learned} to reconstruct {hidden} of "
        f"each crop that was hidden from it{where}{best}.{state}"
    )


def headlines(runs: Sequence[RunRecord]) -> list[Headline]:
    """Choose the numbers at the top: of the run with the lowest held-out loss."""
    scored = [run for run in runs if run.value("loss", run.best_epoch) is not None]
    if not scored:
        return []
    run = min(scored, key=lambda each: each.value("loss", each.best_epoch) or 0.0)
    of = f" of {run.name}" if len(scored) > 1 else ""
    at = f"held out, at epoch {run.best_epoch or run.epochs}{of}"
    told = [("Reconstruction loss", run.value("loss", run.best_epoch), at)]
    guess = _best_guess(run)
    if guess is not None:
        told.append(("Best guess", guess[1], f"loss of {guess[0]}, which learns nothing"))
    rank = run.value("effective_rank")
    ranks = "" if rank is None else f"; effective rank {rank:.1f}"
    told.append(("Feature spread", run.value("spread"), f"at the last epoch, 0 would be collapse{ranks}"))
    bare = run.value("probe_voxels_auc")
    beside = "" if bare is None else f"; {bare:.3f} on bare voxels"
    told.append(("Probe AUC", run.value("probe_auc"), f"linear, frozen encoder, last time{beside}"))
    return [Headline(label=label, cell=_cell(value), note=note) for label, value, note in told if value is not None]


def show(run: RunRecord) -> PretrainingView:
    """Gather what is shown of a run: its losses beside those of guesses, and its first and newest pictures."""
    told = [("this model", run.value("loss", run.best_epoch))]
    told += [(words, run.value(name, run.best_epoch)) for name, words in BASELINES.items()]
    known = [(words, value) for words, value in told if value is not None]
    least = min((value for _, value in known), default=None)
    sheets = [
        Panel(title=f"epoch {int(sheet.stem.removeprefix('epoch_'))}, the {which}", image=sheet.read_bytes())
        for which, sheet in zip(("first", "newest"), run.sheets[:1] + run.sheets[1:][-1:], strict=False)
    ]
    rows = [(words, _cell(value, best=value == least and len(known) > 1)) for words, value in known]
    return PretrainingView(name=run.name, sentences=_sentences(run), rows=rows, sheets=sheets)


def draw_curves(runs: Sequence[RunRecord]) -> list[Plot]:
    """Draw the loss with the levels of guesses that learn nothing, then each other quantity, a line for every run."""
    losses = loss_courses(runs)
    plots = []
    if losses:
        draw = partial(plot_curves, losses, title="Reconstruction loss", levels=shared_levels(runs, BASELINES))
        plots.append(Plot.draw("Reconstruction loss", draw))
    for quantity, title in _PLOTS.items():
        voxels = {_VOXELS[quantity]: "bare voxels"} if quantity in _VOXELS else {}
        lines = courses(runs, quantity, name="encoder" if voxels and len(runs) == 1 else None)
        if lines:
            levels, from_zero = shared_levels(runs, voxels), quantity in _FROM_ZERO
            draw = partial(plot_curves, lines, title=title, levels=levels, from_zero=from_zero)
            plots.append(Plot.draw(f"Pretraining {title}", draw))
    return plots


def _best_guess(run: RunRecord) -> tuple[str, float] | None:
    """Return the guess with the lowest loss, in words, and its loss."""
    told = ((words, run.value(name, run.best_epoch)) for name, words in BASELINES.items())
    return min(((words, value) for words, value in told if value is not None), key=lambda guess: guess[1], default=None)


def _sentences(run: RunRecord) -> list[str]:
    loss, guess = run.value("loss", run.best_epoch), _best_guess(run)
    said = []
    if loss is not None and guess is not None:
        words, level = guess
        share = f"{100 * abs(1 - loss / level):.0f} %" if level else "some"
        said.append(
            f"On held-out crops its loss is {share} below that of the best guess that learns nothing, {words}."
            if loss < level
            else f"On held-out crops it does not reconstruct better than {words}, which learns nothing: its loss is "
            f"{share} above. It has learned too little yet."
        )
    error = run.value("pixel_error", run.best_epoch)
    if error is not None:
        given = "" if run.settings.get("targets") == "pixels" else ", given each patch's own mean and contrast"
        said.append(f"In voxels it is off by {error:.3f} (root mean square where hidden, of a range of 1){given}.")
    auc, bare = run.value("probe_auc"), run.value("probe_voxels_auc")
    if auc is not None and bare is not None:
        more = "more" if auc > bare else "no more"
        said.append(
            f"A linear probe reads {more} ink from the frozen encoder than from bare voxels: AUC {auc:.3f} against "
            f"{bare:.3f}."
        )
    return said


def _cell(value: float, *, best: bool = False) -> Cell:
    return Cell(text=f"{value:.3f}", best=best)
