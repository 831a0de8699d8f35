"""Story: what a comparison of encoders says in words: what was done, and what its numbers do not show."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np

from volumen.recipes.comparing.apparel.cells import SEGMENTER, lacking
from volumen.recipes.comparing.remarks import few_seeds
from volumen.recipes.reporting.tables import and_list
from volumen.settings.comparing import RANDOM

if TYPE_CHECKING:
    from collections.abc import Iterator

    from volumen.recipes.comparing.apparel.scoring import Finds, Outcome
    from volumen.recipes.comparing.record import Record
    from volumen.settings.compare_apparel import CompareApparel


def title(chosen: CompareApparel) -> str:
    """Name the page."""
    return f"Encoders of photographs by {len(chosen.routes) - (SEGMENTER in chosen.routes)} routes"


def lead(chosen: CompareApparel, record: Record) -> str:
    """Say in a few sentences what was compared."""
    content = record.content
    counts = content["photos"]
    sources = and_list(PurePath(source["name"]).name for source in content["segments"])
    return (
        f"{chosen.encoder_name} encoders learned from {counts['train']} photographs of {sources}, "
        f"{chosen.size[0]} × {chosen.size[1]} px, with {len(content['tags'])} tags; {counts['held_out']} were held "
        f"out, and {content['queries']} of these asked what is like them. {chosen.seeds} "
        f"seed{'s' * (chosen.seeds != 1)} each."
    )


def remarks(
    chosen: CompareApparel, record: Record, outcome: Outcome, finds: tuple[Finds, Finds], chance: float
) -> list[str]:
    """Say what a reader of the numbers should know, the gravest first; ``chance`` is the overlap that it comes to."""
    return list(dict.fromkeys(_remarks(chosen, record, outcome, finds, chance)))


def _remarks(
    chosen: CompareApparel, record: Record, outcome: Outcome, finds: tuple[Finds, Finds], chance: float
) -> Iterator[str]:
    if lacking(chosen):
        yield (
            f"No file with ImageNet's weights was given (imagenet), so {and_list(lacking(chosen))} "
            f"{'is' if len(lacking(chosen)) == 1 else 'are'} missing, and rotation, triplets and the segmenter began "
            "from random weights, where the report on image retrieval that this follows began from ImageNet's."
        )
    yield (
        "The weights of each run are the best by the same photographs that it is scored on: taggers by their score, "
        "the segmenter by IoU, the others by their loss. So all scores are a little too good, those of what is found "
        "alike too, beside chance and random weights, of which none were chosen."
    )
    yield from few_seeds(chosen.seeds)
    yield from _documented(record, outcome, finds[0], chance)
    guessed = [run.record.result for runs in outcome.values() for run in runs if run.record.result]
    frequent = [each["guesses"]["frequent"] for each in guessed if "guesses" in each]
    if frequent:
        yield (
            f"Saying the most frequent tags of every photograph, without looking, comes to an F1 of "
            f"{np.mean(frequent):.3f}: that is what a tagger is to be held against."
        )
    if "rotation" in chosen.routes:
        if chosen.views == "none":
            yield (
                "Photographs were brought to a square without views: how they were resampled tells how they are turned,"
                " even of noise, so the accuracy of rotation says nothing of what was learned."
            )
        else:
            yield (
                "Photographs are brought to a square, which tells how they are turned, even of noise, where no views "
                "are drawn; random crops, stretched each by another amount, take that away in training."
            )
    if finds[1]:
        yield (
            "The segmenter that masks photographs learned from some of those that are searched, and from none of the "
            "queries, though its best weights were chosen by them; no encoder was trained on masked photographs. What "
            "the masks mark stays, skin and hair too where they are marked."
        )
    unread = record.content["queries"] - min((len(run.names) for runs in finds[0].values() for run in runs), default=0)
    if finds[0] and unread:
        yield f"{unread} queries could not be read, and were left out."
    stopped = [run for runs in outcome.values() for run in runs if (run.record.result or {}).get("stopped_early")]
    if stopped:
        yield f"{len(stopped)} runs stopped early for want of a better score."
    yield (
        "Vectors are the pooled deepest features; of triplets, the embeddings; of rotation and SparK alone and of "
        "random weights, the pooled features of the two deepest stages side by side, each of length 1. Norm statistics "
        "of random weights and of SparK's, which saw patches, are measured on the photographs that are searched."
    )
    yield from record.content["left_out"]


def _documented(record: Record, outcome: Outcome, whole: Finds, chance: float) -> Iterator[str]:
    """Say why numbers differ from those of the retrieval report, whose routes these are."""
    if any(cell.work in ("tagger", "rotation", "segmenter") for cell in outcome):
        counts = record.content["photos"]
        yield (
            "The routes are those of a report on image retrieval. Its numbers, where they stand beside, are of another "
            "collection with other tags, at 224 × 224 px, and mostly from ImageNet's weights; here are "
            f"{counts['train']} photographs, {len(record.content['tags'])} tags and the "
            "settings below. They show the order to expect, not the values."
        )
    if whole:
        means = {cell.name: np.mean([np.nanmean(found.overlap) for found in runs]) for cell, runs in whole.items()}
        means["chance"] = chance
        order = sorted(means, key=lambda name: -means[name])
        named = ("random weights" if name == RANDOM else name for name in order)
        yield (
            "By what is found alike, the retrieval report's order is fine-tuned, from scratch, ImageNet's own, "
            f"triplets, rotation, chance. Here it is {and_list(named)}; the differences say which steps of it are "
            "shown."
        )
