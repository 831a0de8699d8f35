"""FsspecOrigin: remote bytes from object stores, such as s3, and whatever else fsspec opens."""

from __future__ import annotations

import asyncio
import posixpath
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from volumen.errors import VolumenError
from volumen.sources.remote.origin import Facts, Fetched, ForbiddenError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fsspec.asyn import AsyncFileSystem

    from volumen.sources.remote.origin import Span


class FsspecOrigin:
    """Files in whatever else fsspec opens, such as s3; its drivers have their own logins and patience.

    Parameters
    ----------
    fs
        fsspec's file system.
    at_once
        Most requests under way.
    """

    def __init__(self, fs: AsyncFileSystem, at_once: int) -> None:
        self._fs, self._gate = fs, asyncio.Semaphore(at_once)

    async def fetch(self, url: str, span: Span | None = None) -> Fetched | None:
        """Return a file's bytes, or a span of them."""
        start, stop = span or (None, None)
        try:
            path = self._fs._strip_protocol(url)
            async with self._gate:
                with _answered(url):
                    return Fetched(data=await self._fs._cat_file(path, start=start, end=stop))
        except (FileNotFoundError, IsADirectoryError):
            return None
        except PermissionError as error:
            _forbid(url, error)

    async def facts(self, url: str) -> Facts | None:
        """Return a file's size and mark."""
        try:
            async with self._gate:
                with _answered(url):
                    told: dict[str, Any] = await self._fs._info(self._fs._strip_protocol(url))
        except FileNotFoundError:
            return None
        except PermissionError as error:
            _forbid(url, error)
        if told.get("type") == "directory":
            return None
        mark = next((str(told[name]) for name in ("ETag", "etag", "LastModified", "created") if told.get(name)), None)
        return Facts(size=int(told["size"]), mark=mark)

    async def listing(self, url: str) -> list[str] | None:
        """Return the names of what is in a folder."""
        try:
            async with self._gate:
                with _answered(url):
                    return _names(await self._fs._ls(self._fs._strip_protocol(url), detail=False))
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return None


@contextmanager
def _answered(url: str) -> Iterator[None]:
    """Say that nobody answers, whatever a driver calls it: those of botocore share no base with Python's own."""
    try:
        yield
    except (OSError, VolumenError):
        raise
    except Exception as error:
        raise UnreachableError(f"{url} cannot be reached ({error}). Check the address and the network.") from error


def _forbid(url: str, error: Exception) -> NoReturn:
    raise ForbiddenError(f"The store refuses {url} ({error}).") from error


def _names(paths: list[str]) -> list[str]:
    return sorted({posixpath.basename(str(path).rstrip("/")) for path in paths})
