"""Split: windows to learn from and boxes to score in, of one segment, that share no voxel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Literal
from zlib import crc32

import numpy as np

from volumen.crops.blocks import disjoint, draw_blocks, touched
from volumen.crops.counts import PixelCounts
from volumen.crops.region import cut_out
from volumen.crops.select import Crop, Sampling, centre_layers, place_windows, select_crops
from volumen.errors import LabelError
from volumen.windows import Window, grid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from volumen.crops.region import Box
    from volumen.crops.shares import Shares
    from volumen.sources.segment import Segment


@dataclass(frozen=True, kw_only=True)
class Split:
    """What to learn from and what to score.

    Parameters
    ----------
    train
        Windows of one size, row by row.
    held_out
        Boxes of any size that share no pixel with each other, nor with ``train`` (``ordered`` excepted).
    shares
        What the training windows hold.
    by
        What decided: ``blocks``, ``ordered``, the ``region`` or the held-out ``raster``.
    warnings
        What the person should know.
    """

    train: tuple[Window, ...]
    held_out: tuple[Window, ...]
    shares: Shares
    by: Literal["blocks", "ordered", "region", "raster"]
    warnings: tuple[str, ...] = ()

    def scored(self, segment: Segment, window: Window) -> NDArray[np.bool_]:
        """Return where to score, YX: supervised, and held out where a raster decided."""
        supervised = segment.supervised(window)
        return supervised & (segment.raster("held_out").read(window) > 0.5) if self.by == "raster" else supervised


def split_segment(
    segment: Segment,
    *,
    layers: int | tuple[int, int] = 20,
    size: int = 320,
    stride: int = 160,
    sampling: Sampling = "ink",
    min_ink: float = 0.05,
    region: Box | None = None,
    held_out_region: Box | None = None,
    split: Literal["blocks", "ordered"] = "blocks",
    share: float = 0.2,
    seed: int = 0,
) -> Split:
    """Choose the windows of a segment to learn from and the boxes to score in.

    ``held_out_region`` decides where it is given, else the segment's ``held_out`` raster, else ``split``.
    ``blocks`` holds out whole blocks, drawn by ``seed`` from blocks sorted by their ink, so that ink and
    background are held out alike. Windows that come within an eighth of their size of a held-out box are not
    learned from. ``ordered`` is the report's way: the last ``share`` of the windows in row order; windows at
    the cut share voxels, which is warned about.

    Parameters
    ----------
    layers
        How many centre layers, or which.
    size, stride
        Side of a window and distance between windows in pixels.
    sampling, min_ink
        See `select_crops`.
    region, held_out_region
        (y0, y1, x0, x1) in pixels: learn and score only inside; score inside and learn nowhere near.
    share
        Of the blocks, or windows, to hold out.

    Raises
    ------
    LabelError
        There is nothing to learn from, or nothing is left of it beside what is held out.
    SettingsError
        Layers or regions lie outside the segment.
    """
    within = cut_out(segment, segment.window.layers(*centre_layers(segment.depth, layers)), region)
    windows = place_windows(within, size, stride)
    boxes, by = _given(segment, within, held_out_region, size)
    sides = [] if boxes else sorted({4 * size, 2 * size, size, max(1, size // 2)}, reverse=True)
    edges = [row for window in windows for row in window.y] + [row for box in boxes for row in box.y]
    edges += [row for side in sides for row in range(*within.y, side)]
    counts = PixelCounts.of(segment, within, edges)
    counts.shares(within).check(segment.name)
    crops = select_crops(counts, windows, sampling=sampling, min_ink=min_ink)
    guard = size // 8
    if by is not None:
        kept = _away(crops, boxes if by == "raster" else [*boxes, *_held_out_boxes(segment, within, size)], guard)
        return _split(segment, kept, boxes, by)
    if split == "ordered":
        return _ordered(segment, crops, share)
    rng = np.random.default_rng([seed, crc32(segment.name.encode())])
    boxes = draw_blocks(crops, counts, sides=sides, share=share, guard=guard, rng=rng)
    if not boxes:
        raise LabelError(
            f"Expected enough labelled papyrus in {segment.name} to learn from one part and score another; its "
            f"{len(crops)} windows of {size} px cannot be parted. Give a held-out region or mask, use a smaller "
            "window, or label more."
        )
    return _split(segment, _away(crops, boxes, guard), boxes, "blocks")


def _given(
    segment: Segment, within: Window, region: Box | None, size: int
) -> tuple[list[Window], Literal["region", "raster"] | None]:
    """Return the boxes that the person holds out, and by what."""
    if region is not None:
        return [cut_out(segment, within, region, "held-out region")], "region"
    boxes = _held_out_boxes(segment, within, size)
    return boxes, "raster" if boxes else None


def _held_out_boxes(segment: Segment, within: Window, size: int) -> list[Window]:
    """Return the box around what the raster holds out in each ``size`` px cell."""
    if segment.held_out is None:
        return []
    boxes = []
    for cell in grid(within, size, size):
        inside = cell & within
        ys, xs = np.nonzero(segment.held_out.read(inside) > 0.5)
        if ys.size:
            (y, x) = inside.y[0], inside.x[0]
            boxes.append(
                Window(within.z, (y + int(ys.min()), y + int(ys.max()) + 1), (x + int(xs.min()), x + int(xs.max()) + 1))
            )
    return boxes


def _away(crops: Sequence[Crop], boxes: Sequence[Window], guard: int) -> list[Crop]:
    near = touched([crop.window for crop in crops], [box.halo(guard) for box in boxes])
    return [crop for crop, hit in zip(crops, near, strict=True) if not hit]


def _ordered(segment: Segment, crops: Sequence[Crop], share: float) -> Split:
    cut = min(max(1, int(len(crops) * (1 - share))), len(crops) - 1)
    if cut < 1:
        raise LabelError(f"Expected at least two windows in {segment.name} to split in order; got {len(crops)}.")
    held_out = [crop.window for crop in crops[cut:]]
    shared = int(touched([crop.window for crop in crops[:cut]], held_out).sum())
    warning = (
        f"{shared} of {cut} training windows share voxels with the held-out windows of {segment.name}: "
        "scores of an ordered split are too good. Split by blocks for honest ones.",
    )
    return _split(segment, crops[:cut], disjoint(held_out), "ordered", warning if shared else ())


def _split(
    segment: Segment,
    crops: Sequence[Crop],
    held_out: Sequence[Window],
    by: Literal["blocks", "ordered", "region", "raster"],
    warnings: tuple[str, ...] = (),
) -> Split:
    if not crops:
        raise LabelError(
            f"Expected windows of {segment.name} to learn from; all of them touch what is held out. "
            "Hold out less, or use a smaller window or stride."
        )
    shares = reduce(add, (crop.shares for crop in crops))
    shares.check(f"the training windows of {segment.name}")
    return Split(
        train=tuple(crop.window for crop in crops),
        held_out=tuple(held_out),
        shares=shares,
        by=by,
        warnings=(*shares.warnings, *warnings),
    )
