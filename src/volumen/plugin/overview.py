"""Overview: the labels of the whole segment beneath the painted window, read-only, at every zoom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from volumen.plugin.lazy import HeldLevel, LazyLevel, reload

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from volumen.sources.labels.painted import PaintedLabels
    from volumen.windows import Window


class Overview:
    """Levels for a multiscale Labels layer; blank where the painted window lies, which shows fresher pixels itself.

    Parameters
    ----------
    labels
        What is painted; its version may change.
    window
        Where to be blank.
    """

    def __init__(self, labels: PaintedLabels, window: Window) -> None:
        self.window = window
        sources = [_Level(self, labels, level) for level in range(len(labels.level_shapes))]
        *fine, coarsest = sources
        # napari keeps the coarsest level for good, so that one is ours to fill again
        self.levels: list[Any] = [*map(LazyLevel, fine), HeldLevel(coarsest)]

    def move(self, window: Window) -> None:
        """Be blank over another window; refresh the layer afterwards."""
        self.window = window
        reload(self.levels)


class _Level:
    """The classes at one level of the pyramid, uint8 YX, read from the disk at each slicing."""

    def __init__(self, overview: Overview, labels: PaintedLabels, level: int) -> None:
        self._overview = overview
        self._labels = labels
        self._level = level

    @property
    def shape(self) -> tuple[int, ...]:
        return self._labels.level_shapes[self._level]

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint8)

    @property
    def chunks(self) -> tuple[int, ...]:
        return (self._labels.chunk, self._labels.chunk)

    def __getitem__(self, key: tuple[slice, slice], /) -> NDArray[np.uint8]:
        window, factor = self._overview.window, 1 << self._level
        blank, asked = [], []
        for part, length, (start, stop) in zip(key, self.shape, (window.y, window.x), strict=True):
            first, last, _ = part.indices(length)
            asked.append(max(0, last - first))
            blank.append(slice(max(0, -(-start // factor) - first), max(0, -(-stop // factor) - first)))
        if all(part.start == 0 and part.stop >= size for part, size in zip(blank, asked, strict=True)):
            return np.zeros(asked, np.uint8)  # whoever paints mostly sees no more than the window: nothing is read
        classes = self._labels.read_level(self._level, key).classes
        classes[tuple(blank)] = 0
        return classes
