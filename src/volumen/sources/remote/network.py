"""The network: one thread in a process that makes its requests, a few at a time, none twice at once."""

from __future__ import annotations

import asyncio
import atexit
import os
from contextlib import suppress
from inspect import signature
from typing import TYPE_CHECKING, Any, TypeVar, cast

import fsspec
from fsspec.asyn import get_loop
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper

from volumen.errors import MissingExtraError, SourceError
from volumen.sources.remote.client import Client
from volumen.sources.remote.object_store import FsspecOrigin
from volumen.sources.remote.origin import HttpOrigin, Origin
from volumen.sources.remote.retry import Patience

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Hashable

T = TypeVar("T")

AT_ONCE = 8
"""Most requests under way in one process."""

PATIENCE = Patience()

_WEB = ("http", "https")
_LOGINS = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE")


class Network:
    """What belongs to one event loop: origins by protocol, and what is being asked for."""

    def __init__(self) -> None:
        self._origins: dict[str, Origin] = {}
        self._client, self._open = Client(at_once=AT_ONCE), False
        self._under_way: dict[Hashable, asyncio.Future[Any]] = {}

    async def ask(self, url: str, request: Callable[[Origin], Awaitable[T]], patience: Patience | None = None) -> T:
        """Make a request of the origin of a URL, and again while its failures are such that may pass."""
        origin = await self._origin(url.partition("://")[0])
        return await (patience or PATIENCE).persist(lambda: request(origin))

    async def share(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do some work, or wait for the same that is being done; who gives up waiting does not stop it for others."""
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.ensure_future(work())
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        return cast("T", await asyncio.shield(task))

    async def _origin(self, protocol: str) -> Origin:
        if protocol not in self._origins:
            self._origins[protocol] = HttpOrigin(await self._entered()) if protocol in _WEB else _open_store(protocol)
        return self._origins[protocol]

    async def _entered(self) -> Client:
        if not self._open:
            self._open = True
            await self._client.__aenter__()
            atexit.register(self._close, asyncio.get_running_loop())
        return self._client

    def _close(self, loop: asyncio.AbstractEventLoop) -> None:
        with suppress(Exception):  # the process ends
            asyncio.run_coroutine_threadsafe(self._client.__aexit__(), loop).result(1)


_networks: dict[asyncio.AbstractEventLoop, Network] = {}  # one a process: a fork makes a loop of its own


def network() -> Network:
    """Return the network of the running loop, which is always fsspec's."""
    loop = asyncio.get_running_loop()
    if loop not in _networks:
        _networks[loop] = Network()
    return _networks[loop]


def wait_for(work: Coroutine[Any, Any, T]) -> T:
    """Do some work in the network's thread and wait for it, in any other thread."""
    future = asyncio.run_coroutine_threadsafe(work, get_loop())
    try:
        return future.result()
    except BaseException:
        future.cancel()  # Ctrl-C
        raise


async def elsewhere(work: Coroutine[Any, Any, T]) -> T:
    """Do some work in the network's thread, from another event loop."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, get_loop()))


def _open_store(protocol: str) -> Origin:
    try:
        options = {"anon": not _has_login()} if protocol == "s3" else {}
        asked = signature(fsspec.get_filesystem_class(protocol).__init__).parameters.values()
        needed = [each.name for each in asked if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD]
        if needed[1:]:  # beside self
            raise ValueError(f"it needs a {' and a '.join(needed[1:])}, which is not taken from a URL")
        fs = fsspec.filesystem(protocol, **options)
    except ImportError as error:
        cure = "pip install 'volumen[s3]'" if protocol == "s3" else "install it"
        raise MissingExtraError(f"{protocol}:// needs a package that is not there ({error}): {cure}.") from error
    except ValueError as error:
        raise SourceError(f"{protocol}:// cannot be read ({error}); https and s3 are known.") from error
    return FsspecOrigin(fs if fs.async_impl else AsyncFileSystemWrapper(fs), AT_ONCE)


def _has_login() -> bool:
    """Whether there is a login for S3; without one, stores are asked as anybody may ask public ones."""
    return any(map(os.environ.get, _LOGINS)) or os.path.exists(os.path.expanduser("~/.aws/credentials"))
