"""Painting: a Labels layer in memory that follows where a person looks, over labels of any size on disk."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_warning

from volumen.errors import VolumenError
from volumen.plugin.paint_layers import add_overview_layer, add_paint_layer, hide_drawn_labels
from volumen.plugin.paint_status import PaintStatus
from volumen.plugin.painted_window import LIMIT, Grid, PaintedWindow, window_around
from volumen.plugin.rescue import rescue
from volumen.plugin.saving import Saving
from volumen.sources.labels.painted import BACKGROUND, INK, Labels
from volumen.windows import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from volumen.plugin.beginning import Beginning
    from volumen.plugin.layers import LayerOrigin

_KEY = "volumen_painting"


class Painting:
    """Painting on a segment: a window of its labels in memory, saved and moved as the person goes.

    `tick` does all of it a little at a time and is called by a timer. Reading and writing happen in one other
    thread, in order, so the window of napari never waits for a disk.

    Undo reaches back to when the window last moved and no further: the pixels that older strokes touched are no
    longer on the screen, and applied to the window's new place they would overwrite other ones.

    Parameters
    ----------
    viewer
        A napari viewer, or its model.
    beginning
        What is painted on, as far as it was read.
    layer
        The segment's layer: what is painted lies on its grid.
    origin
        Where the segment comes from.
    rescued
        Folder for strokes that cannot be saved when painting ends.
    clock
        Returns seconds; for tests.
    """

    def __init__(
        self,
        viewer: Any,
        beginning: Beginning,
        layer: Any,
        origin: LayerOrigin,
        *,
        rescued: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.labels = labels = beginning.labels
        self.origin = origin
        self._viewer = viewer
        self._clock = clock
        self._rescued = rescued
        self._grid = Grid.of(layer)
        self._saving = Saving(labels, clock)
        self._coming: tuple[int, Future[PaintedWindow]] | None = None  # writes before it was asked for, and it
        self._hindrance = ""
        self._unread = ""
        self._mode = ""
        self._pressed = False
        self.closed = False
        self._window, self._overview = beginning.window, beginning.overview
        self.overview_layer: Any = None
        if self.window.shape[1:] != labels.shape:
            self.overview_layer = add_overview_layer(viewer, self._overview, self._grid, layer, origin.name)
        self.layer = add_paint_layer(viewer, self._window, self._grid, layer, origin)
        self.layer.metadata[_KEY] = self
        self.layer.mouse_drag_callbacks.append(self._on_press)
        self.layer.events.selected_label.connect(self._on_class)
        hide_drawn_labels(viewer, origin)
        viewer.layers.events.removed.connect(self._on_removed)

    @property
    def window(self) -> Window:
        """Part of the segment that can be painted on now."""
        return self._window.window

    @property
    def status(self) -> PaintStatus:
        """How things stand."""
        return PaintStatus(
            version=self.labels.version,
            kept=self.labels.kept,
            unsaved=self._saving.writing or self._window.unsaved,
            saved_ago=None if self._saving.saved_at is None else self._clock() - self._saving.saved_at,
            error=self._saving.error,
            hindrance=self._hindrance or self._unread,
        )

    def tick(self) -> None:
        """Save what is due, show a window that has been read, and follow the view; call it some ten times a second."""
        if self.closed:
            return
        self._saving.end(self._window)
        self._saving.save_if_due(self._window, pressed=self._pressed)
        self._land()
        self._follow()

    def flush(self) -> None:
        """Write every stroke to disk, and return when it is there.

        Raises
        ------
        OutOfSpaceError, SourceNotFoundError, OSError
            When that is impossible; the strokes are still in memory, and are tried again.
        """
        self._saving.flush(self._window)

    def freeze(self) -> Labels:
        """Write every stroke, keep this version as it is, and let later strokes go to the next one."""
        self.flush()
        return self._saving.keep()

    def label_view_as_background(self) -> None:
        """Make the view's unlabelled pixels background, as one step that can be undone."""
        view = self._grid.view(self._viewer)
        seen = self.window if view is None else view & self.window
        if seen.empty:
            return
        (top, bottom), (left, right) = (
            (start - base, stop - base - 1)
            for (start, stop), (base, _) in ((seen.y, self.window.y), (seen.x, self.window.x))
        )
        before = self.layer.preserve_labels
        self.layer.preserve_labels = True
        self.layer.paint_polygon([[top, left], [top, right], [bottom, right], [bottom, left]], BACKGROUND)
        self.layer.preserve_labels = before

    def close(self) -> Path | None:
        """Write every stroke and stop; the layers stay, read-only.

        Returns
        -------
        Path or None
            Where strokes were put that could not be written; they are put back when painting starts again.

        Raises
        ------
        OutOfSpaceError, SourceNotFoundError, OSError
            When they could be put nowhere; the painting then goes on.
        """
        if self.closed:
            return None
        left = None
        try:
            self.flush()
        except (VolumenError, OSError):
            left = rescue(self._window, self.origin.path, self._rescued)
        self.closed = True
        self._saving.close()
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self.layer.editable = False
        return left

    def __deepcopy__(self, memo: dict[int, Any]) -> Painting:
        return self  # a copied layer's metadata must not copy threads; `painting_of` tells the copy from the layer

    def _follow(self) -> None:
        """Ask for another window when the view leaves this one; never while a stroke or polygon is being drawn."""
        view = self._grid.view(self._viewer)
        if view is None:
            self._hinder("Painting needs the flat view (2D), with Y down and X to the right.")
            return
        seen = view.clip((1, *self.labels.shape))
        if seen.empty or seen & self.window == seen:
            self._hinder("")
            return
        window = window_around(view, self.labels.shape, self.labels.chunk)
        if window is None:
            most = LIMIT - self.labels.chunk
            self._hinder(
                f"Zoom in to paint: the view is {max(seen.shape[1:])} px wide, at most {most} px can be painted."
            )
            return
        self._hinder("")
        if self._pressed or self.layer.mode == "polygon" or self._coming is not None:
            return
        if self._window.unsaved or self._saving.writing:
            self._saving.save_now(self._window)
            return
        self._coming = (self._saving.writes, self._saving.read(window))

    def _land(self) -> None:
        """Show the window that was asked for, unless somebody began to paint in the meantime."""
        if self._coming is None or not self._coming[1].done():
            return
        (writes, future), self._coming = self._coming, None
        if self._pressed or self._window.unsaved or writes != self._saving.writes:
            return
        try:
            self._show(future.result())
        except (VolumenError, OSError) as error:
            self._unread = f"The labels here cannot be read: {error}"

    def _show(self, window: PaintedWindow) -> None:
        mode = str(self.layer.mode)
        self._window = window
        self._unread = ""
        self.layer.editable = False  # the public way to empty the undo history; new data make it editable again
        self.layer.translate = self._grid.corner(window.window)
        self.layer.data = window.classes
        self.layer.mode = mode
        self._overview.move(window.window)
        if self.overview_layer is not None:
            self.overview_layer.refresh(thumbnail=False, highlight=False, extent=False)

    def _hinder(self, why: str) -> None:
        """Put the brush away where one cannot paint, and hand it back where one can."""
        mode = str(self.layer.mode)
        if why and mode in ("paint", "erase", "fill", "polygon"):
            self._mode = mode
            self.layer.mode = "pan_zoom"
        elif not why and self._mode:
            if mode == "pan_zoom":
                self.layer.mode = self._mode
            self._mode = ""
        self._hindrance = why

    def _on_press(self, layer: Any, event: Any) -> Iterator[None]:
        self._pressed = True
        yield
        while event.type == "mouse_move":
            yield
        self._pressed = False

    def _on_class(self, event: Any = None) -> None:
        if self.layer.selected_label > INK:
            self.layer.selected_label = INK

    def _on_removed(self, event: Any) -> None:
        removed = event.value
        if self.overview_layer is not None and removed.unique_id == self.overview_layer.unique_id:
            self.overview_layer = None
        elif removed.unique_id == self.layer.unique_id:
            left = self.close()
            if left is not None:
                show_warning(
                    f"Strokes on {self.origin.name} could not be saved and wait in {left}: {self._saving.error}"
                )
            self._show_everything()

    def _show_everything(self) -> None:
        """Let the overview show all labels, where no window lies on it any more."""
        if self.overview_layer is not None:
            self._overview.move(Window((0, 1), (0, 0), (0, 0)))
            self.overview_layer.refresh(thumbnail=False, highlight=False, extent=False)


def painting_of(layer: Any) -> Painting | None:
    """Return the painting that a layer is the window of, None for any other layer or a copy of it."""
    painting = getattr(layer, "metadata", {}).get(_KEY)
    if not isinstance(painting, Painting) or painting.layer.unique_id != layer.unique_id:
        return None
    return painting


def painting_shown(data: Any, metadata: dict[str, Any]) -> Painting | None:
    """Return the painting whose window ``data`` is, from a layer's metadata; None for a copy of it."""
    painting = metadata.get(_KEY)
    return painting if isinstance(painting, Painting) and painting.layer.data is data else None
