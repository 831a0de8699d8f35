"""Story: what a comparison for characters says in words: what was done, and what its numbers do not show."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from volumen.recipes.comparing.remarks import few_seeds
from volumen.recipes.reporting.tables import and_list

if TYPE_CHECKING:
    from collections.abc import Iterator

    from volumen.recipes.comparing.characters.scoring import Outcome
    from volumen.recipes.comparing.record import Record
    from volumen.settings.compare_characters import CompareCharacters

_FEW_PHOTOS = 20
_LOSSES = {"dice": "Dice", "bce": "cross-entropy", "bce_dice": "cross-entropy and Dice"}


def title(chosen: CompareCharacters) -> str:
    """Name the page."""
    return f"Characters found by {and_list(chosen.model)}"


def lead(chosen: CompareCharacters, record: Record) -> str:
    """Say in a few sentences what was compared."""
    photos, (height, width) = record.content["photos"], chosen.size
    sources = and_list(PurePath(path).name for path in chosen.photos)
    shown = "cut out of them" if chosen.fit == "crop" else "resized to"
    return (
        f"{and_list(chosen.model)} learned to find characters in {photos['train']} photographs of {sources}, "
        f"{shown} {height} × {width} px, by {and_list(_LOSSES[loss] for loss in chosen.loss)}; {chosen.seeds} "
        f"seed{'s' * (chosen.seeds != 1)} each, {chosen.epochs} epoch{'s' * (chosen.epochs != 1)}. They were scored on "
        f"{photos['held_out']} others; regions to ignore count nowhere."
    )


def remarks(chosen: CompareCharacters, record: Record, outcome: Outcome) -> list[str]:
    """Say what a reader of the numbers should know, the gravest first."""
    return list(dict.fromkeys(_remarks(chosen, record, outcome)))


def _remarks(chosen: CompareCharacters, record: Record, outcome: Outcome) -> Iterator[str]:
    yield (
        "The weights of each run are the best by the same photographs that it is scored on, so all scores are a little "
        "too good, those of runs that waver more than others."
    )
    yield from few_seeds(chosen.seeds)
    first = next(iter(outcome.values()))[0]
    if len(first.photos) < _FEW_PHOTOS:
        yield f"Only {len(first.photos)} photographs were scored: intervals over photographs are too narrow."
    if first.overlap.empty:
        yield (
            f"{first.overlap.empty} of {len(first.photos)} photographs hold no character: they have no overlap of "
            "their own and are left out of the mean of images; what is found in them counts as false in batches and "
            "pool."
        )
    stopped = [run for runs in outcome.values() for run in runs if (run.record.result or {}).get("stopped_early")]
    if stopped:
        yield f"{len(stopped)} runs stopped early for want of a better score: they were trained for less time."
    if chosen.model_width != 1:
        own = f", but for unet, which is {chosen.encoder_name}'s own size" if "unet" in chosen.model else ""
        yield f"Models have {chosen.model_width:g} times the published channels{own}."
    yield (
        "Intervals over seeds say what other random weights and orders may change; intervals over photographs what "
        "other photographs may change, these runs given. They are for each number by itself, not corrected for how "
        "many there are."
    )
    yield from record.content["left_out"]
