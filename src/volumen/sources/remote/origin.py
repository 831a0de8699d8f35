"""Origin: where remote bytes come from, and its form for http and https."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from aiohttp import (
    ClientConnectorError,
    ClientPayloadError,
    ClientResponseError,
    ConnectionTimeoutError,
)

from volumen.errors import SourceError
from volumen.sources.numerals import whole
from volumen.sources.remote.checksums import ASKED, checksums_of, differing_bytes
from volumen.sources.remote.client import GONE, address, said, unpacked, whole_body
from volumen.sources.remote.index_page import names_on

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from aiohttp import ClientResponse
    from yarl import URL

    from volumen.sources.remote.client import Client

Span = tuple[int, int | None]
"""First byte and the one after the last; None for the file's end. A negative first byte counts from there."""


class ForbiddenError(SourceError):
    """The server answers 403: it means to refuse, or, as object stores do, that there is no such file."""


class UnreachableError(SourceError):
    """No server answers at the address."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a file without reading it: its size in bytes, and a mark that changes with its contents."""

    size: int
    mark: str | None


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """Bytes, and the file's mark where it is told along with them."""

    data: bytes
    mark: str | None = None


class Origin(Protocol):
    """Answers requests for one kind of URL; each method makes one request and returns None for what is not there."""

    async def fetch(self, url: str, span: Span | None = None) -> Fetched | None:
        """Return a file's bytes, or a span of them."""
        ...

    async def facts(self, url: str) -> Facts | None:
        """Return a file's size and mark."""
        ...

    async def listing(self, url: str) -> list[str] | None:
        """Return the names of what is in a folder."""
        ...


class HttpOrigin:
    """Files behind http and https.

    Parameters
    ----------
    client
        How servers are asked.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._met: set[URL] = set()

    async def fetch(self, url: str, span: Span | None = None) -> Fetched | None:
        """Return a file's bytes, or a span of them; a body cut short is an error that may pass."""
        try:
            async with self._ask(url, ASKED if span is None else {"Range": _range(span)}) as response:
                return Fetched(data=await _body(response, span), mark=_mark(response))
        except ClientResponseError as error:
            if error.status == 416:  # a span beyond the end
                return Fetched(data=b"")
            _check_absent(url, error)
            return None

    async def facts(self, url: str) -> Facts | None:
        """Return a file's size and mark, by HEAD, or from its first byte where the server knows no HEAD."""
        try:
            async with self._ask(url, method="HEAD") as response:
                size = whole(response.headers.get("Content-Length", ""))
                if size is not None:
                    return Facts(size=size, mark=_mark(response))
        except ClientResponseError as error:
            if error.status not in (405, 501):
                _check_absent(url, error)
            return None
        try:
            async with self._ask(url, {"Range": "bytes=0-0"}) as response:
                told = response.headers.get("Content-Range", "").rpartition("/")[2]
                size = whole(told or response.headers.get("Content-Length", ""))
        except ClientResponseError as error:
            _check_absent(url, error)
            return None
        if size is None:
            raise SourceError(f"The server does not say how long {url} is. Download it, and give the path of the copy.")
        return Facts(size=size, mark=_mark(response))

    async def listing(self, url: str) -> list[str] | None:
        """Return the names on a folder's index page; None where the server has none."""
        page = await self.fetch(f"{url}/")
        if page is None:
            return None
        return names_on(page.data, url)

    @asynccontextmanager
    async def _ask(
        self, url: str, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> AsyncIterator[ClientResponse]:
        host = address(url).origin()
        try:
            async with self._client.ask(url, headers=headers, method=method) as response:
                self._met.add(host)
                yield response
        except (ClientConnectorError, ConnectionTimeoutError) as error:
            if host in self._met:
                raise  # it was there a moment ago, and may be again
            raise UnreachableError(f"{url} cannot be reached ({error}). Check the address and the network.") from error


async def _body(response: ClientResponse, span: Span | None) -> bytes:
    """Return what was asked for, of an answer that holds it or the whole file."""
    if span is None:
        data = await whole_body(response)
        wrong = differing_bytes([data], checksums_of(response.headers))
        if wrong:
            raise ClientPayloadError(f"its {wrong[0]} checksum differs")
        return unpacked(response, data)
    if response.status != 206:
        return (await whole_body(response))[span[0] : span[1]]
    data = await whole_body(response)
    if len(data) != _told(response):
        raise ClientPayloadError(f"{len(data)} bytes came of {response.headers.get('Content-Range')}")
    return data


def _check_absent(url: str, error: ClientResponseError) -> None:
    """Raise an error that says anything else than that there is no such file."""
    if error.status == 403:
        raise ForbiddenError(f"The server refuses {url} (status 403).") from error
    if error.status not in GONE:
        raise error


def _range(span: Span) -> str:
    start, stop = span
    return f"bytes={start}" if start < 0 else f"bytes={start}-{'' if stop is None else stop - 1}"


def _told(response: ClientResponse) -> int:
    """Return how many bytes a partial answer says that it holds."""
    try:
        first, last = response.headers["Content-Range"].removeprefix("bytes ").partition("/")[0].split("-")
        return int(last) - int(first) + 1
    except (KeyError, ValueError) as error:
        raise ClientResponseError(
            response.request_info, (), status=502, message="a part without a Content-Range"
        ) from error


def _mark(response: ClientResponse) -> str | None:
    headers = response.headers
    return said(headers, "ETag").removeprefix("W/") or said(headers, "Last-Modified") or None
