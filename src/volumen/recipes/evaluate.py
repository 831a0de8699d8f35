"""Evaluate: an ink map against labels, over held-out pixels, the whole mask and the tiles with ink, separately."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from volumen.errors import LabelError
from volumen.evaluation.counts import INK
from volumen.evaluation.tally import Tally
from volumen.events import Finished, Saved, Scored, Started, Stepped, Warned, to_json
from volumen.recipes.ink_map import InkMap
from volumen.sources.open import open_segment
from volumen.sources.pyramid import out_of_space
from volumen.windows import Window, starts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from volumen import settings as choose
    from volumen.events import Event
    from volumen.sources.segment import Segment

    Where = Callable[[Window], NDArray[np.bool_]]

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

    Yields
    ------
    Event
        A `Scored` for each scope; the last is `Finished`, whose result holds a dictionary of scores under each of
        ``held_out``, ``whole_mask`` and ``ink_tiles`` (None where there is no such pixel), ``threshold``, and
        ``auc``, that of the held-out pixels where there are any.

    Raises
    ------
    LabelError
        The map does not fit the segment, or the label has no ink or no background to score by.

    Examples
    --------
    >>> from volumen import settings
    >>> chosen = settings.Evaluate(prediction="ink.zarr", segment="20230827161847.zarr")
    >>> scores = result(evaluate(chosen))  # doctest: +SKIP
    """
    segment = open_segment(settings.segment, **_given(settings))
    ink_map = InkMap.open(settings.prediction).on(segment)
    segment.raster("ink")
    held_out = _held_out(settings, segment, ink_map)
    bands = list(_bands(ink_map.predicted, settings.block))
    yield Started(work="evaluate", total=len(bands), unit="bands", detail={"segment": segment.name})
    tiles = _ink_tiles(segment, ink_map.predicted, side=settings.tile, min_ink=settings.min_ink)
    tallies = {scope: Tally(block=settings.block, draws=settings.resamples, seed=settings.seed) for scope in SCOPES}
    for done, band in enumerate(bands, start=1):
        _count(segment, ink_map, band, {"held_out": held_out, "ink_tiles": tiles}, tallies)
        yield Stepped(done=done, total=len(bands))
    _check(segment, tallies["whole_mask"])
    result = _result(settings, segment, tallies)
    for message in _remarks(result, tallies):
        yield Warned(message=message)
    for step, scope in enumerate(SCOPES):
        if result[scope] is not None:
            points = {f"{scope}.{name}": result[scope][name] for name in SCORES}
            yield Scored(step=step, scores=points)
    if settings.out is not None:
        _write(Path(settings.out), result, tallies)
        yield Saved(path=settings.out, what="scores")
    yield Finished(result=result)


def _given(settings: choose.Evaluate) -> dict[str, Any]:
    """Return what was given by hand about the segment, as `open_segment` takes it."""
    rasters = {
        "ink": settings.ink,
        "supervision": settings.supervision,
        "held_out": settings.held_out_mask,
        "mask": settings.mask,
    }
    for name, paths in rasters.items():
        if len(paths) > 1:
            raise LabelError(f"One segment is scored, so give one {name} raster at most; got {len(paths)}: {paths}.")
    chosen = {name: paths[0] for name, paths in rasters.items() if paths}
    return {**chosen, "reverse": settings.reverse, "voxel_um": settings.voxel_um}


def _held_out(settings: choose.Evaluate, segment: Segment, ink_map: InkMap) -> Where | None:
    """Say which pixels are held out: the region given, else the segment's raster, else what training recorded."""
    if settings.region is not None:
        y0, y1, x0, x1 = settings.region
        box = Window((0, 1), (y0, y1), (x0, x1))
        if (box & ink_map.predicted).empty:
            raise LabelError(
                f"Nothing was predicted in the region {y0}:{y1},{x0}:{x1}; "
                f"{ink_map.raster.source} covers {_text(ink_map.predicted)}."
            )
        return lambda window: _inside((box,), window)
    raster = segment.held_out
    if raster is not None:
        return lambda window: raster.read(window) > INK
    boxes = ink_map.held_out(segment.name)
    return (lambda window: _inside(boxes, window)) if boxes else None


