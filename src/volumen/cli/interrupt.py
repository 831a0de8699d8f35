"""Interrupt: Ctrl-C, or a window's Stop, ends work between two events, so that it can put itself in order."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

from volumen.events import Finished

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from types import FrameType

    from volumen.events import Event


def until_interrupted(events: Iterator[Event]) -> Generator[Event]:
    """Pass events on until an interrupt, then close their generator and raise `KeyboardInterrupt`.

    In the middle of a step there is nothing to save: half of the weights may be changed. So the first interrupt
    waits for the next event; a second one does not.
    """
    if threading.current_thread() is not threading.main_thread():  # only the main thread hears signals
        yield from events
        return
    asked = 0

    def heed(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            signal.default_int_handler(number, frame)

    before = signal.signal(signal.SIGINT, heed)
    try:
        for event in events:
            yield event
            if asked and not isinstance(event, Finished):
                raise KeyboardInterrupt
    finally:
        try:
            close = getattr(events, "close", None)
            if close is not None:
                close()
        finally:
            signal.signal(signal.SIGINT, before)
