"""Line runs: what a report shows of runs over text lines, pretrained by a pretext task or taught to read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from volumen.crops.line_dataset import LineDataset
from volumen.crops.line_images import LineForm
from volumen.errors import VolumenError
from volumen.evaluation import pictures
from volumen.evaluation.figures import plot_curves
from volumen.evaluation.text import line_edits
from volumen.recipes.reading.line_corpus import joined_lines
from volumen.recipes.reading.readings import read_readings
from volumen.recipes.reporting.courses import courses, loss_courses, shared_levels
from volumen.recipes.reporting.page import Headline, Plot
from volumen.recipes.reporting.tables import Cell
from volumen.settings.lines import LineTraining
from volumen.settings.verbs import VERBS as SETTINGS
from volumen.sources.lines.read_lines import read_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from volumen.recipes.reading.readings import ReadLine
    from volumen.recipes.reporting.run_record import RunRecord
    from volumen.sources.lines.line import Line

VERBS = tuple(verb for verb, kind in SETTINGS.items() if issubclass(kind, LineTraining))
"""Verbs whose runs are told of here."""

NAMES = {
    "cer": "CER",
    "cer_mean": "CER, mean of lines",
    "wer": "WER",
    "word_accuracy": "Read exactly",
    "within_one": "Within one edit",
}
"""Scores of readings, in words; the first three are better when lower."""

_PLOTS = {
    "cer": "Character error rate, held out",
    "word_accuracy": "Share of lines read exactly, held out",
    "accuracy": "Share of puzzles solved, held out",
    "exact_order": "Share of lines put in order, held out",
    "matched": "Instances matched to their own, held out",
    "alignment": "Distance of partners, 0 to 4",
    "uniformity": "Uniformity, 0 is collapse",
    "effective_rank": "Effective rank of the instances",
    "learning_rate": "Learning rate",
}
_GUESSED = ("accuracy", "matched")
_FROM_ZERO = ("cer", "word_accuracy", "accuracy", "matched", "effective_rank")
_EXAMPLES = 8  # of each kind
_FEW_GROUPS = 20


@dataclass(frozen=True, kw_only=True)
class Example:
    """A line, its picture as PNG, what is written there and what was read."""

    image: bytes
    text: str
    read: str
    right: bool


@dataclass(frozen=True, kw_only=True)
class ReadingView:
    """What a reader made of its test lines: scores, and examples right and wrong."""

    name: str
    lead: str
    scores: Sequence[tuple[str, Cell]]
    examples: Sequence[Example]


def lead(run: RunRecord) -> str:
    """Say in a sentence or two what was run."""
    chosen, counts = run.settings, run.recipe.get("lines") or {}
    start = "weights from a file" if chosen.get("encoder") else "random weights"
    rounds = f"learned for {run.epochs} round{'s' * (run.epochs != 1)}" if run.epochs else "has not finished a round"
    best = f"; round {run.best_epoch} was best" if run.best_epoch else ""
    state = "" if run.result is not None else " The run has not finished."
    if run.verb != "train reader":
        task, count = run.verb.removeprefix("pretrain "), counts.get("train", "some")
        where = f"on {count} lines without transcripts"
        return f"A recogniser, started from {start}, {rounds} by {task}, {where}{best}.{state}"
    frozen = ", the recogniser frozen" if chosen.get("freeze") else ""
    count = run.recipe.get("learned_from", "some")
    where = f"on {count} transcribed lines, parted {run.recipe.get('split_by', 'somehow')}"
    return (
        f"A reader with a {chosen.get('decoder')} decoder, started from {start}{frozen}, {rounds} {where}{best}.{state}"
    )


def headlines(runs: Sequence[RunRecord]) -> list[Headline]:
    """Choose the numbers at the top: of the reader with the lowest CER, else of the first pretraining."""
    tested = [run for run in runs if _test(run)]
    if tested:
        run = min(tested, key=lambda each: _test(each)["cer"])
        which = "held-out lines, which chose the weights" if run.recipe.get("test_is_held_out") else "test lines"
        of = f" of {run.name}" if len(tested) > 1 else ""
        return [Headline(label=label, cell=_cell(_test(run), name), note=which + of) for name, label in NAMES.items()]
    told = []
    for run in runs[:1]:
        for name in ("loss", "accuracy", "matched", "effective_rank", "mean_error"):
            value = run.value(name, run.best_epoch)
            if value is not None:
                label = {"loss": "Loss", "mean_error": "Loss of the mean grey"}.get(name) or _PLOTS[name]
                label = label.removesuffix(", held out")
                guessing = run.value("guessing", run.best_epoch) if name in _GUESSED else None
                beside = "" if guessing is None else f"; guessing gets {guessing:.3f}"
                note = f"held out, round {run.best_epoch}{beside}"
                told.append(Headline(label=label, cell=Cell(text=f"{value:.3f}"), note=note))
    return told


def show(run: RunRecord) -> ReadingView | None:
    """Gather what a reader made of its test lines; None where it has read none yet."""
    file = run.path / "readings.tsv"
    if not file.exists():
        return None
    lines = read_readings(file)
    edits = line_edits([line.text for line in lines], [line.read for line in lines])
    wrong = [int(index) for index in np.argsort(-edits, kind="stable") if edits[index]]
    middle = wrong[:: max(1, len(wrong) // _EXAMPLES)][:_EXAMPLES]  # from the worst to nearly right
    right = [index for index in range(len(lines)) if not edits[index]]
    right = right[:: max(1, len(right) // _EXAMPLES)][:_EXAMPLES]
    test = _test(run)
    return ReadingView(
        name=run.name,
        lead=f"{int((edits == 0).sum())} of {len(lines)} lines were read exactly.{_few(lines)}",
        scores=[(label, _cell(test, name)) for name, label in NAMES.items()] if test else [],
        examples=list(_examples(run, [lines[index] for index in (*right, *middle)])),
    )


def _few(lines: Sequence[ReadLine]) -> str:
    """Say where too few groups of lines were tested for what other hands may change."""
    groups = len({line.group for line in lines})
    if groups == 1:
        return " They are of one writer or page, so nothing is known of how others would be read: there is no interval."
    return f" They are of {groups} writers or pages only: the intervals are too narrow." if groups < _FEW_GROUPS else ""


def draw_curves(runs: Sequence[RunRecord]) -> list[Plot]:
    """Draw the loss, then each other quantity that was told, a line for every run; an epoch here is a round."""
    losses = loss_courses(runs)
    drawn = partial(plot_curves, x_label="round")
    plots = [Plot.draw("Loss of lines", partial(drawn, losses, title="Loss"))] if losses else []
    for quantity, title in _PLOTS.items():
        lines = courses(runs, quantity, mark_best=quantity != "learning_rate")
        if lines:
            levels = shared_levels(runs, {"guessing": "guessing"}) if quantity in _GUESSED else []
            draw = partial(drawn, lines, title=title, levels=levels, from_zero=quantity in _FROM_ZERO)
            plots.append(Plot.draw(title, draw))
    return plots


def _examples(run: RunRecord, lines: Sequence[ReadLine]) -> Iterator[Example]:
    """Yield lines with their pictures, as far as their images are still there."""
    known = _lines(run)
    form = LineForm(
        height=int(run.settings.get("height", 64)),
        width=run.settings.get("line_width"),
        stretched=run.settings.get("greys") == "stretched",
        rows=run.settings.get("line_rows", 1.0),
    )
    for line in lines:
        image = picture(known.get(line.name), form)
        if image is not None:
            yield Example(image=image, text=line.text, read=line.read, right=line.text == line.read)


def picture(line: Line | None, form: LineForm) -> bytes | None:
    """Return a line as a reader sees it, as PNG; None where its image is gone: a page does without it."""
    if line is None:
        return None
    try:
        sample = LineDataset([line], form=form).sample(0, epoch=0)
    except VolumenError:
        return None
    return pictures.png((sample.image[0] * 255).round().byte().numpy())


def _lines(run: RunRecord) -> dict[str, Line]:
    try:
        lines = joined_lines([read_lines(path) for path in run.settings.get("lines") or ()])
    except VolumenError:
        return {}
    return {line.name: line for line in lines}


def _test(run: RunRecord) -> dict[str, float]:
    test = (run.result or {}).get("test")
    return test if isinstance(test, dict) else {}


def _cell(scores: dict[str, float], name: str) -> Cell:
    low, high = scores.get(f"{name}_low"), scores.get(f"{name}_high")
    interval = f"{low:.3f} to {high:.3f}" if low is not None and high is not None else ""
    value = scores.get(name)
    return Cell(text="–" if value is None else f"{value:.3f}", interval=interval)
