"""Beginning: what is read of a segment's labels before painting starts, away from the window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from volumen.plugin.overview import Overview
from volumen.plugin.painted_window import PaintedWindow, first_window
from volumen.plugin.rescue import put_back

if TYPE_CHECKING:
    from pathlib import Path

    from volumen.sources.labels.painted import PaintedLabels
    from volumen.windows import Window


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """Labels of which the first window is in memory, and the levels that are shown around it.

    Parameters
    ----------
    labels
        What is painted on.
    window
        Where painting begins.
    overview
        All of the labels, blank over the window.
    """

    labels: PaintedLabels
    window: PaintedWindow
    overview: Overview

    @classmethod
    def read(cls, labels: PaintedLabels, view: Window | None, *, source: str, rescued: Path) -> Beginning:
        """Put rescued strokes back, then read what the first view needs; for a thread.

        Parameters
        ----------
        labels
            What is painted on.
        view
            Part of the segment that a person looks at; None where that is not known.
        source
            Path of the segment.
        rescued
            Folder for strokes that cannot be saved when painting ends; found there, they are put back.

        Raises
        ------
        OutOfSpaceError
            When rescued strokes cannot be written still; they stay rescued.
        """
        put_back(labels, source, rescued)
        window = first_window(view, labels.shape, labels.chunk)
        return cls(labels=labels, window=PaintedWindow(window, labels.read(window)), overview=Overview(labels, window))
