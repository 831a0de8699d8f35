"""read_ahead: what is computed next is read while this is computed."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from concurrent.futures import Future

G = TypeVar("G")
V = TypeVar("V")

_AHEAD = 2  # groups read before they are needed


def read_ahead(read: Callable[[G], V], groups: Iterable[G]) -> Generator[tuple[G, V]]:
    """Yield every group with what was read of it, in order, while one thread reads the next two.

    Closing the generator, or an error in ``read``, waits for the one read under way; none is begun after it.

    Examples
    --------
    >>> list(read_ahead(str, [1, 2, 3]))
    [(1, '1'), (2, '2'), (3, '3')]
    """
    unread = iter(groups)
    ahead: deque[tuple[G, Future[V]]] = deque()
    with ThreadPoolExecutor(1, "volumen-read") as reader:
        try:
            while True:
                ahead.extend((group, reader.submit(read, group)) for group in islice(unread, _AHEAD + 1 - len(ahead)))
                if not ahead:
                    return
                group, future = ahead.popleft()
                yield group, future.result()
        finally:
            for _, future in ahead:
                future.cancel()
