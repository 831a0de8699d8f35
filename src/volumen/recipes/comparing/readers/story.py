"""Story: what a comparison of readers says in words: what was done, and what its numbers do not show."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from volumen.crops.line_images import unlike_forms
from volumen.recipes.comparing.remarks import few_seeds
from volumen.recipes.reporting.tables import and_list
from volumen.settings.comparing import RANDOM

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from volumen.recipes.comparing.readers.scoring import Outcome
    from volumen.recipes.comparing.record import Record
    from volumen.settings.compare_handwriting import CompareHandwriting

_FEW_GROUPS = 20
_FEW_WARNINGS = 8
_TOLD = ("Encoder weights from ", "characters of the held-out lines are in none")  # what the page says in its own way


def title(chosen: CompareHandwriting) -> str:
    """Name the page."""
    names = ", ".join(chosen.pretext_names)
    return f"Reading after {names}, against random weights" if names else "Reading from random weights"


def lead(chosen: CompareHandwriting, record: Record) -> str:
    """Say in a few sentences what was compared."""
    lines, content = record.content["lines"], record.content
    sources = and_list(PurePath(segment["name"]).name for segment in content["segments"])
    shares = and_list(f"{100 * share:g} %" for share in chosen.share)
    modes = {"frozen": "with the recogniser frozen", "full": "with all of it trained"}
    return (
        f"Readers of {chosen.model_width:g} times the published width learned from {shares} of {lines['train']} lines "
        f"of {sources}, from random weights and after each pretraining, {and_list(modes[m] for m in chosen.training)}, "
        f"by {and_list(chosen.decoder)}; {chosen.seeds} seed{'s' * (chosen.seeds != 1)} each, {chosen.steps} steps. "
        f"They were tested on {lines['test']} lines of {content['groups']} groups (writers, pages or single lines), "
        f"parted {content['split_by']}."
    )


def remarks(chosen: CompareHandwriting, record: Record, outcome: Outcome) -> list[str]:
    """Say what a reader of the numbers should know, the gravest first."""
    return list(dict.fromkeys(_remarks(chosen, record, outcome)))


def _remarks(chosen: CompareHandwriting, record: Record, outcome: Outcome) -> Iterator[str]:
    content = record.content
    if content["test_is_held_out"]:
        yield (
            "The list names no test lines: scores are of the held-out lines, by which the best weights were chosen, "
            "and are too good."
        )
    if "by line" in content["split_by"]:
        yield "Lines were parted one by one, so hands are on both sides: scores are too good for other hands."
    yield from few_seeds(chosen.seeds)
    if content["groups"] < _FEW_GROUPS:
        yield f"Only {content['groups']} groups of lines were tested: intervals over groups are too narrow."
    stopped = [run for runs in outcome.values() for run in runs if (run.record.result or {}).get("stopped_early")]
    if stopped:
        yield f"{len(stopped)} runs stopped early for want of a better score: they were trained for less time."
    characters = content["characters"]
    if len({count for found in characters.values() for count in found}) > 1:
        known = and_list(f"{_range(found)} at {100 * float(share):g} %" for share, found in characters.items())
        yield f"A reader writes only the characters of the lines it learned from, {known}; others count as errors."
    yield (
        "A share of the labels is lines drawn by each seed, one by one; cells of a seed share them, and larger shares "
        "contain smaller ones. Every share takes the same number of steps."
    )
    if not content["test_is_held_out"]:
        shown = min(content["lines"]["held_out"], chosen.held_out_lines)
        yield (
            f"Tested is what scored best by {chosen.score} on {shown} held-out lines, every {chosen.score_steps} steps "
            "or so. Their transcripts are in no share of the labels."
        )
    claims = len(outcome) - sum(cell.encoder == RANDOM for cell in outcome)
    yield (
        "Intervals over seeds say what other random weights, shares and orders may change; intervals over groups what "
        "other hands or pages may change, these runs given. They are for each number by itself: where nothing "
        f"differs, about one interval in twenty leaves out zero. Of the CER there are {claims} claims that pretraining "
        "is better."
    )
    if "frozen" in chosen.training:
        norms = "measured once, without transcripts," if chosen.frozen_norms == "measured" else "kept as they came"
        yield (
            f"A frozen recogniser has its norm statistics {norms} and sees each line as it is, without augmentation; "
            "its BiLSTM, where frames are contextual, is frozen too."
        )
    seeded = {name.partition(", seed ")[0] for name in content["encoders"] if ", seed " in name}
    once = [name for name in chosen.pretext_names if name not in seeded]
    if once:
        yield (
            f"Of {and_list(once)} there is one pretraining for all seeds: intervals over seeds leave out what another "
            "pretraining would change."
        )
    yield from _budgets(content["encoders"])
    for name, encoder in content["encoders"].items():
        if "reader" in encoder["origin"]:
            yield f"{name} is no pretraining: it was taught to read, with transcripts."
        differing = unlike_forms(encoder["origin"].get("form") or {}, content["form"])
        if differing:
            yield f"{name} was pretrained on lines of another form: {'; '.join(differing)}."
    scored = content["scored_on"]
    unknown = [name for name, known in content["encoders"].items() if known["origin"].get("scored_on") != scored]
    if unknown:
        yield (
            f"{and_list(unknown)} did not hold out the very lines that are scored here: pretraining was on other lists"
            ", or they were parted otherwise. It may have seen some of these lines, without their transcripts."
        )
    yield from content["left_out"]
    said = dict.fromkeys(text for runs in outcome.values() for run in runs for text in run.record.warnings)
    told = [text for text in said if text not in content["left_out"] and not any(part in text for part in _TOLD)]
    yield from (f"Runs warned: {text}" for text in told[:_FEW_WARNINGS])
    if len(told) > _FEW_WARNINGS:
        yield f"Runs warned of {len(told) - _FEW_WARNINGS} more things, which their own reports say."


def _budgets(encoders: Mapping[str, Any]) -> Iterator[str]:
    """Say where one pretraining saw more lines than another."""
    seen = {
        name: encoder["pretraining"]["steps"] * encoder["pretraining"]["batch"]
        for name, encoder in encoders.items()
        if {"steps", "batch"} <= {*encoder.get("pretraining", {})}
    }
    if len({*seen.values()}) > 1:
        each = and_list(f"{name} {count:,}" for name, count in seen.items())
        yield f"Pretrainings did not see as many lines: {each}, each time it was shown counted."


def _range(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"
