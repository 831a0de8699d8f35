"""pulled: network work beside a generator of events; it ends when nobody pulls any more."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import wait
from typing import TYPE_CHECKING, TypeVar

from fsspec.asyn import get_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from typing import Any

    from volumen.events import Event

T = TypeVar("T")

_EVERY_S = 0.25
_END_S = 10.0


def pulled(work: Coroutine[Any, Any, T], tell: Callable[[], Event]) -> Generator[Event, None, T]:
    """Run a coroutine on the thread in which fsspec does all its network work; yield events while it is not done.

    A program with an event loop of its own, such as a notebook, can so pull them as any other. Closed early, the work
    is cancelled and waited for.

    Parameters
    ----------
    work
        What to run.
    tell
        Makes the event that says how far it is.

    Returns
    -------
    Any
        What the coroutine returns.
    """
    ended = threading.Event()

    async def run() -> T:
        try:
            return await work
        finally:
            ended.set()

    loop = get_loop()
    future = asyncio.run_coroutine_threadsafe(run(), loop)
    try:
        while not wait([future], timeout=_EVERY_S).done:
            yield tell()
        return future.result()
    finally:
        if future.cancel():
            ended.wait(_END_S)
