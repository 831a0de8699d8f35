"""Evaluate: an ink map against labels, over held-out pixels, the whole mask and the tiles with ink, separately."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from volumen.crops.region import cut_out
from volumen.errors import LabelError, SettingsError
from volumen.evaluation.tally import Tally
from volumen.events import Finished, Saved, Scored, Started, Stepped, Warned, to_json
from volumen.recipes.ink_map import InkMap
from volumen.recipes.opening import open_all
from volumen.recipes.scopes import held_out_pixels, ink_tiles, scored_pixels
from volumen.whole_files import write_whole
from volumen.windows import Window, starts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from volumen import settings as choose
    from volumen.events import Event
    from volumen.recipes.scopes import Where
    from volumen.sources.segment import Segment

SCOPES = ("held_out", "whole_mask", "ink_tiles")
"""What is scored, each by itself: pixels never learned from, all supervised papyrus, and the paper's ink tiles."""

SCORES = (
    *("auc", "average_precision", "f05", "dice", "iou", "balanced_accuracy", "precision", "recall", "bce"),
    "ece",
)
"""The scores of each scope, in the order in which people read them; each has ``_low`` and ``_high`` beside it."""

_BAND_PIXELS = 4_000_000
_FEW_BLOCKS = 20


def evaluate(settings: choose.Evaluate) -> Iterator[Event]:
    """Score an ink map, with block-bootstrap 95 % intervals and a threshold calibrated on held-out pixels.

    Only supervised papyrus inside the predicted region counts. Everything is read in bands, so memory does not
    grow with the segment. The threshold maximises F0.5 on the held-out pixels; those are scored by two-fold
    cross-fitting, so that having chosen it flatters nothing.

    Parameters
    ----------
    settings
        Map and segment, what to score of them, and the blocks of the bootstrap.

    Yields
    ------
    Event
        A `Scored` for each scope; the last is `Finished`, whose result holds a dictionary of scores under each of
        ``held_out``, ``whole_mask`` and ``ink_tiles`` (None where there is no such pixel), each score with ``_low``
        and ``_high``; ``threshold``, a probability in [0, 1]; and ``auc``, that of the held-out pixels where there are
        any.

    Raises
    ------
    SettingsError
        The output path is a folder, or the region reaches outside the segment.
    LabelError
        The map does not fit the segment, or the label has no ink or no background to score by.

    Examples
    --------
    >>> from volumen import settings
    >>> chosen = settings.Evaluate(prediction="ink.zarr", segment="20230827161847.zarr")
    >>> scores = result(evaluate(chosen))  # doctest: +SKIP
    """
    if settings.out is not None and Path(settings.out).is_dir():
        raise SettingsError(f"Expected a JSON file to write the scores to; {settings.out} is a folder.")
    (segment,) = open_all((settings.segment,), settings)
    ink_map = InkMap.open(settings.prediction).on(segment)
    segment.raster("ink")
    held_out = held_out_pixels(settings.region, segment, ink_map)
    cut_out(segment, ink_map.predicted, settings.region)
    parts = list(bands(ink_map.predicted, settings.block))
    yield Started(work="evaluate", total=len(parts), unit="bands", detail={"segment": segment.name})
    tiles = ink_tiles(segment, ink_map.predicted, side=settings.tile, min_ink=settings.min_ink)
    tallies = {scope: Tally(block=settings.block, draws=settings.resamples, seed=settings.seed) for scope in SCOPES}
    for done, band in enumerate(parts, start=1):
        _count(segment, ink_map, band, {"held_out": held_out, "ink_tiles": tiles}, tallies)
        yield Stepped(done=done, total=len(parts))
    _check(segment, tallies["whole_mask"])
    result = _result(settings, segment, tallies)
    remarks = [*ink_map.remarks, *_remarks(result, tallies)]
    for message in remarks:
        yield Warned(message=message)
    for scope in SCOPES:
        if result[scope] is not None:
            points = {f"{scope}.{name}": result[scope][name] for name in SCORES}
            yield Scored(step=0, scores=points)
    if settings.out is not None:
        _write(Path(settings.out), {**result, "region": settings.region, "remarks": remarks}, tallies)
        yield Saved(path=settings.out, what="scores")
    yield Finished(result=result)


