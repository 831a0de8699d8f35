"""UnlabelledSplit: windows to learn from without labels, and crops to reconstruct, that share no voxel."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Literal
from zlib import crc32

import numpy as np

from volumen.crops.blocks import FEWEST_BLOCKS, draw_from, partition, touched
from volumen.crops.counts import PixelCounts
from volumen.crops.region import cut_out
from volumen.crops.select import LEAST_PAPYRUS, centre_layers, place_ranges, place_windows, spread
from volumen.errors import SettingsError
from volumen.windows import Window, height_width

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from volumen.crops.region import Box
    from volumen.sources.segment import Segment
    from volumen.windows import Range, Size

HELD_OUT_CROPS = 64
"""Most crops to reconstruct, of a segment or of a list of lines: enough for a steady loss, few enough to keep."""


@dataclass(frozen=True, kw_only=True)
class UnlabelledSplit:
    """What of a segment to learn from and what to reconstruct.

    Parameters
    ----------
    train
        Windows of one size.
    held_out
        Boxes that share no pixel, at any depth, with ``train``, nor with each other.
    held_out_crops
        Windows as large as those of ``train``, in the held-out boxes: fixed crops to score and to look at.
    by
        What decided: ``blocks`` that were drawn, the ``region`` given, or the ``lines`` of a list.
    """

    train: tuple[Window, ...] = ()
    held_out: tuple[Window, ...] = ()
    held_out_crops: tuple[Window, ...] = ()
    by: Literal["blocks", "region", "lines"]


def split_unlabelled(
    segment: Segment,
    *,
    layers: int | tuple[int, int] = 20,
    size: Size = 224,
    stride: Size = 112,
    layer_stride: int | None = None,
    region: Box | None = None,
    held_out_region: Box | None = None,
    share: float = 0.1,
    held_out_crops: int = HELD_OUT_CROPS,
    seed: int = 0,
) -> UnlabelledSplit:
    """Choose windows of a segment to learn from without labels, and crops to reconstruct. No label is read.

    Half of a window at least lies on papyrus, as the mask says; all does, where there is none. Whole blocks are held
    out, drawn by ``seed`` and spread over the segment, or the region given. Windows that come within an eighth of
    their longer side of a held-out box are not learned from.

    Parameters
    ----------
    layers
        How many centre layers, or which; with ``layer_stride``, how many.
    size, stride
        Of a window, and from one to the next, in pixels: (H, W), or one number for both. The last window of an axis
        lies at its very end.
    layer_stride
        None for the centre layers alone. Else windows through the whole depth, so many layers from one to the next:
        for a volume that is no flattened sheet. What is held out is so at all depths.
    region, held_out_region
        (y0, y1, x0, x1) in pixels: learn and reconstruct only inside; reconstruct inside and learn nowhere near.
    share
        Of the blocks to hold out; at least one is.
    held_out_crops
        Most crops to reconstruct, spread evenly.

    Raises
    ------
    SettingsError
        The segment or a region is smaller than a window, has no papyrus, or cannot be parted.
    """
    depths = _depths(segment, layers, layer_stride)
    within = cut_out(segment, segment.window.layers(depths[0][0], depths[-1][1]), region)
    _check_room(segment, "region" if region else "extent", within, size)
    placed = place_windows(within, size, stride, to_end=True)
    tried = _parts(segment, within, size, held_out_region)
    fillings = (_fill(box, size) for parts in tried for box in parts)
    rows = [row for window in chain(placed, *fillings) for row in window.y]
    counts = PixelCounts.of(segment, within, rows, labelled=False)
    windows = _on_papyrus(counts, placed)
    if not windows:
        raise SettingsError(
            f"Expected papyrus in {segment.name}; none of its {len(placed)} windows of {_described(size)} px lies half "
            "on it. Give another mask or region, or use a smaller window."
        )
    rng = np.random.default_rng([seed, crc32(segment.name.encode())])
    boxes = _draw(tried, windows, counts, size, share=share, rng=rng) if held_out_region is None else tried[0]
    crops = [crop for box in boxes for crop in _on_papyrus(counts, _fill(box, size))]
    train = _away(windows, boxes, size)
    if not crops or not train:
        raise SettingsError(
            f"Expected enough papyrus in {segment.name} to learn from one part and reconstruct another; its "
            f"{len(windows)} windows of {_described(size)} px cannot be parted. Hold out another region, or use a "
            "smaller window or stride."
        )
    return UnlabelledSplit(
        train=tuple(window.layers(*depth) for depth in depths for window in train),
        held_out=tuple(boxes),
        held_out_crops=spread([crop.layers(*depth) for crop in crops for depth in depths], held_out_crops),
        by="blocks" if held_out_region is None else "region",
    )


def _depths(segment: Segment, layers: int | tuple[int, int], stride: int | None) -> list[Range]:
    """Return the ranges of layers of the windows."""
    count = layers if isinstance(layers, int) else layers[1] - layers[0]
    if count > segment.depth:
        raise SettingsError(
            f"Expected {segment.name} to be at least as deep as a crop of {count} layers; it has {segment.depth}. "
            "Choose fewer layers."
        )
    if stride is None:
        return [centre_layers(segment.depth, layers)]
    if not isinstance(layers, int):
        raise SettingsError(
            f"Windows through the whole depth are so many layers deep; got layers {layers[0]}:{layers[1]} and a layer "
            f"stride of {stride}. Give a number of layers, or no layer stride."
        )
    return place_ranges((0, segment.depth), layers, stride, to_end=True)


def _check_room(segment: Segment, what: str, room: Window, size: Size) -> None:
    """Refuse a segment or region that is smaller than a window."""
    height, width = height_width(size)
    if height > room.shape[1] or width > room.shape[2]:
        raise SettingsError(
            f"Expected the {what} of {segment.name} to hold a crop of {height} x {width} px (H x W); it is "
            f"{room.shape[1]} x {room.shape[2]} px. Choose a smaller window, or a larger {what}."
        )


def _parts(segment: Segment, within: Window, size: Size, region: Box | None) -> list[list[Window]]:
    """Return the boxes that may be held out: the region given, else blocks, the largest first."""
    if region is not None:
        box = cut_out(segment, within, region, "held-out region")
        _check_room(segment, "held-out region", box, size)
        return [[box]]
    height, width = height_width(size)
    return [partition(within, (factor * height, factor * width)) for factor in (4, 2, 1)]


def _draw(
    tried: Sequence[Sequence[Window]],
    windows: Sequence[Window],
    counts: PixelCounts,
    size: Size,
    *,
    share: float,
    rng: np.random.Generator,
) -> list[Window]:
    """Draw blocks that hold a crop on papyrus from the first list with enough of them; none where that fails."""
    for parts in tried:
        drawn = draw_from(
            [box for box in parts if _on_papyrus(counts, _fill(box, size))],
            lambda boxes: len(_away(windows, boxes, size)),
            fewest=2 if parts is tried[-1] else FEWEST_BLOCKS,
            share=share,
            rng=rng,
        )
        if drawn:
            return drawn
    return []


def _fill(box: Window, size: Size) -> tuple[Window, ...]:
    """Return the crops that a held-out box holds, edge to edge."""
    return place_windows(box, size, size)


def _on_papyrus(counts: PixelCounts, windows: Iterable[Window]) -> list[Window]:
    shares = ((window, counts.shares(window)) for window in windows)
    return [window for window, share in shares if share.of(share.papyrus) >= LEAST_PAPYRUS]


def _away(windows: Sequence[Window], boxes: Sequence[Window], size: Size) -> list[Window]:
    """Return the windows that do not come near to a box."""
    near = touched(windows, [box.halo(max(height_width(size)) // 8) for box in boxes])
    return [window for window, hit in zip(windows, near, strict=True) if not hit]


def _described(size: Size) -> str:
    height, width = height_width(size)
    return f"{height} x {width}"
