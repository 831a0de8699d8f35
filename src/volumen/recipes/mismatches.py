"""Mismatches: what about a segment does not fit how a model learned, and can be cured by an option."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from volumen.models.unet import LEAST_CROP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from volumen.prediction.plan import TilePlan
    from volumen.sources.segment import Segment


def wrong_order(header: Mapping[str, Any], segment: Segment) -> str | None:
    """Notice a segment that the model learned from, now read the other way round."""
    trained = segment.name in header.get("held_out", {})
    if not trained or bool(header.get("reverse")) == segment.reverse:
        return None
    cure = "give --reverse" if not segment.reverse else "leave --reverse out"
    return f"The model learned from {segment.name} with its layers the other way round; {cure} to read it the same way."


def too_far(header: Mapping[str, Any], plan: TilePlan) -> str | None:
    """Notice tiles that show more than a model of small crops ever saw at once."""
    learned = int(header.get("input_size", LEAST_CROP))
    side, tile = max(plan.shape[1:]), max(64, learned)
    if learned >= LEAST_CROP or side <= tile:
        return None
    return (
        f"The model learned from crops of {learned} px and does not know what it sees in tiles of {side} px. "
        f"--tile {tile} --overlap {tile // 2} may score better, at about four times the work."
    )
