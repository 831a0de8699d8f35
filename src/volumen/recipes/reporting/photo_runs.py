"""Photo runs: what a report shows of runs over photographs: what was found in them, or said of them, with pictures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from volumen.crops.photo_dataset import PhotoDataset
from volumen.crops.select import spread
from volumen.errors import VolumenError
from volumen.evaluation.figures import plot_curves
from volumen.evaluation.intervals import percentile_interval
from volumen.evaluation.photo_overlap import NAMES
from volumen.recipes.photos.maps import FOLDER, map_name
from volumen.recipes.photos.overlaps import read_overlaps
from volumen.recipes.photos.photo_corpus import PhotoCorpus
from volumen.recipes.photos.said_tags import read_said
from volumen.recipes.reporting.courses import courses, loss_courses
from volumen.recipes.reporting.page import Headline, Plot
from volumen.recipes.reporting.photo_panels import map_panel, photo_panel, truth_panel, veil_panel
from volumen.recipes.reporting.tables import Cell
from volumen.settings import TrainSegmenter
from volumen.settings.photos import PhotoTraining
from volumen.settings.verbs import VERBS as SETTINGS
from volumen.sources.photos import read_photos

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from volumen.recipes.photos.said_tags import SaidTags
    from volumen.recipes.reporting.panels import Panel
    from volumen.recipes.reporting.run_record import RunRecord
    from volumen.sources.photo import Photo

VERBS = tuple(verb.replace(" ", "_") for verb, kind in SETTINGS.items() if issubclass(kind, PhotoTraining))
"""Verbs whose runs are told of here."""

_TAGS = {
    "f1": "F1, example by example",
    "precision": "Precision, example by example",
    "recall": "Recall, example by example",
    "accuracy": "Accuracy, example by example",
    "micro_f1": "F1 of all tags together",
    "macro_f1": "F1, mean of tags",
    "exact": "Share told exactly",
}
_GUESSES = {"always": "always said", "never": "never said", "frequent": "most frequent tags said"}
_PLOTS = {
    **{name: f"{title}, held out" for name, title in NAMES.items() if name in ("iou_hard_pooled", "iou_soft_image")},
    **{name: f"{title}, held out" for name, title in _TAGS.items() if name in ("f1", "micro_f1", "accuracy")},
    "learning_rate": "Learning rate",
}
_DRAWS = 500
_EXAMPLES = 6


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A photograph: its name, what there is to say of it, and its pictures, all in one row."""

    name: str
    words: str
    panels: Sequence[Panel]


@dataclass(frozen=True, kw_only=True)
class PhotoView:
    """What a run made of its held-out photographs: scores, and examples from good to bad."""

    name: str
    lead: str
    scores: Sequence[tuple[str, Cell]]
    examples: Sequence[Shown]
    columns: int


def lead(run: RunRecord) -> str:
    """Say in a sentence or two what was run."""
    chosen, counts = run.settings, run.recipe.get("photos") or {}
    what = {"train_segmenter": f"A {chosen.get('model')}", "train_tagger": "A tagger"}.get(run.verb, "An encoder")
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
        names = [name for name in (*NAMES, *_TAGS) if name in scores]
        if not names:
            continue
        chosen = ["iou_hard_pooled", "iou_soft_image"] if "iou_hard_pooled" in names else names[:1]
        chosen = [str((run.result or {}).get("score"))] if guesses else chosen
        note = "held out" + (f", {run.name}" if len(runs) > 1 else "")
        told = [Headline(label=_label(name), cell=_cell(scores.get(name)), note=note) for name in chosen]
        told += [
            Headline(label=words.capitalize(), cell=_cell(guesses[name]), note="the same score, by guessing")
            for name, words in _GUESSES.items()
            if name in guesses
        ]
        return told
    return []


def show(run: RunRecord) -> PhotoView | None:
    """Gather what a run made of its held-out photographs; None where it has said nothing of them yet."""
    if (run.path / "overlaps.csv").exists():
        return _segmented(run)
    if (run.path / "tags.csv").exists():
        return _tagged(run)
    return None


def draw_curves(runs: Sequence[RunRecord]) -> list[Plot]:
    """Draw the loss, then each other quantity that was told, a line for every run."""
    losses = loss_courses(runs)
    plots = [Plot.draw("Loss of photographs", partial(plot_curves, losses, title="Loss"))] if losses else []
    for quantity, title in _PLOTS.items():
        lines = courses(runs, quantity, mark_best=quantity != "learning_rate")
        if lines:
            plots.append(Plot.draw(title, partial(plot_curves, lines, title=title)))
    return plots


def _segmented(run: RunRecord) -> PhotoView:
    names, overlap = read_overlaps(run.path / "overlaps.csv")
    batch = int(run.settings.get("batch", 8))
    drawn = overlap.draws(batch=batch, draws=_DRAWS)
    scores = [
        (NAMES[name], _cell(score, percentile_interval(drawn[name])))
        for name, score in overlap.scores(batch=batch).items()
    ]
    without = f" {overlap.empty} hold nothing to find." if overlap.empty else ""
    examples = list(_maps(run, dict(zip(names, overlap.each().tolist(), strict=True))))
    lead = f"{len(names)} photographs were scored.{without} Regions to ignore count nowhere."
    return PhotoView(name=run.name, lead=lead, scores=scores, examples=examples, columns=4)


