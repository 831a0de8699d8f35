"""Client: how servers are asked: few requests at once, pauses heeded by all of them, logins only where demanded."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Self, TypeGuard

import aiohttp
from aiohttp import ClientError, ClientPayloadError, ClientResponse, ClientResponseError
from yarl import URL

from volumen.errors import SourceError, SourceNotFoundError
from volumen.sources.damage import described
from volumen.sources.remote.gzipped import MOST, unpack
from volumen.sources.remote.login import find_login
from volumen.sources.remote.retry import Patience, retry_after

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

GONE = (404, 410)
"""What says that a file is not there."""

ABSENT = (403, *GONE)
"""The same of object stores, which answer 403 where listing is not allowed."""

_CONNECT_S = 30.0
_PAUSED = (429, 503)


class Client:
    """A session with servers, inside ``async with``.

    Parameters
    ----------
    at_once
        Most requests under way, whatever the number of files.
    patience
        How often and after what pause a request is tried again.
    silence_s
        Seconds without a byte after which an answer counts as lost.
    """

    def __init__(self, *, at_once: int, patience: Patience | None = None, silence_s: float = 60.0) -> None:
        self.at_once = at_once
        self.patience = patience or Patience()
        self._silence_s = silence_s
        self._gate = asyncio.Semaphore(at_once)
        self._pauses: dict[str, float] = {}
        self._logins: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None, connect=_CONNECT_S, sock_read=self._silence_s),
            connector=aiohttp.TCPConnector(limit=self.at_once),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"volumen/{version('volumen')}", "Accept-Encoding": "identity"},
            auto_decompress=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def read(self, url: str) -> bytes | None:
        """Return a small file whole, or None where there is none; what is compressed on the way is unpacked.

        Raises
        ------
        SourceError
            When the server does not give it, however often it is asked.
        """

        async def once() -> bytes:
            async with self.ask(url) as response:
                return unpacked(response, await whole_body(response))

        try:
            return await self.patience.persist(once)
        except (ClientError, OSError, TimeoutError) as error:
            if is_absent(error):
                return None
            raise unreachable(url, error) from error

    async def exists(self, url: str) -> bool:
        """Say whether a file is there, without its body."""

        async def once() -> bool:
            async with self.ask(url, method="HEAD"):
                return True

        try:
            return await self.patience.persist(once)
        except (ClientError, OSError, TimeoutError) as error:
            if is_absent(error):
                return False
            raise unreachable(url, error) from error

    @asynccontextmanager
    async def ask(
        self, url: str, *, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> AsyncIterator[ClientResponse]:
        """Make one request, once there is room for it and its host is not to be left alone.

        Raises
        ------
        ClientError, OSError, TimeoutError
            When there is no answer, or one that is an error.
        SourceError
            When the server demands a login that it does not get, or there can be no such URL.
        """
        target = address(url)
        host = str(target.origin())
        async with self._gate:
            await asyncio.sleep(max(0.0, self._pauses.get(host, 0.0) - time.monotonic()))
            login = self._logins.get(host)
            response = await self._send(method, target, headers, login)
            if response.status == 401 and login is None and str(response.url.origin()) == host:
                login = self._logins.get(host) or find_login(target)  # another request may have found it meanwhile
                if login is not None:
                    self._logins[host] = login
                    response.release()
                    response = await self._send(method, target, headers, login)
            async with response:
                self._judge(response, target)
                yield response

    async def _send(
        self, method: str, target: URL, headers: Mapping[str, str] | None, login: str | None
    ) -> ClientResponse:
        given = {"Authorization": login} if login else {}
        try:
            return await self._session.request(method, target, headers={**(headers or {}), **given})
        except UnicodeError as error:  # a redirect; `address` has looked at the first host only
            raise SourceError(
                f"{target} leads to a server that cannot be looked for ({error}). Check the address, and if it is "
                "right, tell those who keep it."
            ) from error

    def _judge(self, response: ClientResponse, target: URL) -> None:
        if target.scheme == "https" and response.url.scheme != "https":
            raise SourceError(f"{target} leads to a place without encryption, {response.url.origin()}; not followed.")
        if response.status == 401:
            raise SourceError(
                f"{target.origin()} demands a login. Put it into ~/.netrc, or into VOLUMEN_HTTP_USER and "
                "VOLUMEN_HTTP_PASSWORD; one that is there was refused, or the connection is not encrypted."
            )
        if response.status in _PAUSED:
            host = str(target.origin())
            until = time.monotonic() + min(retry_after(response.headers), self.patience.total_s)
            self._pauses[host] = max(self._pauses.get(host, 0.0), until)
        response.raise_for_status()


def address(url: str) -> URL:
    """Return a URL that names a server; a `SourceError` where it does not."""
    try:
        target = URL(url)
        target.origin()
        (target.raw_host or "").encode("idna")  # as names are looked for: no part may be empty or too long
    except ValueError as error:
        raise SourceError(f"{url} is no URL of a server ({error}); expected one like https://host/folder.") from error
    return target


async def whole_body(response: ClientResponse) -> bytes:
    """Return the body of an answer, as it is sent.

    Raises
    ------
    SourceError
        When it is longer than `volumen.sources.remote.gzipped.MOST` bytes: what is taken whole is kept in memory.
    """
    found = bytearray()
    async for block in response.content.iter_any():
        found += block
        if max(len(found), response.content_length or 0) > MOST:
            raise SourceError(
                f"{response.url} comes whole, and is over {MOST >> 20} MB. Download it, and give the path of the copy."
            )
    return bytes(found)


def unpacked(response: ClientResponse, body: bytes) -> bytes:
    """Return a body without the gzip in which it may have come; a `ClientPayloadError` where that is damaged."""
    if response.headers.get("Content-Encoding") != "gzip":
        return body
    try:
        return unpack(body)
    except ValueError as error:
        raise ClientPayloadError(f"what came is packed, but {error}") from error


def said(headers: Mapping[str, str], name: str) -> str:
    """Return what a server says under a name, or nothing; bytes beyond UTF-8 are spelled out, since no text has them.

    Examples
    --------
    >>> said({"ETag": chr(0xDCE9)}, "ETag").isascii(), said({}, "ETag")
    (True, '')
    """
    return headers.get(name, "").encode(errors="backslashreplace").decode()


def is_absent(error: Exception) -> TypeGuard[ClientResponseError]:
    """Say whether an error means that there is no such file."""
    return isinstance(error, ClientResponseError) and error.status in ABSENT


def unreachable(url: str, error: Exception) -> SourceError | SourceNotFoundError:
    """Say in our words that a server does not give a file."""
    if is_absent(error):
        return SourceNotFoundError(f"There is no {url}, or it may not be read.")
    if isinstance(error, ClientResponseError):
        found = f"the server answers {error.status} {error.message}".rstrip()
    else:
        found = described(error)
    return SourceError(
        f"{url} cannot be fetched: {found}. Check the address and the network, or try again later; what is complete is "
        "kept."
    )
