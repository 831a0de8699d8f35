"""What a survey of labels and masks says against training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from volumen.crops.select import LEAST_PAPYRUS
from volumen.crops.shares import LEAST_BACKGROUND
from volumen.recipes.findings import Finding, broken, doubtful

if TYPE_CHECKING:
    from collections.abc import Iterator

    from volumen.recipes.label_survey import LabelSurvey
    from volumen.sources.segment import Segment

LEAST_INK, MOST_INK = 0.002, 0.5
"""Shares of the supervised pixels; hand-made labels of Scroll 1 hold 1.2 to 11.5 % ink."""

_MOST_STRAY = 0.05


def label_findings(segment: Segment, survey: LabelSurvey, window: int) -> Iterator[Finding]:
    """Yield what is wrong with the labels, worst first; a segment without labels only has a mask to be wrong."""
    if not survey.papyrus.any():
        yield broken("mask_empty", f"The mask marks no papyrus: {_source(segment, 'mask')}. Give the right --mask.")
        return
    yield from _window_findings(segment, survey, window)
    if segment.ink is None:
        return
    ink = int(survey.ink.sum())
    if not ink:
        yield broken(
            "label_empty", f"No pixel of {_source(segment, 'ink')} is above one half. Paint ink, or give another --ink."
        )
        return
    if ink == int(survey.pixels.sum()):
        yield broken(
            "label_all_ink",
            f"Every pixel of {_source(segment, 'ink')} is ink: it may be a mask, or hold 1 where 0 is meant. "
            "Give the ink label with --ink.",
        )
        return
    if not survey.supervised.any():
        yield broken(
            "nothing_supervised",
            f"No pixel is supervised: {_source(segment, 'supervision')} marks none where the label reaches. "
            "Mark where the label may be trusted.",
        )
        return
    yield from _balance_findings(survey)
    stray = survey.share(survey.stray, survey.ink)
    if stray > _MOST_STRAY:
        yield doubtful(
            "ink_outside_mask",
            f"{stray:.1%} of the ink lies outside the mask: label and mask may belong to different segments or "
            "be turned or shifted. Lay one over the other and look.",
        )


def label_notes(segment: Segment) -> Iterator[str]:
    """Yield what is worth knowing and nothing to worry about."""
    if segment.ink is None:
        yield "There is no ink label: the segment serves for pretraining and prediction only."
    elif segment.supervision is None:
        where = "the whole mask" if segment.mask is not None else "the whole volume"
        yield f"There is no supervision mask: {where} counts as labelled, so what nobody has looked at is background."
    if segment.mask is None:
        yield "There is no mask: the whole volume counts as papyrus."
    if segment.held_out is None and segment.ink is not None:
        yield "There is no held-out mask: training holds out blocks of its own."
    for name in ("ink", "supervision", "mask"):
        raster = getattr(segment, name)
        if raster is not None and raster.extent != segment.shape[1:]:
            yield f"The {name} raster ends at {raster.extent} px (H, W), before the volume's {segment.shape[1:]}."


def _window_findings(segment: Segment, survey: LabelSurvey, window: int) -> Iterator[Finding]:
    _, height, width = segment.shape
    if window > min(height, width):
        yield broken(
            "window_too_large",
            f"A window of {window} px does not fit the volume of {height} x {width} px. "
            f"Choose --window {_fitting(min(height, width))} or less.",
        )
    elif segment.mask is not None and survey.most_papyrus(window) < LEAST_PAPYRUS:
        yield broken(
            "window_too_large",
            f"No window of {window} px lies on papyrus: the best place holds {survey.most_papyrus(window):.0%}, "
            f"{LEAST_PAPYRUS:.0%} is asked for. Choose a smaller --window.",
        )


def _balance_findings(survey: LabelSurvey) -> Iterator[Finding]:
    ink = survey.share(survey.learnable, survey.supervised)
    supervised = int(survey.supervised.sum())
    if 1 - ink < LEAST_BACKGROUND:
        yield broken(
            "no_background",
            f"Only {1 - ink:.2%} of the {supervised} supervised pixels are background; a model trained on this says "
            "ink everywhere, and its loss looks fine. Extend the supervision mask over clean papyrus.",
        )
    elif ink > MOST_INK:
        yield doubtful(
            "much_ink",
            f"{ink:.1%} of the supervised pixels are ink, more than writing covers (1 to 12 % as a rule): the label "
            "may be inverted, or the supervision mask drawn too close. Look at both.",
        )
    elif ink < LEAST_INK:
        yield doubtful(
            "little_ink",
            f"Only {ink:.3%} of the {supervised} supervised pixels are ink; there may be too little to learn from. "
            "Paint more, or draw the supervision mask closer around it.",
        )


def _fitting(side: int) -> int:
    """Return the largest multiple of 32 px that fits, or all of it."""
    return side // 32 * 32 or side


def _source(segment: Segment, name: str) -> str:
    """Name the file that a raster comes from; supervision falls back on the mask."""
    raster = getattr(segment, name)
    if raster is None and name == "supervision":
        raster = segment.mask
    return segment.source if raster is None else str(raster.source)
