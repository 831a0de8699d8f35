"""Asking: something is read away from the window, for a widget that goes on meanwhile and takes the latest answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.qt.threading import create_worker
from qtpy.QtCore import QEvent, QObject, QThreadPool
from superqt.utils import create_worker as create_quiet_worker

from volumen.errors import VolumenError

if TYPE_CHECKING:
    from collections.abc import Callable


class Asking(QObject):
    """Ask a thread for one thing after another: only the answer to the last question counts.

    An answer that comes when the widget was closed is dropped, as is one after `drop`.

    Parameters
    ----------
    widget
        Whom it is for.
    failed
        Told in words why there is no answer; in none where the widget was closed, or where nobody foresaw the error,
        which napari tells of.
    """

    def __init__(self, widget: QObject, failed: Callable[[str], None]) -> None:
        super().__init__(widget)
        self._failed = failed
        self._asked = 0  # times that something was asked
        self._then: Callable[[Any], None] | None = None  # what to do with the answer
        widget.installEventFilter(self)

    @property
    def waiting(self) -> bool:
        """Whether an answer is waited for."""
        return self._then is not None

    def ask(self, work: Callable[..., Any], *given: Any, then: Callable[[Any], None], words: str = "") -> None:
        """Do ``work`` in a thread, and ``then`` something with what it returns, in the window's.

        Parameters
        ----------
        work
            Touches no widget and no layer.
        given
            Handed to it.
        then
            What to do with the answer.
        words
            What goes on, for napari's activity dock; napari then asks before it closes. Without them it is a look
            that nothing is lost with.
        """
        self._asked += 1
        self._then = then
        if words:
            desk = {"total": 0, "desc": words}
            worker = create_worker(_answered, self._asked, work, *given, _start_thread=False, _progress=desk)
        else:
            worker = create_quiet_worker(_answered, self._asked, work, *given, _start_thread=False)
            take_no_place(worker)
        worker.returned.connect(self._take)  # a method, which is let go with the widget
        worker.start()

    def drop(self) -> None:
        """Wait for no answer any more."""
        self._then = None

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Hear that the widget is closed; of one in a dock, napari takes it out of there."""
        if event is not None and watched is not None and watched is self.parent():
            undocked = event.type() == QEvent.Type.ParentChange and watched.parent() is None
            if self.waiting and (undocked or event.type() == QEvent.Type.Close):
                self.drop()
                self._failed("")
        return False

    def _take(self, told: tuple[int, Any, Exception | None]) -> None:
        asked, answer, error = told
        then = self._then
        foreseen = isinstance(error, VolumenError | OSError)
        if asked == self._asked and then is not None:
            self._then = None
            if error is None:
                then(answer)
            else:
                self._failed(str(error) if foreseen else "")
        if error is not None and not foreseen:
            raise error  # napari tells of it


def take_no_place(worker: Any) -> None:
    """Let a worker that is not started yet, and may wait for long, take no place from those that a person waits for."""
    pool = QThreadPool.globalInstance()
    if pool is not None:
        worker.started.connect(pool.releaseThread)
        worker.finished.connect(pool.reserveThread)


def _answered(asked: int, work: Callable[..., Any], *given: Any) -> tuple[int, Any, Exception | None]:
    """Do something; return also an error, since whether it counts depends on when it was asked for."""
    try:
        return asked, work(*given), None
    except Exception as error:
        return asked, None, error
