"""Story: what a report says in words about runs and maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from volumen.recipes.reporting import line_runs, photo_runs, pretraining
from volumen.recipes.reporting.page import Headline
from volumen.recipes.reporting.tables import SCOPE_NAMES, SCORE_NAMES, Cell, score_cell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from volumen.recipes.reporting.exhibit import Exhibit
    from volumen.recipes.reporting.run_record import RunRecord

_HEADLINES = ("auc", "average_precision", "f05")
_SHORT = 12  # of a hash's digits


def subject(runs: Sequence[RunRecord]) -> str:
    """Say what the page is about in a word or two."""
    if all(run.verb in line_runs.VERBS for run in runs):
        return "reading" if any(run.verb == "train reader" for run in runs) else "pretraining"
    if all(run.verb in photo_runs.VERBS for run in runs):
        return "photographs"
    return "pretraining" if all(run.verb in pretraining.VERBS for run in runs) else "ink detection"


def title(runs: Sequence[RunRecord]) -> str:
    """Name the page."""
    return f"{subject(runs).capitalize()}: {runs[0].name}" if len(runs) == 1 else f"{len(runs)} runs compared"


def lead(runs: Sequence[RunRecord]) -> str:
    """Say in a sentence or two what was run."""
    if len(runs) > 1:
        return f"Compared: {', '.join(run.name for run in runs)}."
    (run,) = runs
    if run.verb in pretraining.VERBS:
        return pretraining.lead(run)
    if run.verb in line_runs.VERBS:
        return line_runs.lead(run)
    if run.verb in photo_runs.VERBS:
        return photo_runs.lead(run)
    chosen, epochs = run.settings, run.epochs
    encoder = f"A U-Net with a {chosen['encoder_name']} encoder" if chosen.get("encoder_name") else "A model"
    start = "weights from a file" if chosen.get("encoder") else "random weights"
    frozen = ", the encoder frozen" if chosen.get("freeze") else ""
    count = len(run.segments)
    where = f" on {count} segment{'s' * (count != 1)}" if count else ""
    sees = f", seeing layers {chosen['layers']}" if chosen.get("layers") else ""
    if isinstance(chosen.get("layers"), int):
        sees = f", seeing the {chosen['layers']} centre layers"
    window = f" in windows of {chosen['window']} px" if chosen.get("window") else ""
    trained = f"trained for {epochs} epoch{'s' * (epochs != 1)}" if epochs else "has not finished an epoch"
    best = f"; epoch {run.best_epoch} was best" if run.best_epoch else ""
    state = "" if run.result is not None else " The run has not finished."
    return f"{encoder}, started from {start}{frozen}, {trained}{where}{sees}{window}{best}.{state}"


def headlines(exhibits: Sequence[Exhibit]) -> list[Headline]:
    """Choose the numbers at the top: of the map with the best AUC, on held-out pixels where there are any."""
    scored = [exhibit for exhibit in exhibits if exhibit.scores and exhibit.scores["auc"] is not None]
    if not scored:
        return []
    best = max(scored, key=lambda exhibit: float((exhibit.scores or {})["auc"]))
    scores: dict[str, Any] = best.scores or {}
    scope = "held_out" if scores["held_out"] else "whole_mask"
    of = f" of {best.name}" if len(scored) > 1 else ""
    numbers = [
        Headline(label=SCORE_NAMES[name], cell=score_cell(scores[scope], name), note=SCOPE_NAMES[scope].lower() + of)
        for name in _HEADLINES
    ]
    cut = Cell(text=f"{best.threshold:.2f}")
    return [*numbers, Headline(label="Threshold", cell=cut, note=f"chosen on {_pixels(scores['threshold_from'])}")]


def remarks(exhibits: Sequence[Exhibit]) -> list[str]:
    """Gather what was remarked when the maps were scored, each remark once with the maps that it is about."""
    about: dict[str, list[str]] = {}
    for exhibit in exhibits:
        for remark in (exhibit.scores or {}).get("remarks", ()):
            about.setdefault(remark, []).append(exhibit.name)
    return [f"{', '.join(names)}: {remark}" if len(exhibits) > 1 else remark for remark, names in about.items()]


def training(runs: Sequence[RunRecord]) -> list[tuple[str, ...]]:
    """Lay out how each training went: header first."""
    rounds, crops = "epoch", "crops"
    if all(run.verb in line_runs.VERBS for run in runs):
        rounds, crops = "round", "lines"
    elif all(run.verb in photo_runs.VERBS for run in runs):
        crops = "photographs"
    header = ("run", f"{rounds}s", f"best {rounds}", "device", f"{crops} a second", "time", "state")
    rows: list[tuple[str, ...]] = [header]
    for run in runs:
        seconds = (run.result or {}).get("seconds")
        state = "finished" if run.result is not None else "not finished"
        if (run.result or {}).get("stopped_early"):
            state = "stopped early"
        time = _duration(float(seconds)) if isinstance(seconds, int | float) else "–"
        pace = "–" if run.pace is None else f"{run.pace:.3g}"
        rows.append((run.name, str(run.epochs), str(run.best_epoch or "–"), run.device or "–", pace, time, state))
    return rows


def threshold(exhibit: Exhibit, scope: str) -> str:
    """Say what the threshold is, where it comes from, and how far the map's probabilities can be believed."""
    scores = (exhibit.scores or {}).get(scope) or {}
    said = f"Calling a pixel ink from {exhibit.threshold:.2f} gives the best F0.5 on {_pixels(scope)}."
    error = scores.get("ece")
    if error is not None:
        said += f" There, probabilities are off by {error:.3f} on average."
    return said


def provenance(runs: Sequence[RunRecord], exhibits: Sequence[Exhibit]) -> list[tuple[str, list[tuple[str, str]]]]:
    """List where everything comes from: versions, data identities, and what each map records."""
    told = []
    for run in runs:
        lines = [("folder", str(run.path)), ("verb", run.verb)]
        lines += [(name, str(number)) for name, number in _mapping(run.recipe.get("versions")).items()]
        for segment in run.recipe.get("segments") or ():
            known = _mapping(segment)
            facts = ", ".join(f"{key} {_short(value)}" for key, value in known.items() if key != "name" and value)
            lines.append((f"segment {known.get('name', '')}".strip(), facts or str(segment)))
        told.append((f"Run {run.name}", lines))
    for exhibit in exhibits:
        record = exhibit.ink_map.record
        lines = [("file", exhibit.path), ("segment", exhibit.segment.name)]
        lines += [
            (key, _short(value))
            for key, value in record.items()
            if key not in ("settings", "provenance", "kind", "segment", "scores") and value is not None
        ]
        told.append((f"Ink map {exhibit.name}", lines))
    return told


def _pixels(scope: str) -> str:
    return "the held-out pixels" if scope == "held_out" else "all supervised pixels"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _short(value: Any) -> str:
    """Write a recorded value on one line; hashes by their first digits."""
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_short(item)}" for key, item in value.items())
    if isinstance(value, list) and value and isinstance(value[0], list) and len(value) > 4:
        return f"{len(value)} boxes, the first {value[0]}"
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    is_hash = len(text) >= 40 and all(digit in "0123456789abcdef" for digit in text)
    return text[:_SHORT] + "…" if is_hash else text
