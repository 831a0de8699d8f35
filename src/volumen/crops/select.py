"""Which windows of a segment to learn from: which layers, where, and with how much ink."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from volumen.errors import LabelError, SettingsError
from volumen.windows import Window, starts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from volumen.crops.counts import PixelCounts
    from volumen.crops.shares import Shares

Sampling = Literal["ink", "mask"]

LEAST_PAPYRUS = 0.5
"""Share of a window that must lie on papyrus. The report's last code asks for all of it; half keeps ragged edges,
where prediction has to work too, and what lies outside the mask is unsupervised anyway."""

LEAST_SUPERVISED = 0.05
"""Share of a window that must be supervised for it to be worth a forward pass."""


@dataclass(frozen=True)
class Crop:
    """A window to learn from, and what is in it."""

    window: Window
    shares: Shares


def centre_layers(depth: int, layers: int | tuple[int, int]) -> tuple[int, int]:
    """Return the half-open range of layers: those given, or so many around the surface at ``depth // 2``.

    Raises
    ------
    SettingsError
        The volume has fewer layers.

    Examples
    --------
    >>> centre_layers(65, 20)
    (22, 42)
    >>> centre_layers(65, (10, 30))
    (10, 30)
    """
    if isinstance(layers, int):
        start = depth // 2 - layers // 2
        start, stop = start, start + layers
        asked = f"{layers} centre layers"
    else:
        start, stop = layers
        asked = f"layers {start}:{stop}"
    if not 0 <= start < stop <= depth:
        raise SettingsError(f"Expected layers inside the volume's {depth}; got {asked}. Choose fewer or others.")
    return (start, stop)


def place_windows(within: Window, size: int, stride: int) -> tuple[Window, ...]:
    """Return square windows of ``size`` px every ``stride`` px that lie wholly inside, row by row.

    An axis shorter than a window gets one, which reaches over its end.

    Examples
    --------
    >>> [window.x for window in place_windows(Window((0, 20), (0, 30), (0, 110)), 40, 20)]
    [(0, 40), (20, 60), (40, 80), (60, 100)]
    """
    (top, bottom), (left, right) = within.y, within.x
    ys = [top + y for y in starts(bottom - top, size, stride) if top + y + size <= bottom] or [top]
    xs = [left + x for x in starts(right - left, size, stride) if left + x + size <= right] or [left]
    return tuple(Window(within.z, (y, y + size), (x, x + size)) for y in ys for x in xs)


def select_crops(
    counts: PixelCounts,
    windows: Sequence[Window],
    *,
    sampling: Sampling = "ink",
    min_ink: float = 0.05,
    min_papyrus: float = LEAST_PAPYRUS,
) -> tuple[Crop, ...]:
    """Keep the windows worth learning from, in the order given.

    ``mask`` keeps those on papyrus that hold supervised pixels. ``ink`` keeps, of these, the windows of which
    at least ``min_ink`` is ink, counted as supervised pixels whose label is above one half.

    Raises
    ------
    LabelError
        No window is left.
    """
    crops = (Crop(window, counts.shares(window)) for window in windows)
    on_papyrus = [
        crop
        for crop in crops
        if crop.shares.of(crop.shares.papyrus) >= min_papyrus
        and crop.shares.supervised
        and crop.shares.of(crop.shares.supervised) >= LEAST_SUPERVISED
    ]
    if sampling == "mask":
        kept = on_papyrus
    else:
        kept = [crop for crop in on_papyrus if crop.shares.ink and crop.shares.of(crop.shares.ink) >= min_ink]
    if not kept:
        most = max((crop.shares.of(crop.shares.ink) for crop in on_papyrus), default=0.0)
        raise LabelError(
            f"Expected windows to learn from; of {len(windows)}, {len(on_papyrus)} are supervised papyrus, the best "
            f"with {most:.1%} ink where {min_ink:.1%} are asked for. Use a smaller window or min_ink, sampling "
            "'mask', or a wider supervision mask."
        )
    return tuple(kept)
