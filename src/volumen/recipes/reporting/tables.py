"""Tables of a report: scores with intervals, training curves, settings; for the page and as CSV."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

from volumen.evaluation.masks import LOWER_IS_BETTER
from volumen.recipes.evaluate import SCOPES, SCORES
from volumen.settings.verbs import VERBS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from volumen.recipes.reporting.exhibit import Exhibit
    from volumen.recipes.reporting.run_record import RunRecord
    from volumen.settings.base import Settings

SCORE_NAMES = {
    "auc": "AUC",
    "average_precision": "Average precision",
    "f05": "F0.5",
    "dice": "Dice",
    "iou": "IoU",
    "balanced_accuracy": "Balanced accuracy",
    "precision": "Precision",
    "recall": "Recall",
    "bce": "Cross-entropy",
    "ece": "Calibration error",
    "loss": "Loss",
    "learning_rate": "Learning rate",
}
SCOPE_NAMES = {"held_out": "Held-out pixels", "whole_mask": "Whole mask", "ink_tiles": "Ink tiles"}
SCOPE_MEANINGS = {
    "held_out": "Pixels that the model never learned from: the score to quote.",
    "whole_mask": "All supervised papyrus, most of which the model may have learned from.",
    "ink_tiles": "Only tiles with enough ink, as published comparisons count them; easier, because blank papyrus, "
    "where false ink appears, is left out.",
}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A number as people read it, its 95 % interval, and whether it is the best of its column."""

    text: str
    interval: str = ""
    best: bool = False


@dataclass(frozen=True, kw_only=True)
class ScopeTable:
    """Scores of every map over one scope; a row is the map's name, a cell a score, and how much was scored."""

    name: str
    meaning: str
    rows: tuple[tuple[str, tuple[Cell, ...], str], ...]


@dataclass(frozen=True, kw_only=True)
class SettingRow:
    """A setting, what it does, its value in every run, and whether the runs differ in it."""

    name: str
    meaning: str
    values: tuple[str, ...]
    differs: bool


def scope_tables(exhibits: Sequence[Exhibit]) -> list[ScopeTable]:
    """Lay out the scores of all maps, held-out pixels first."""
    tables = []
    for scope in SCOPES:
        every = [(exhibit.name, (exhibit.scores or {}).get(scope)) for exhibit in exhibits]
        scored = [(name, scores) for name, scores in every if scores]
        if not scored:
            continue
        best = {score: _best(score, [scores.get(score) for _, scores in scored]) for score in SCORES}
        rows = tuple(
            (name, tuple(score_cell(scores, score, best[score]) for score in SCORES), _extent(scores))
            for name, scores in scored
        )
        tables.append(ScopeTable(name=SCOPE_NAMES[scope], meaning=SCOPE_MEANINGS[scope], rows=rows))
    return tables


def score_cell(scores: dict[str, Any], score: str, best: float | None = None) -> Cell:
    """Write a score with its interval, both to three digits."""
    value = scores.get(score)
    if value is None:
        return Cell(text="–")
    low, high = scores.get(f"{score}_low"), scores.get(f"{score}_high")
    interval = "" if low is None or high is None else f"{low:.3f}–{high:.3f}"
    return Cell(text=f"{value:.3f}", interval=interval, best=best is not None and value == best)


def setting_rows(runs: Sequence[RunRecord]) -> list[SettingRow]:
    """Lay out the settings of all runs, those that differ first; where a run was put is no setting."""
    names = dict.fromkeys(name for run in runs for name in run.settings if name not in ("out", "overwrite"))
    rows = []
    for name in names:
        values = tuple(in_words(run.settings.get(name)) for run in runs)
        fields = (VERBS[run.verb].model_fields.get(name) for run in runs if run.verb in VERBS)
        meaning = next((field.description or "" for field in fields if field), "")
        rows.append(SettingRow(name=name, meaning=meaning, values=values, differs=len(set(values)) > 1))
    return sorted(rows, key=lambda row: not row.differs)


def option_rows(kind: type[Settings], settings: Mapping[str, Any]) -> list[SettingRow]:
    """Lay out the settings of one kind, each with its meaning."""
    return [
        SettingRow(name=name, meaning=field.description or "", values=(in_words(settings[name]),), differs=False)
        for name, field in kind.model_fields.items()
        if name in settings
    ]


def scores_csv(exhibits: Sequence[Exhibit]) -> str:
    """Write a line for each map, scope and score: value and interval."""
    lines = [
        (exhibit.name, exhibit.segment.name, scope, score, *(scores.get(score + end) for end in ("", "_low", "_high")))
        for exhibit in exhibits
        for scope in SCOPES
        for scores in [(exhibit.scores or {}).get(scope)]
        if scores
        for score in SCORES
    ]
    return csv_text(("map", "segment", "scope", "score", "value", "low", "high"), lines)


def curves_csv(runs: Sequence[RunRecord]) -> str:
    """Write a line for each run, quantity and epoch."""
    lines = [
        (run.name, name, epoch, value) for run in runs for name, points in run.curves.items() for epoch, value in points
    ]
    return csv_text(("run", "quantity", "epoch", "value"), lines)


def settings_csv(runs: Sequence[RunRecord]) -> str:
    """Write a line for each setting, a column for each run."""
    return csv_text(("setting", *(run.name for run in runs)), [(row.name, *row.values) for row in setting_rows(runs)])


def _best(score: str, values: list[float | None]) -> float | None:
    """Return the best of several; of one alone nothing is best."""
    known = [value for value in values if value is not None]
    if len(values) < 2 or not known:
        return None
    return min(known) if score in LOWER_IS_BETTER else max(known)


def _extent(scores: dict[str, Any]) -> str:
    pixels, share, blocks = (scores.get(name) or 0 for name in ("pixels", "ink_share", "blocks"))
    amount = f"{pixels / 1e6:.2f} Mpx" if pixels >= 1e5 else f"{pixels:.0f} px"
    return f"{amount} in {blocks:.0f} blocks, {100 * share:.1f} % ink"


def in_words(value: Any) -> str:
    """Write a setting as a person would."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(in_words(item) for item in value) or "–"
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def and_list(words: Iterable[str]) -> str:
    """Write words as a sentence lists them.

    Examples
    --------
    >>> and_list(["5 %", "10 %", "all"])
    '5 %, 10 % and all'
    """
    *others, last = list(words)
    return f"{', '.join(others)} and {last}" if others else last


def csv_text(header: Iterable[str], lines: Iterable[Iterable[Any]]) -> str:
    """Write a table as CSV."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    return out.getvalue()