def _inside(boxes: tuple[Window, ...], window: Window) -> NDArray[np.bool_]:
    """Return which pixels of a window lie in one of the boxes, YX."""
    inside = np.zeros(window.shape[1:], dtype=np.bool_)
    for box in boxes:
        inside[(box & window).inside(window).yx] = True
    return inside


def _bands(predicted: Window, block: int) -> Iterator[Window]:
    """Yield bands over the predicted box, on the block grid that starts at the segment's top left corner."""
    (top, bottom), (left, right) = predicted.y, predicted.x
    top, left = top // block * block, left // block * block
    rows = max(block, _BAND_PIXELS // (right - left) // block * block)
    for start in starts(bottom - top, rows, rows):
        yield Window((0, 1), (top + start, min(top + start + rows, bottom)), (left, right))


def _ink_tiles(segment: Segment, within: Window, *, side: int, min_ink: float) -> Where:
    """Say which pixels lie in a tile with enough ink, of a grid of whole tiles from the segment's top left corner."""
    height, width = segment.shape[1:]
    chosen = np.zeros((-(-height // side), -(-width // side)), dtype=np.bool_)
    down, across = height // side, width // side
    for row in range(within.y[0] // side, min(down, -(-within.y[1] // side))):
        strip = Window((0, 1), (row * side, (row + 1) * side), (0, across * side))
        inked = segment.raster("ink").read(strip) > INK
        share = inked.reshape(side, across, side).mean(axis=(0, 2))  # side (across side) -> across
        chosen[row, :across] = share >= min_ink

    def where(window: Window) -> NDArray[np.bool_]:
        rows, columns = (np.arange(*span) // side for span in (window.y, window.x))
        return chosen[np.ix_(rows, columns)]

    return where


def _count(
    segment: Segment, ink_map: InkMap, band: Window, where: dict[str, Where | None], tallies: dict[str, Tally]
) -> None:
    """Count one band: all that can be scored as the whole mask, and the part of it in each other scope."""
    ink_raster = segment.raster("ink")
    counted = segment.supervised(band) & ink_raster.covered(band) & _inside((ink_map.predicted,), band)
    if segment.mask is not None:
        counted &= segment.mask.read(band) > INK
    if not counted.any():
        return
    ink, levels = ink_raster.read(band), ink_map.levels(band)
    tallies["whole_mask"].add(levels, ink, counted)
    for scope, chosen in where.items():
        if chosen is not None:
            tallies[scope].add(levels, ink, counted & chosen(band))


def _check(segment: Segment, whole: Tally) -> None:
    """Refuse to score what has one class only."""
    counts, source = whole.counts, segment.raster("ink").source
    if counts.pixels == 0:
        raise LabelError(
            f"There is nothing to score on {segment.name}: no predicted pixel lies in its supervision and mask."
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
            "Score more of the segment, or choose a smaller --block."
        )


def _text(window: Window) -> str:
    return ",".join(f"{start}:{stop}" for start, stop in (window.y, window.x))


def _write(path: Path, result: dict[str, Any], tallies: dict[str, Tally]) -> None:
    """Write the scores and the histograms they follow from, whole or not at all; undefined scores are null."""
    histograms = {
        scope: {"ink": tally.counts.ink.tolist(), "background": tally.counts.background.tolist()}
        for scope, tally in tallies.items()
        if tally.blocks
    }
    plain = json.loads(to_json(Finished(result={**result, "histograms": histograms})))["result"]
    unfinished = path.with_name(f".{path.name}.tmp")
    with out_of_space(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(json.dumps(plain) + "\n", encoding="utf-8")
        os.replace(unfinished, path)
