"""Saving: strokes go to disk in another thread, soon after they were painted, and again where that failed."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from volumen.errors import VolumenError
from volumen.plugin.painted_window import PaintedWindow
from volumen.sources.labels.painted import Patch
from volumen.windows import Window

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from volumen.sources.labels.painted import Labels, PaintedLabels

_SOON = 0.5  # s after a stroke
_LATEST = 1.5  # s after the first stroke that is not saved, even while another goes on
_RETRY = 5.0  # s after a write that failed


class Saving:
    """One thread that reads and writes labels in the order it is asked to, so that a read sees every write before it.

    Parameters
    ----------
    labels
        What is painted on.
    clock
        Returns seconds.
    """

    def __init__(self, labels: PaintedLabels, clock: Callable[[], float]) -> None:
        self.error = ""
        self.saved_at: float | None = None
        self.writes = 0  # begun so far: a reading asked for before the last of them may lack its strokes
        self._labels = labels
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="volumen-paint")
        self._writing: tuple[NDArray[np.uint8], Future[None]] | None = None
        self._changed_at: float | None = None
        self._retry_at = 0.0

    @property
    def writing(self) -> bool:
        """Whether strokes are on their way."""
        return self._writing is not None

    def save_if_due(self, window: PaintedWindow, *, pressed: bool) -> None:
        """Begin to write what has changed, a little after the stroke; a long stroke in pieces."""
        if not window.unsaved:
            self._changed_at = None
            return
        now = self._clock()
        self._changed_at = now if self._changed_at is None else self._changed_at
        waited = now - self._changed_at
        if waited >= _LATEST or (waited >= _SOON and not pressed):
            self.save_now(window)

    def save_now(self, window: PaintedWindow) -> None:
        """Begin to write what has changed, unless a write is on its way or has just failed."""
        if self._writing is None and self._clock() >= self._retry_at:
            self._save(window)

    def end(self, window: PaintedWindow, *, wait: bool = False, strict: bool = False) -> None:
        """Take note of a write that has ended, well or not.

        Parameters
        ----------
        window
            What the write came from.
        wait
            Whether to wait for one that has not ended.
        strict
            Whether to raise what went wrong, besides saying it.
        """
        if self._writing is None or not (wait or self._writing[1].done()):
            return
        classes, future = self._writing
        self._writing = None
        try:
            future.result()
        except (VolumenError, OSError) as error:
            self.error = str(error)
            self._retry_at = self._clock() + _RETRY
            if strict:
                raise
            return
        self.error = ""
        self.saved_at = self._clock()
        self._changed_at = None
        window.saved = classes

    def flush(self, window: PaintedWindow) -> None:
        """Write all that has changed, and return when it is there.

        Raises
        ------
        OutOfSpaceError, SourceNotFoundError, OSError
            When that is impossible; the strokes are still in the window, and are tried again.
        """
        self.end(window, wait=True)
        while window.unsaved:
            self._save(window)
            self.end(window, wait=True, strict=True)

    def read(self, window: Window) -> Future[PaintedWindow]:
        """Ask for a window, made ready by the thread."""
        return self._thread.submit(lambda: PaintedWindow(window, self._labels.read(window)))

    def keep(self) -> Labels:
        """Keep the version as it is, after all writes."""
        return self._thread.submit(self._labels.keep).result()

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    def _save(self, window: PaintedWindow) -> None:
        classes = window.classes.copy()  # the person paints on while the thread writes
        self.writes += 1
        self._writing = (classes, self._thread.submit(self._write, window, classes, window.saved))

    def _write(self, window: PaintedWindow, classes: NDArray[np.uint8], saved: NDArray[np.uint8]) -> None:
        """Write the box that holds all changes, which is mostly a small part of the window."""
        changed = classes != saved
        rows, columns = (np.flatnonzero(changed.any(axis=axis)) for axis in (1, 0))
        top, left = window.window.y[0], window.window.x[0]
        y, x = ((first + int(where[0]), first + int(where[-1]) + 1) for first, where in ((top, rows), (left, columns)))
        box = Window((0, 1), y, x)
        inside = box.inside(window.window).yx
        patch = Patch(window.patch.ink[inside], window.patch.supervision[inside])
        self._labels.write(box, patch.repainted(classes[inside]), changed[inside])
