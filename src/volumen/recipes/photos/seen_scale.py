"""seen_scale: how photographs are shown to a model that learned from whole ones, which were brought to one size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from volumen.models.checkpoint import PHOTOS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from volumen.sources.segment import Segment

_STRIDE = 32  # tiles begin at multiples of it, in px of the photograph
_LARGEST = 8192  # px of the photograph; a tile takes three bytes a pixel, and is seen much smaller


def seen_scale(header: Mapping[str, Any], segment: Segment) -> tuple[float, float] | None:
    """Return how many px of a photograph, down and across, one px of what the model saw stands for.

    Parameters
    ----------
    header
        Of the model's checkpoint.
    segment
        The photograph.

    Returns
    -------
    tuple or None
        None where the model sees its input as it is: a segment, or a photograph at native size.
    """
    if (header.get(PHOTOS) or {}).get("fit") != "resize":
        return None
    height, width = header["input_size"]
    return segment.shape[1] / height, segment.shape[2] / width


def scaled_tile(tile: int, overlap: int, scale: tuple[float, float] | None) -> tuple[int, int]:
    """Return tile and overlap in px of the photograph, such that they are as wide in px of what the model sees.

    Examples
    --------
    >>> scaled_tile(512, 64, (4.0, 2.5)), scaled_tile(512, 64, None)
    ((2048, 256), (512, 64))
    """
    if scale is None:
        return tile, overlap
    times = max(scale)
    side = min(_LARGEST, _STRIDE * -(-round(tile * times) // _STRIDE))
    return max(2 * _STRIDE, side), min(round(overlap * times), (side - _STRIDE) // 2)
