"""Story: what a comparison says in words: what was done, and what its numbers do not show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from volumen.recipes.comparing.provenance import facts
from volumen.recipes.comparing.remarks import few_seeds
from volumen.recipes.reporting.tables import and_list

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from volumen.recipes.comparing.ink.results import Outcome
    from volumen.recipes.comparing.provenance import Facts
    from volumen.recipes.comparing.record import Record
    from volumen.settings.compare_ink import CompareInk

_FEW_BLOCKS = 20


def title(chosen: CompareInk) -> str:
    """Name the page."""
    files = ", ".join(chosen.encoder_names)
    return f"Random weights against {files}" if files else "Random weights, frozen and full"


def lead(chosen: CompareInk, record: Record) -> str:
    """Say in a few sentences what was compared."""
    segments = ", ".join(segment["name"] for segment in record.content["segments"])
    shares = f" on {and_list(f'{100 * share:g} %' for share in chosen.share)} of the labels"
    count = f"{chosen.seeds} seed{'s' * (chosen.seeds != 1)}"
    given = " and from each encoder file" if chosen.encoder_names else ""
    how = "the October report's way" if chosen.mode == "paper" else "behind a guard band"
    if record.content["by"] != ["ordered"] * len(record.content["by"]) and chosen.mode == "paper":
        how = f"in paper mode, but with what is held out chosen by {and_list(dict.fromkeys(record.content['by']))}"
    return (
        f"A U-Net with a {chosen.encoder_name} encoder learned ink on {segments}{shares}, from random weights{given}, "
        f"with the encoder frozen and with all of it trained, as in the October report on ink detection; {count} each, "
        f"{chosen.epochs} epochs, scored on pixels held out {how}."
    )


def remarks(chosen: CompareInk, record: Record, outcome: Outcome) -> list[str]:
    """Say what a reader of the numbers should know, the gravest first."""
    return list(dict.fromkeys(_remarks(chosen, record, outcome)))


def _remarks(chosen: CompareInk, record: Record, outcome: Outcome) -> Iterator[str]:
    runs = [run for runs in outcome.values() for run in runs]
    if "ordered" in record.content["by"]:
        yield (
            "What is held out was split off in order: windows at the cut share pixels with training windows, so the "
            "scores are too good for new papyrus. Only what lies in crops with ink is scored."
        )
    yield from few_seeds(chosen.seeds)
    if min(run.blocks for run in runs) < _FEW_BLOCKS:
        yield (
            f"Only {min(run.blocks for run in runs)} blocks were scored: intervals over blocks are too narrow. "
            "Hold out more, or choose a smaller --block."
        )
    yield (
        f"The best epoch was chosen by the {chosen.score} on the same held-out pixels that are scored, which flatters "
        "every cell; the last epoch, which nobody chose, stands beside it."
    )
    yield (
        "All cells are scored on one held-out part. Intervals over seeds say what other random weights, orders and "
        "augmentations may change; intervals over blocks what other places on this papyrus may change. Neither speaks "
        "of other papyrus. They are for each difference by itself, not corrected for how many there are."
    )
    for name, encoder in record.content["encoders"].items():
        if encoder["adapted"]:
            yield (
                f"The weights of {name} were made for another number of layers and were adapted: {encoder['loaded']}."
            )
    for name, encoder in record.content["encoders"].items():
        yield from _origin(name, encoder["origin"], chosen, record)
    if chosen.frozen_norms == "kept":
        yield (
            "A frozen encoder kept the norm statistics that it came with: with random weights these are those of no "
            "data at all, which is harder than in the October report, whose statistics went on adapting."
        )
    else:
        yield (
            "The norm statistics of a frozen encoder were measured once, without labels; in the October "
            "report they went on adapting while the decoder learned."
        )
    if min(chosen.share) < 1:
        yield (
            "A share of the labels is the windows nearest to one that each seed draws, as if letters were painted in "
            "one place; cells of a seed share the place, and larger shares contain smaller ones. Every share takes the "
            "same number of steps, and voxels were normalised by all that may be learned from, since that needs no "
            "labels."
        )
    for run in runs:
        if (run.record.result or {}).get("stopped_early"):
            yield "Some runs stopped before the last epoch for want of a better score: they were trained for less time."


def _origin(name: str, origin: Mapping[str, Any], chosen: CompareInk, record: Record) -> Iterator[str]:
    """Say what an encoder's pretraining has to do with what it is scored on."""
    if "held_out" not in origin:
        yield (
            f"Whether {name} saw the held-out voxels, without labels, in its pretraining is not known here. If it did, "
            "its scores on new papyrus may be lower."
        )
        return
    for segment, boxes in record.content["held_out"].items():
        spared = origin["held_out"].get(segment)
        if spared is not None and not all(any(_inside(box, other) for other in spared) for box in boxes):
            yield (
                f"{name} saw held-out voxels of {segment}{', without labels,' if 'pretext' in origin else ''} in its "
                "own training: its scores on new papyrus may be lower."
            )
    kind = origin.get("normalization", {}).get("kind", chosen.normalization)
    if kind != chosen.normalization:
        yield (
            f"{name} was pretrained on voxels normalised by {kind!r}; here they were normalised by "
            f"{chosen.normalization!r}, which suits a frozen encoder less."
        )


def _inside(box: list[int], other: list[int]) -> bool:
    """Whether a box (y0, y1, x0, x1) lies inside another."""
    return other[0] <= box[0] and box[1] <= other[1] and other[2] <= box[2] and box[3] <= other[3]


def encoders(record: Record) -> list[tuple[str, Facts]]:
    """Tell where each encoder comes from, what else the runs stand on, and what of each segment is held out."""
    content = record.content
    told = [(f"Encoder {name}", _known(known)) for name, known in content["encoders"].items()]
    told.append(("Versions", facts(content["versions"])))
    for segment in content["segments"]:
        boxes = content["held_out"][segment["name"]]
        told.append((f"Segment {segment['name']}", [*facts(segment), ("held out (y0, y1, x0, x1)", _boxes(boxes))]))
    return told


def _known(encoder: Mapping[str, Any]) -> Facts:
    """Lay out what is known of an encoder, but for the ground that it was not shown, which may be many boxes."""
    return facts({**encoder, "origin": {**encoder["origin"], "held_out": None}})


def _boxes(boxes: list[list[int]]) -> str:
    shown = ", ".join(str(tuple(box)) for box in boxes[:4])
    return shown if len(boxes) <= 4 else f"{shown} and {len(boxes) - 4} more"
