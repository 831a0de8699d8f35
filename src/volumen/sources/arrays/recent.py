"""Recent: the values used last, such as decoded pieces of files, up to a bound; for any number of threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable


class Recent:
    """The values used last, up to a cost in all; the very last one always stays.

    Parameters
    ----------
    limit
        Cost that may be kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._spent = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Any], cost: Callable[[Any], int]) -> Any:
        """Return the value kept under ``key``, or make and keep it."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][0]
        value = make()  # outside the lock: two threads may decode the same piece, none waits for another's
        with self._lock:
            self._spent += cost(value) - self._kept.pop(key, (None, 0))[1]
            self._kept[key] = (value, cost(value))
            while len(self._kept) > 1 and self._spent > self._limit:
                self._spent -= self._kept.popitem(last=False)[1][1]
        return value

    def __reduce__(self) -> tuple[Any, ...]:
        # What is kept stays behind: a worker process decodes for itself.
        return (Recent, (self._limit,))
