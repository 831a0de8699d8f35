"""Mirror: remote files as the rest of the library reads them: through the cache, patiently, a request for each once."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from platformdirs import user_cache_path

from volumen.errors import SourceError, SourceNotFoundError
from volumen.settings.cache import Cache
from volumen.sources.remote.chunk_cache import ChunkCache, Entry
from volumen.sources.remote.network import network
from volumen.sources.remote.origin import Facts, ForbiddenError, UnreachableError
from volumen.sources.remote.pieces import Document, Piece
from volumen.sources.remote.retry import Patience, passing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from volumen.sources.remote.origin import Fetched, Origin

TRUST = 60.0
"""Seconds for which what is kept of a file that may change is taken as it is; then the server is asked for its mark."""

ABSENCE = 86_400.0
"""Seconds for which a chunk that was missing counts as missing: a store may have been read while it was uploaded."""

_KEPT = ("http", "https", "s3", "gs", "gcs", "az", "abfs")  # what lies behind a network
_ASK_AGAIN = Patience(tries=2, first_s=0.5, total_s=10)  # a copy is at hand


@dataclass(frozen=True)
class Mirror:
    """Reads what is remote; its coroutines run in the network's thread.

    Two kinds of things are kept. Documents, facts and listings may change: they are trusted for `TRUST` seconds,
    then compared by the server's mark; where no server can be reached, they are taken as they were. Chunks and
    blocks belong to one state of their store or file, whose identity is in their key: they are never asked for
    again, and one of another state is never taken for them. That a chunk is missing is believed for a day.

    Parameters
    ----------
    cache
        Where things are kept; None keeps nothing.
    """

    cache: ChunkCache | None

    async def document(self, url: str) -> Document | None:
        """Return a small file, None where it is not there."""
        entry = await network().share(("document", url), lambda: self._changing("document", url, _whole))
        return None if entry is None else Document(data=entry.data, mark=entry.notes.get("mark"))

    async def facts(self, url: str) -> Facts | None:
        """Return the size and mark of a file, None where it is not there."""
        entry = await network().share(("facts", url), lambda: self._changing("facts", url, _told))
        if entry is None:
            return None
        return Facts(size=entry.notes["size"], mark=entry.notes["mark"])

    async def listing(self, url: str) -> list[str] | None:
        """Return the names of what is in a folder, sorted; None where that cannot be known."""
        entry = await network().share(("listing", url), lambda: self._changing("listing", url, _listed))
        return None if entry is None else json.loads(entry.data)

    def held(self, piece: Piece) -> Entry | None:
        """Return what is kept of a piece, None where it would have to be fetched; in any thread."""
        entry = None if self.cache is None else self.cache.get(piece.key)
        if entry is not None and entry.notes and abs(time.time() - entry.notes["asked"]) > ABSENCE:
            return None
        return entry

    def keep(self, piece: Piece, data: bytes) -> None:
        """Keep a piece that came as a part of another; in any thread."""
        if self.cache is not None:
            self.cache.put(piece.key, Entry(data))

    async def fetch(
        self, piece: Piece, *, mark: str | None = None, witness: str | None = None, keep: bool = True
    ) -> bytes | None:
        """Fetch a piece, and keep it or that it is not there, which is None.

        Parameters
        ----------
        piece
            What to fetch.
        mark
            Of the file, where it must not have changed.
        witness
            A file of the same store, which is there for certain. A missing chunk is believed only while the witness is
            still given out: a store that was deleted is not a store of zeros, and a refusal (403) is how object stores
            that may not be listed say "missing", but also how a server turns somebody away. Such a chunk is asked for
            again after the witness came, since the server may have turned us away only until then.
        keep
            Whether to keep it; else the caller does, part by part.

        Raises
        ------
        SourceError
            When the file has changed, or the server refuses or cannot be reached.
        """
        return await network().share(piece.key, lambda: self._fetch(piece, mark, witness, keep))

    async def _fetch(self, piece: Piece, mark: str | None, witness: str | None, keep: bool) -> bytes | None:
        url = piece.url
        try:
            found = await self._asked(piece, witness)
        except Exception as error:
            kept = await self._kept(piece.key)
            if kept is not None and kept.notes.get("absent") and _away(error):
                return None
            raise
        if found is not None and _differ(mark, found.mark):
            if self.cache is not None:
                self.cache.drop(f"facts {url}")
            raise SourceError(f"{url} has changed since it was opened. Open it again.")
        if keep:
            await self._keep(piece.key, _absent() if found is None else Entry(found.data))
        return None if found is None else found.data

    async def _asked(self, piece: Piece, witness: str | None) -> Fetched | None:
        """Ask for a piece, and for its witness where the piece is not given; None where it is missing."""

        def request(origin: Origin) -> Awaitable[Fetched | None]:
            return origin.fetch(piece.url, piece.span)

        try:
            found = await network().ask(piece.url, request)
        except ForbiddenError:
            if witness is None or not await _there(witness):
                raise
            with suppress(ForbiddenError):
                return await network().ask(piece.url, request)
            return None
        if found is None and witness is not None and not await _there(witness):
            raise SourceNotFoundError(
                f"{witness} was deleted or moved while its store was read. Put it back, and go on from there."
            )
        return found

    async def _changing(
        self, kind: str, url: str, request: Callable[[Origin, str], Awaitable[Entry | None]]
    ) -> Entry | None:
        """Return something that may change: as it is kept, where that is known to hold still; else as it is now."""
        key = f"{kind} {url}"
        kept = await self._kept(key)
        if kept is not None and abs(time.time() - kept.notes["asked"]) < TRUST:
            return None if kept.notes.get("absent") else kept
        try:
            found = await self._renewed(kept, url, request)
        except Exception as error:
            if kept is None or not _away(error):
                raise
            return None if kept.notes.get("absent") else kept
        entry = _absent() if found is None else Entry(found.data, {**found.notes, "asked": time.time()})
        await self._keep(key, entry)
        return None if found is None else entry

    async def _renewed(
        self, kept: Entry | None, url: str, request: Callable[[Origin, str], Awaitable[Entry | None]]
    ) -> Entry | None:
        patience = None if kept is None else _ASK_AGAIN
        try:
            if kept is not None and kept.notes.get("mark") and request is _whole:
                facts = await network().ask(url, lambda origin: origin.facts(url), patience)
                if facts is None or facts.mark == kept.notes["mark"]:
                    return None if facts is None else kept
            return await network().ask(url, lambda origin: request(origin, url), patience)
        except ForbiddenError:
            return None  # so say object stores of what is not there

    async def _kept(self, key: str) -> Entry | None:
        return None if self.cache is None else await asyncio.to_thread(self.cache.get, key)

    async def _keep(self, key: str, entry: Entry) -> None:
        if self.cache is not None:
            await asyncio.to_thread(self.cache.put, key, entry)


async def _there(url: str) -> bool:
    """Ask whether a file is there now, whatever is kept of it."""
    return (
        await network().share(("there", url), lambda: network().ask(url, lambda origin: origin.facts(url))) is not None
    )


def mirror(url: str) -> Mirror:
    """Return the mirror to read a URL through, as the environment sets the cache (`Cache.from_environment`)."""
    return _opened(Cache.from_environment() if url.partition("://")[0] in _KEPT else None)


def cache_folder(settings: Cache) -> Path:
    """Return the folder that the cache of these settings lies in."""
    return (settings.folder or user_cache_path("volumen")) / "remote"


@cache
def _opened(settings: Cache | None) -> Mirror:
    if settings is None or not settings.gigabytes:
        return Mirror(None)
    return Mirror(ChunkCache(cache_folder(settings), int(settings.gigabytes * 1e9)))


async def _whole(origin: Origin, url: str) -> Entry | None:
    found: Fetched | None = await origin.fetch(url)
    return None if found is None else Entry(found.data, {"mark": found.mark})


async def _told(origin: Origin, url: str) -> Entry | None:
    facts = await origin.facts(url)
    return None if facts is None else Entry(b"", {"size": facts.size, "mark": facts.mark})


async def _listed(origin: Origin, url: str) -> Entry | None:
    names = await origin.listing(url)
    return Entry(json.dumps(names).encode()) if names else None


def _absent() -> Entry:
    return Entry(b"", {"absent": True, "asked": time.time()})


def _away(error: Exception) -> bool:
    """Say whether nothing can be learned from the server now."""
    return isinstance(error, UnreachableError) or passing(error)


def _differ(mark: str | None, other: str | None) -> bool:
    """Say whether two marks of one kind, entity tags or times, are of different contents."""
    return mark is not None and other is not None and mark != other and (mark[:1] == '"') == (other[:1] == '"')
