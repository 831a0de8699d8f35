"""Which windows of a segment to learn from: which layers, where, and with how much ink."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

from volumen.errors import LabelError, SettingsError
from volumen.windows import Window, height_width, starts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from volumen.crops.counts import PixelCounts
    from volumen.crops.shares import Shares
    from volumen.windows import Range, Size

T = TypeVar("T")
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
        raise SettingsError(
            f"Expected layers inside the volume's {depth}; got {asked}. Choose fewer or others (--layers)."
        )
    return (start, stop)


def place_windows(within: Window, size: Size, stride: Size, *, to_end: bool = False) -> tuple[Window, ...]:
    """Return windows of ``size`` px every ``stride`` px that lie wholly inside, row by row.

    An axis shorter than a window gets one, which reaches over its end.

    Parameters
    ----------
    within
        Where to place them; they have all of its layers.
    size, stride
        Of a window, and from one to the next, in px: (H, W), or one number for both.
    to_end
        Place one more window at the very end of an axis where the others do not reach it, so that all is covered.

    Examples
    --------
    >>> [window.x for window in place_windows(Window((0, 20), (0, 30), (0, 110)), 40, 20)]
    [(0, 40), (20, 60), (40, 80), (60, 100)]
    >>> [window.x for window in place_windows(Window((0, 1), (0, 64), (0, 600)), (64, 256), 256, to_end=True)]
    [(0, 256), (256, 512), (344, 600)]
    """
    (height, width), (down, right) = height_width(size), height_width(stride)
    ys, xs = place_ranges(within.y, height, down, to_end=to_end), place_ranges(within.x, width, right, to_end=to_end)
    return tuple(Window(within.z, y, x) for y in ys for x in xs)


def place_ranges(within: Range, size: int, stride: int, *, to_end: bool) -> list[Range]:
    """Return the ranges of `place_windows` along one axis."""
    start, stop = within
    begins = [start + at for at in starts(stop - start, size, stride) if start + at + size <= stop] or [start]
    if to_end and begins[-1] + size < stop:
        begins.append(stop - size)
    return [(begin, begin + size) for begin in begins]


def spread(items: Sequence[T], count: int) -> tuple[T, ...]:
    """Return at most ``count`` items, evenly spread over all, in their order.

    Examples
    --------
    >>> spread(range(10), 4)
    (0, 3, 6, 9)
    """
    chosen = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return tuple(items[index] for index in chosen)


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
            f"with {most:.1%} ink where {min_ink:.1%} are asked for. Use a smaller --window or --min-ink, "
            "--sampling mask, or a wider supervision mask."
        )
    return tuple(kept)