def _maps(run: RunRecord, overlaps: Mapping[str, float]) -> Iterator[Shown]:
    """Yield the photographs of which the run kept maps, as far as they are still there, from the best to the worst."""
    try:
        chosen = TrainSegmenter.model_validate(run.settings)
        part = PhotoCorpus.annotated(chosen).split.held_out
    except (VolumenError, ValueError):
        return
    photos = PhotoDataset(part, size=chosen.size, fit=chosen.fit, background=chosen.background)
    kept = [
        (index, photo.name)
        for index, photo in enumerate(photos.photos)
        if (run.path / FOLDER / map_name(index, photo.name)).exists() and photo.name in overlaps
    ]
    for index, name in sorted(kept, key=lambda each: -np.nan_to_num(overlaps[each[1]], nan=-1.0)):
        try:
            decoded = photos.decoded(index)
        except VolumenError:
            continue
        with Image.open(run.path / FOLDER / map_name(index, name)) as picture:
            soft = np.asarray(picture) / np.float32(255)
        if soft.shape != decoded.pixels.shape[:2]:
            continue
        found = overlaps[name]
        yield Shown(
            name=name,
            words=f"IoU {found:.2f}" if np.isfinite(found) else "nothing to find",
            panels=[
                photo_panel("photograph", decoded.pixels),
                truth_panel(decoded.flats[0], decoded.flats[1]),
                map_panel("soft map", soft),
                veil_panel("overlay", decoded.pixels, soft),
            ],
        )


def _tagged(run: RunRecord) -> PhotoView:
    said = read_said(run.path / "tags.csv")
    scores, guesses = _mapping(run, "scores"), _mapping(run, "guesses")
    cells = [(title, _cell(scores[name])) for name, title in _TAGS.items() if name in scores]
    cells += [(f"{words.capitalize()}", _cell(guesses[name])) for name, words in _GUESSES.items() if name in guesses]
    right = int((said.said == said.truth).all(axis=1).sum())
    score = f" The guesses are scored by: {_label(str((run.result or {}).get('score')))}." if guesses else ""
    return PhotoView(
        name=run.name,
        lead=f"Of {len(said.names)} photographs, {right} were told exactly.{score}",
        scores=cells,
        examples=list(_sightings(run, said)),
        columns=1,
    )


def _sightings(run: RunRecord, said: SaidTags) -> Iterator[Shown]:
    """Yield photographs with what was said of them; characters that were to be said are outlined."""
    known = _photos(run)
    for index in choose(said):
        photo = known.get(said.names[index])
        if photo is None:
            continue
        written = photo.polygons.characters if photo.polygons is not None else ()
        try:
            panel = photo_panel("", photo.pixels(), [each.polygon for each in written if each.text in said.tags])
        except VolumenError:
            continue
        yield Shown(name=photo.name, words=_told(said, index), panels=[panel])


def choose(said: SaidTags) -> list[int]:
    """Choose photographs to show: of one tag some that were told right and wrong, there and not; else good to bad.

    Examples
    --------
    >>> from volumen.recipes.photos.said_tags import SaidTags
    >>> yes, no = [True], [False]
    >>> found = np.array([[0.9], [0.8], [0.2], [0.1], [0.7]])
    >>> choose(SaidTags(names=tuple("abcde"), tags=("x",), probabilities=found, truth=np.array([yes, no, yes, no, yes]),
    ...                 said=found >= 0.5))
    [0, 4, 2, 1, 3]
    """
    if len(said.tags) > 1:
        both = (said.truth & said.said).sum(axis=1)
        either = np.maximum(1, said.truth.sum(axis=1) + said.said.sum(axis=1))
        return list(spread(np.argsort(-both / either, kind="stable").tolist(), _EXAMPLES))
    sure = np.argsort(-abs(said.probabilities[:, 0] - 0.5), kind="stable").tolist()
    kinds = [(True, True), (True, False), (False, True), (False, False)]  # there, said
    found = [
        [index for index in sure if (bool(said.truth[index, 0]), bool(said.said[index, 0])) == kind] for kind in kinds
    ]
    return [index for part in found for index in part[: max(1, _EXAMPLES // 3)]]


def _told(said: SaidTags, index: int) -> str:
    """Say what a photograph has, and what was said of it."""
    if len(said.tags) == 1:
        there, told = ("there" if each[index, 0] else "not there" for each in (said.truth, said.said))
        verdict = "right" if there == told else "wrong"
        return f"{said.tags[0]} is {there}; said: {told} ({said.probabilities[index, 0]:.2f}), {verdict}"
    had, told = (", ".join(np.asarray(said.tags)[each[index]]) or "nothing" for each in (said.truth, said.said))
    return f"has {had}; said: {told}"


def _photos(run: RunRecord) -> dict[str, Photo]:
    try:
        return {photo.name: photo for photo in read_photos(list(run.settings.get("photos") or ())).photos}
    except VolumenError:
        return {}


def _label(name: str) -> str:
    return NAMES.get(name) or _TAGS.get(name) or name


def _mapping(run: RunRecord, name: str) -> dict[str, Any]:
    found = (run.result or {}).get(name)
    return found if isinstance(found, dict) else {}


def _cell(value: float | None, interval: tuple[float, float] | None = None) -> Cell:
    ends = "" if interval is None or not np.isfinite(interval).all() else f"{interval[0]:.3f} to {interval[1]:.3f}"
    return Cell(text="–" if value is None or not np.isfinite(value) else f"{value:.3f}", interval=ends)
