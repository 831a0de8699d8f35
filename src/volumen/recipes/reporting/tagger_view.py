"""What a report shows of a tagger of photographs: scores beside guessing, and photographs told right and wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from volumen.crops.select import spread
from volumen.errors import VolumenError
from volumen.evaluation.intervals import percentile_interval
from volumen.evaluation.labels import micro_f1_draws, score_tags
from volumen.recipes.photos.said_tags import read_said
from volumen.recipes.reporting.photo_panels import photo_panel
from volumen.recipes.reporting.photo_view import PhotoRunView, Shown, number_cell
from volumen.sources.photos.read_photos import read_photos

if TYPE_CHECKING:
    from collections.abc import Iterator

    from volumen.recipes.photos.said_tags import SaidTags
    from volumen.recipes.reporting.run_record import RunRecord
    from volumen.sources.photos.photo import Photo

TAG_SCORES = {
    "f1": "F1, example by example",
    "precision": "Precision, example by example",
    "recall": "Recall, example by example",
    "accuracy": "Accuracy, example by example",
    "micro_f1": "F1 of all tags together",
    "macro_f1": "F1, mean of tags",
    "exact": "Share told exactly",
}
ONE_TAG = {"micro_f1": "F1", "exact": "Accuracy"}
"""What these scores are of a single tag; the others say nothing of it."""

GUESSES = {"always": "guess: always yes", "never": "guess: always no", "frequent": "guess: most frequent tags"}

_DRAWS = 500
_EXAMPLES = 6


def show_tagger(run: RunRecord) -> PhotoRunView:
    """Gather scores beside those of guessing, and photographs told right and wrong."""
    said = read_said(run.path / "tags.csv")
    found = run.result or {}
    scores, guesses = found.get("scores") or {}, found.get("guesses") or {}
    names = TAG_SCORES if len(said.tags) > 1 else ONE_TAG
    cells = [(title, number_cell(scores[name])) for name, title in names.items() if name in scores]
    cells += [(words.capitalize(), number_cell(guesses[name])) for name, words in GUESSES.items() if name in guesses]
    right = int((said.said == said.truth).all(axis=1).sum())
    lead = f"Of {len(said.names)} photographs, {right} were told exactly."
    if guesses:
        lead += f" Guesses are scored by: {names.get(str(found.get('score')), 'the same')}."
    return PhotoRunView(
        name=run.name,
        lead=f"{lead} {_above_guessing(said)}",
        scores=cells,
        examples=list(_sightings(run, said)),
        columns=1,
    )


def _above_guessing(said: SaidTags) -> str:
    """Say how much better it is than saying every tag of every photograph, and what other photographs may change."""
    always = np.ones_like(said.truth)
    better = [score_tags(each, said.truth)["micro_f1"] for each in (said.said, always)]
    ours, theirs = (micro_f1_draws(each, said.truth, draws=_DRAWS) for each in (said.said, always))
    low, high = percentile_interval(ours - theirs)
    if not np.isfinite([*better, low, high]).all():
        return "Nothing is there to be told."
    return (
        f"The F1 of all tags together, less that of saying them of every photograph, is {better[0] - better[1]:+.3f} "
        f"(95 %: {low:+.3f} to {high:+.3f}, photographs drawn again and again)."
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
