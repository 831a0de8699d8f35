"""Canned answers: a network in memory, so that what a server says can be anything, and no socket is opened."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

import aiohttp
from aiohttp.client_proto import ResponseHandler

from volumen.sources.remote import client, network
from volumen.sources.remote.retry import Patience

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Answer = Callable[[str, str], bytes]

_NETWORKS: dict[asyncio.AbstractEventLoop, network.Network] = {}  # kept: each has a session for good
_IMPATIENT = Patience(tries=2, first_s=0.0, longest_s=0.0, total_s=0.01)


@contextmanager
def answering(answer: Answer) -> Iterator[None]:
    """Let every request of ours be answered with the bytes that ``answer`` returns for its method and its path."""
    _Connector.answer = staticmethod(answer)
    with (
        mock.patch.object(aiohttp, "TCPConnector", _Connector),
        mock.patch.object(client, "Patience", return_value=_IMPATIENT),
        mock.patch.object(network, "PATIENCE", _IMPATIENT),
        mock.patch.object(network, "_networks", _NETWORKS),
    ):
        yield


def ok(body: bytes | None, *headers: str) -> bytes:
    """Return a whole answer with a body, or that there is no such file."""
    if body is None:
        return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    lines = ("HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers, "", "")
    return "\r\n".join(lines).encode() + body


class _Connector(aiohttp.BaseConnector):
    answer: Any  # of the class: a session that outlives one input must hear of the next

    def __init__(self, **_: Any) -> None:
        super().__init__(force_close=True)

    async def _create_connection(self, *_: Any) -> ResponseHandler:
        loop = asyncio.get_running_loop()
        protocol = ResponseHandler(loop)
        protocol.connection_made(_Wire(protocol, type(self).answer, loop))
        return protocol


class _Wire(asyncio.Transport):
    """One connection: it answers once, and ends."""

    def __init__(self, protocol: ResponseHandler, answer: Answer, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._protocol, self._answer, self._loop = protocol, answer, loop
        self._asked, self._closed = b"", False

    def write(self, data: Any) -> None:
        self._asked += bytes(data)
        if b"\r\n\r\n" in self._asked and not self._closed:
            method, path = self._asked.decode("latin-1").split(" ", 2)[:2]
            self._asked = b""
            raw = self._answer(method, path)
            if method == "HEAD":  # which has no body
                raw = b"".join(raw.partition(b"\r\n\r\n")[:2])
            self._loop.call_soon(self._reply, raw)

    def _reply(self, raw: bytes) -> None:
        if not self._closed:
            self._protocol.data_received(raw)
        self.close()

    def is_closing(self) -> bool:
        return self._closed

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._loop.call_soon(self._protocol.connection_lost, None)

    abort = close

    def pause_reading(self) -> None:
        """Go on as before: all is in memory."""

    def resume_reading(self) -> None:
        """Go on as before: all is in memory."""
