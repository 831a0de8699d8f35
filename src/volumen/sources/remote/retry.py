"""Patience: how often, and after what pause, a server is asked again; every request of ours goes by it."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar

from aiohttp import (
    ClientConnectionError,
    ClientConnectorCertificateError,
    ClientPayloadError,
    ClientResponseError,
    ClientSSLError,
)

from volumen.errors import SourceError
from volumen.sources.numerals import whole

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

T = TypeVar("T")

_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})  # what a server may get over
_NEVER = (ClientConnectorCertificateError, ClientSSLError)  # a wrong certificate stays wrong


@dataclass(frozen=True, kw_only=True)
class Patience:
    """Exponential back-off with full jitter, bounded in tries and in time.

    Before try ``n + 1`` comes a pause drawn evenly from 0 to ``min(longest_s, first_s * 2**(n - 1))`` seconds, so that
    many clients that were refused together do not come back together. Where the server says how long to wait
    (``Retry-After``), the pause is that long at least.

    Parameters
    ----------
    tries
        Most requests for the same thing.
    first_s, longest_s
        Upper end of the first pause, and of any, in seconds.
    total_s
        Seconds from the first try after which none begins.

    References
    ----------
    M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    tries: int = 7
    first_s: float = 0.5
    longest_s: float = 30.0
    total_s: float = 300.0

    async def persist(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until there is an answer, while the failures are such that may pass.

        Parameters
        ----------
        ask
            Makes one request; called again for each try.

        Raises
        ------
        SourceError
            When the server wants to be left alone for longer than ``total_s``.
        Exception
            Of the last try; at once, where asking again would not help (see `passing`).
        """
        begun = time.monotonic()
        for attempt in range(1, self.tries):
            try:
                return await ask()
            except Exception as error:
                if not passing(error):
                    raise
                pause = random.uniform(0, min(self.longest_s, self.first_s * 2 ** (attempt - 1)))
                asked = _asked_for(error)
                left = begun + self.total_s - time.monotonic()
                if asked > max(0.0, left):
                    raise SourceError(
                        f"The server asks to be left alone for {asked:.0f} s ({error}), longer than we wait. Try later."
                    ) from error
                if pause > left:
                    raise
                await asyncio.sleep(max(pause, asked))
        return await ask()


def passing(error: Exception) -> bool:
    """Say whether a failure may pass: a busy or broken server, a lost connection, a body cut short, no answer in time.

    Examples
    --------
    >>> passing(TimeoutError()), passing(ValueError())
    (True, False)
    """
    if isinstance(error, ClientResponseError):
        return error.status in _BUSY
    return isinstance(error, ClientConnectionError | ClientPayloadError | TimeoutError | ConnectionError) and not (
        isinstance(error, _NEVER)
    )


def retry_after(headers: Mapping[str, str]) -> float:
    """Return how many seconds a server asks to wait, in ``Retry-After`` as a number or a date; 0 if it does not say.

    Examples
    --------
    >>> retry_after({"Retry-After": "120"}), retry_after({"Retry-After": "soon"}), retry_after({})
    (120.0, 0.0, 0.0)
    """
    said = headers.get("Retry-After", "").strip()
    seconds = whole(said)
    if seconds is not None:
        return float(seconds)
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except (ValueError, TypeError, LookupError, ArithmeticError):  # no date, or none that there can be
        return 0.0


def _asked_for(error: Exception) -> float:
    headers = error.headers if isinstance(error, ClientResponseError) else None
    return retry_after(headers) if headers is not None else 0.0
