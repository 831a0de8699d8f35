"""Which windows of text lines to learn from without labels, and which to reconstruct."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from volumen.crops.select import place_windows, spread
from volumen.crops.unlabelled import HELD_OUT_CROPS, UnlabelledSplit
from volumen.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from volumen.sources.lines.line import Line
    from volumen.windows import Size, Window


def split_lines(
    lines: Sequence[Line],
    *,
    size: Size,
    stride: Size,
    share: float = 0.1,
    held_out_crops: int = HELD_OUT_CROPS,
    seed: int = 0,
) -> tuple[UnlabelledSplit, ...]:
    """Choose windows of text lines to learn from without labels, and crops to reconstruct.

    Lines of the ``train`` split, or of none, are learned from; those of ``val`` are held out whole, or, where there
    are none, a share of the others. ``test`` lines are not used at all. Windows follow each other along a line; the
    last lies at its very end, and in a line shorter than a window reaches over it.

    Parameters
    ----------
    lines
        As `open_lines` returns them.
    size, stride
        Of a window, and from one to the next, in pixels: (H, W), or one number for both.
    share
        Of the lines to hold out where the list says nothing; at least one is.
    held_out_crops
        Most crops to reconstruct, spread evenly over the lines held out.
    seed
        Draws the lines to hold out.

    Returns
    -------
    tuple of UnlabelledSplit
        One for each line, in their order; empty where a line is not used.

    Raises
    ------
    SettingsError
        There are no lines to learn from, or none to hold out.
    """
    train = [index for index, line in enumerate(lines) if line.split in ("train", "")]
    held_out = [index for index, line in enumerate(lines) if line.split == "val"]
    if not held_out and len(train) > 1:
        count = min(max(1, round(share * len(train))), len(train) - 1)
        held_out = sorted(np.random.default_rng(seed).choice(train, count, replace=False).tolist())
        train = sorted({*train} - {*held_out})
    if not train or not held_out:
        raise SettingsError(
            f"Expected lines to learn from and others to reconstruct; of {len(lines)} lines, {len(train)} are in "
            f"'train' or no split and {len(held_out)} are held out. Lines of 'test' are not used: mark others."
        )
    shown: dict[int, list[Window]] = defaultdict(list)
    placed = [(index, window) for index in held_out for window in _windows(lines[index], size, size)]
    for index, window in spread(placed, held_out_crops):
        shown[index].append(window)
    splits = [UnlabelledSplit(by="lines")] * len(lines)
    for index in train:
        splits[index] = UnlabelledSplit(by="lines", train=_windows(lines[index], size, stride))
    for index in held_out:
        box = lines[index].segment.window
        splits[index] = UnlabelledSplit(by="lines", held_out=(box,), held_out_crops=tuple(shown[index]))
    return tuple(splits)


def _windows(line: Line, size: Size, stride: Size) -> tuple[Window, ...]:
    return place_windows(line.segment.window, size, stride, to_end=True)