def bands(predicted: Window, block: int) -> Iterator[Window]:
    """Yield bands over the predicted box, on the block grid that starts at the segment's top left corner."""
    (top, bottom), (left, right) = predicted.y, predicted.x
    top, left = top // block * block, left // block * block
    rows = max(block, _BAND_PIXELS // (right - left) // block * block)
    for start in starts(bottom - top, rows, rows):
        yield Window((0, 1), (top + start, min(top + start + rows, bottom)), (left, right))


def _count(
    segment: Segment, ink_map: InkMap, band: Window, where: dict[str, Where | None], tallies: dict[str, Tally]
) -> None:
    """Count one band: all that can be scored as the whole mask, and the part of it in each other scope."""
    counted = scored_pixels(segment, ink_map, band)
    if not counted.any():
        return
    ink, levels = segment.raster("ink").read(band), ink_map.levels(band)
    tallies["whole_mask"].add(levels, ink, counted)
    for scope, chosen in where.items():
        if chosen is not None:
            tallies[scope].add(levels, ink, counted & chosen(band))


def _check(segment: Segment, whole: Tally) -> None:
    """Refuse to score what has one class only."""
    counts, source = whole.counts, segment.raster("ink").source
    if counts.pixels == 0:
        raise LabelError(
            f"There is nothing to score on {segment.name}: no predicted pixel lies in its supervision and mask. "
            "Predict where it is labelled, or label where it is predicted."
        )
    for name, pixels in (("ink", counts.ink.sum()), ("background", counts.background.sum())):
        if pixels == 0:
            raise LabelError(
                f"The label {source} has no {name} among its {int(counts.pixels)} supervised, predicted pixels; "
                "scores need both ink and background. Give another label, or supervise some of both."
            )


def _result(settings: choose.Evaluate, segment: Segment, tallies: dict[str, Tally]) -> dict[str, Any]:
    """Return the scores of each scope; the threshold is that of the held-out pixels where they allow one."""
    fit = tallies["held_out"].cross_fit()
    home = "whole_mask" if np.isnan(fit.threshold) else "held_out"
    threshold = tallies[home].cross_fit().threshold
    scopes: dict[str, Any] = {}
    for scope, tally in tallies.items():
        chosen = None if scope == home else threshold
        scopes[scope] = tally.scores(chosen) if tally.blocks else None
    leading = scopes["held_out"] or scopes["whole_mask"]
    return {
        "prediction": settings.prediction,
        "segment": segment.name,
        "auc": leading["auc"],
        "threshold": threshold,
        "threshold_from": home,
        **scopes,
    }


def _remarks(result: dict[str, Any], tallies: dict[str, Tally]) -> Iterator[str]:
    """Say what a reader of the scores should know."""
    held_out = result["held_out"]
    if held_out is None:
        yield (
            "No held-out pixels are known for this segment, so the scores may include pixels that the model learned "
            "from. Give --region or --held-out-mask."
        )
    elif not np.isfinite(held_out["auc"]):
        yield "The held-out pixels are all ink or all background: they have no AUC and give no threshold."
    home = result["threshold_from"]
    if not tallies[home].cross_fit().crossed:
        yield "Ink or background is in one block only: the threshold is scored on the pixels that chose it."
    if result[home]["blocks"] < _FEW_BLOCKS:
        yield (
            f"Only {result[home]['blocks']} blocks were scored: the 95 % intervals are too narrow. "
            "Score more of the segment, or choose a smaller --block (of `volumen evaluate`)."
        )


def _write(path: Path, result: dict[str, Any], tallies: dict[str, Tally]) -> None:
    """Write the scores and the histograms they follow from; undefined scores are null."""
    histograms = {
        scope: {"ink": tally.counts.ink.tolist(), "background": tally.counts.background.tolist()}
        for scope, tally in tallies.items()
        if tally.blocks
    }
    plain = json.loads(to_json(Finished(result={**result, "histograms": histograms})))["result"]
    write_whole(path, json.dumps(plain) + "\n")
