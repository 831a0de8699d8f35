"""LabelSurvey: where a segment's ink, supervision and papyrus lie, counted in small cells in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from volumen.windows import Window, grid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from volumen.sources.segment import Segment

CELL = 32
"""Side of a cell in pixels."""

_BAND_PIXELS = 1 << 24  # pixels of a raster that are in memory at once


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelSurvey:
    """Pixel counts by cell, each (rows, columns) of cells; cells at the far edges may be smaller.

    Parameters
    ----------
    pixels
        All pixels.
    papyrus
        Inside the mask; all of them where there is no mask.
    supervised
        Where the ink label may be trusted.
    ink
        Where the ink label is above one half, supervised or not.
    learnable
        Ink that is supervised.
    stray
        Ink outside the mask.
    """

    pixels: NDArray[np.int64]
    papyrus: NDArray[np.int64]
    supervised: NDArray[np.int64]
    ink: NDArray[np.int64]
    learnable: NDArray[np.int64]
    stray: NDArray[np.int64]

    def share(self, part: NDArray[np.int64], of: NDArray[np.int64]) -> float:
        """Return one kind's share of another over the whole segment, in [0, 1]; 0 of nothing."""
        whole = int(of.sum())
        return float(part.sum()) / whole if whole else 0.0

    def most_papyrus(self, side: int) -> float:
        """Return the largest share of papyrus in any square of about ``side`` px that starts on a cell, in [0, 1]."""
        cells = max(1, side // CELL)
        rows, columns = self.pixels.shape
        if cells > rows or cells > columns:
            return float(self.papyrus.sum()) / (cells * CELL) ** 2
        sums = np.zeros((rows + 1, columns + 1), dtype=np.int64)
        sums[1:, 1:] = self.papyrus.cumsum(0).cumsum(1)
        boxes = sums[cells:, cells:] - sums[:-cells, cells:] - sums[cells:, :-cells] + sums[:-cells, :-cells]
        return float(boxes.max()) / (cells * CELL) ** 2


def label_bands(segment: Segment) -> list[Window]:
    """Cut a segment into bands of whole cells that each fit in memory."""
    _, height, width = segment.shape
    rows = max(1, _BAND_PIXELS // max(1, width * CELL)) * CELL
    return [Window((0, 1), (top, min(top + rows, height)), (0, width)) for top in range(0, height, rows)]


def survey_labels(segment: Segment) -> Iterator[LabelSurvey]:
    """Yield the survey of each band of `label_bands`; `join_surveys` puts them together."""
    for band in label_bands(segment):
        pixels = _pixels_by_cell(band)
        none = np.zeros_like(pixels)
        papyrus = None if segment.mask is None else segment.mask.read(band) > 0.5
        ink = None if segment.ink is None else segment.ink.read(band) > 0.5
        supervised = None
        if not (segment.ink is None and segment.supervision is None and segment.mask is None):
            supervised = segment.supervised(band)
        yield LabelSurvey(
            pixels=pixels,
            papyrus=pixels if papyrus is None else _by_cell(papyrus),
            supervised=pixels if supervised is None else _by_cell(supervised),
            ink=none if ink is None else _by_cell(ink),
            learnable=none if ink is None or supervised is None else _by_cell(ink & supervised),
            stray=none if ink is None or papyrus is None else _by_cell(ink & ~papyrus),
        )


def join_surveys(bands: list[LabelSurvey]) -> LabelSurvey:
    """Stack the surveys of bands that follow each other along Y."""
    names = ("pixels", "papyrus", "supervised", "ink", "learnable", "stray")
    return LabelSurvey(**{name: np.concatenate([getattr(band, name) for band in bands]) for name in names})


def choose_windows(survey: LabelSurvey, shape: tuple[int, int, int], *, side: int, count: int) -> list[Window]:
    """Choose windows to look into: on papyrus, half of them on ink where there is any; in reading order.

    Parameters
    ----------
    survey
        Where things are.
    shape
        The segment's extent (Z, Y, X).
    side
        Side of a window in pixels, a multiple of `CELL` or the whole of a smaller segment.
    count
        How many windows at most.
    """
    inked: list[Window] = []
    blank: list[Window] = []
    for window in grid(Window.whole(shape), side, side):
        if window.clip(shape) != window:
            continue
        rows, columns = (slice(start // CELL, -(-stop // CELL)) for start, stop in (window.y, window.x))
        cells = (rows, columns)
        if survey.papyrus[cells].sum() < 0.5 * side * side:
            continue
        (inked if survey.learnable[cells].sum() >= 0.03 * side * side else blank).append(window)
    draw = np.random.default_rng(0)
    on_ink = min(len(inked), max(count // 2, count - len(blank)))
    chosen = _some(inked, on_ink, draw) + _some(blank, count - on_ink, draw)
    return sorted(chosen, key=lambda window: (window.y, window.x))


def _some(windows: list[Window], count: int, draw: np.random.Generator) -> list[Window]:
    picked = draw.permutation(len(windows))[:count]
    return [windows[index] for index in picked]


def _pixels_by_cell(band: Window) -> NDArray[np.int64]:
    """Count the pixels of each cell of a band, which starts on a cell: (rows, columns)."""
    sides = [np.minimum(CELL, length - np.arange(0, length, CELL)) for length in band.shape[1:]]
    return np.asarray(np.outer(*sides), dtype=np.int64)


def _by_cell(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count true pixels in each cell: YX -> (rows, columns)."""
    height, width = flags.shape
    if height % CELL or width % CELL:
        flags = np.pad(flags, ((0, -height % CELL), (0, -width % CELL)))
    # (rows CELL) X -> rows X; a byte holds the sum of a cell's height, which makes this fast.
    tall = flags.view(np.uint8).reshape(-1, CELL, flags.shape[1]).sum(axis=1, dtype=np.uint8)
    # rows (columns CELL) -> rows columns
    return np.asarray(tall.reshape(tall.shape[0], -1, CELL).sum(axis=2, dtype=np.int64))
